#!/usr/bin/env bash
# Builds ccd, installs it for this user, and starts it: afterwards Claude Code is recorded.
#
#   ./packaging/install.sh [--prefix DIR] [--build-only] [options of `ccctl install`]
#
# Needs: a Rust toolchain (cargo 1.89 or newer) and a C compiler. Needs no root, and asks for none.
#   --prefix DIR   binaries go to DIR/bin                     (default: ~/.local; also CCD_INSTALL_PREFIX)
#   --build-only   build and install the binaries, change nothing of Claude Code's and start nothing
# Everything else is handed to `ccctl install`; see `ccctl install --help`. `ccctl uninstall` takes it back.
# Running it again upgrades.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $*"; exit 1; }

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=${CCD_INSTALL_PREFIX:-${HOME:?HOME is not set}/.local}
build_only=no
args=()
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -ge 2 ] || die "--prefix needs a directory"; prefix=$2; shift 2 ;;
    --prefix=*) prefix=${1#*=}; shift ;;
    --build-only) build_only=yes; shift ;;
    -h|--help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) args+=("$1"); shift ;;
  esac
done
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac

command -v cargo >/dev/null || die "no cargo: install Rust 1.89 or newer from https://rustup.rs, then run this again"
command -v cc >/dev/null || die "no C compiler (cc): install gcc or clang, then run this again"

cd "$top"
target=${CARGO_TARGET_DIR:-$top/target}
say "building (a few minutes the first time) …"
cargo build --locked --release -p ccd -p ccctl
# cc-hook starts for every event: its own profile, and without the dynamic loader where the system can do that.
hook_flags=${RUSTFLAGS:-}
if [ "$(uname -s)" = Linux ]; then hook_flags="$hook_flags -C target-feature=+crt-static"; fi
RUSTFLAGS=$hook_flags cargo build --locked --profile hook -p cc-hook

bin=$prefix/bin
mkdir -p "$bin"
put() {
  # Written aside, then renamed: a running ccd keeps its file, and nobody ever starts half of one.
  install -m 755 "$1" "$bin/.$2.new"
  mv -f "$bin/.$2.new" "$bin/$2"
}
put "$target/release/ccd" ccd
put "$target/release/ccctl" ccctl
put "$target/hook/cc-hook" cc-hook
say "installed ccd, ccctl and cc-hook in $bin"
[ "$build_only" = no ] || exit 0

ccctl=$bin/ccctl
if "$ccctl" status >/dev/null 2>&1; then
  say "restarting the running daemon (streams in flight are finished first) …"
  "$ccctl" restart
fi
"$ccctl" install ${args[@]+"${args[@]}"}

case ":$PATH:" in
  *":$bin:"*) ;;
  *) say "note: $bin is not on your PATH; call $ccctl, or add it" ;;
esac
