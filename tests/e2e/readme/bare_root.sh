#!/usr/bin/env bash
# A root with nothing of this machine's but its tools: runs in namespaces of its own, as `unshare` makes them.
#
#   bare_root.sh ROOT OUT SCRIPT
#
# ROOT is an empty directory, OUT where SCRIPT leaves what it found. The tools are read-only; so are the sources; the home is
# empty; there is no network but the loopback, no service manager, and no process but ours. Cargo and its target directory
# lie where they do outside, so that what is built is not built twice.
set -euo pipefail
root=$1 out=$2 script=$3

mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"

# as_it_is PATH [ro]: the same place inside.
as_it_is() {
  [ -e "$1" ] || return 0
  if [ -L "$1" ]; then cp -P "$1" "$root$1"; return; fi
  mkdir -p "$root$1" 2>/dev/null || true
  mount --bind "$1" "$root$1"
  if [ "${2:-}" = ro ]; then mount -o remount,bind,ro "$root$1"; fi
}

for dir in /usr /bin /sbin /lib /lib32 /lib64 /etc; do as_it_is "$dir" ro; done
as_it_is /dev
mkdir -p "$root"/{proc,sys,tmp,run,var/tmp,home/user/work,out,opt}
mount -t proc none "$root/proc"
as_it_is "$REPO" ro
as_it_is "$CARGO_TARGET_DIR"
as_it_is "$CARGO_HOME" ro
as_it_is "$RUSTUP_HOME" ro
mount --bind "$out" "$root/out"
cp "$script" "$root/opt/script"
cp "$CLAUDE" "$root/opt/claude"
ip link set lo up

exec chroot "$root" /usr/bin/env -i HOME=/home/user LANG=C.UTF-8 "PATH=$CARGO_HOME/bin:/usr/local/bin:/usr/bin:/bin" \
  "CARGO_HOME=$CARGO_HOME" "RUSTUP_HOME=$RUSTUP_HOME" ${RUSTUP_TOOLCHAIN:+"RUSTUP_TOOLCHAIN=$RUSTUP_TOOLCHAIN"} \
  "CARGO_TARGET_DIR=$CARGO_TARGET_DIR" CARGO_NET_OFFLINE=true CARGO_INCREMENTAL=0 \
  ${CARGO_PROFILE_RELEASE_OPT_LEVEL:+"CARGO_PROFILE_RELEASE_OPT_LEVEL=$CARGO_PROFILE_RELEASE_OPT_LEVEL"} \
  ${CARGO_PROFILE_RELEASE_LTO:+"CARGO_PROFILE_RELEASE_LTO=$CARGO_PROFILE_RELEASE_LTO"} \
  ${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:+"CARGO_PROFILE_RELEASE_CODEGEN_UNITS=$CARGO_PROFILE_RELEASE_CODEGEN_UNITS"} \
  "REPO=$REPO" "MOCK=$MOCK" "KEY=$KEY" /bin/bash /opt/script
