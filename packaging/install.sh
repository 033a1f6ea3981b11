#!/usr/bin/env bash
# Builds ccd, installs it for this user, and starts it: afterwards Claude Code is recorded.
#
#   ./packaging/install.sh [--prefix DIR] [--build-only] [options of `ccctl install`]
#
# Needs: a Rust toolchain (cargo 1.89 or newer) and a C compiler. Needs no root, and asks for none.
#   --prefix DIR   programs go to DIR/bin, pages and completions to DIR/share
#                  (default: ~/.local; also CCD_INSTALL_PREFIX)
#   --build-only   build and install the programs, change nothing of Claude Code's and start nothing
# Everything else is handed to `ccctl install`; see `ccctl install --help`. `ccctl uninstall` takes it back.
#
# Running it again upgrades, and from older sources goes back: everything is built first; then the running daemon changes
# over without cutting a stream, and if the new one does not work here, the programs before it are put back and serve. It
# may be interrupted anywhere: the next run goes on.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $*"; exit 1; }

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=${CCD_INSTALL_PREFIX:-}
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
[ -n "$prefix" ] || prefix=${HOME:?HOME is not set: name a directory with --prefix}/.local
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac

command -v cargo >/dev/null || die "no cargo: install Rust 1.89 or newer from https://rustup.rs, then run this again"
command -v cc >/dev/null || die "no C compiler (cc): install gcc or clang, then run this again"
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$build_only" = no ]; then
  die "this records the user who runs it, which is root now: run it as $SUDO_USER, without sudo"
fi

cd "$top"
target=${CARGO_TARGET_DIR:-$top/target}
case $target in /*) ;; *) target=$top/$target ;; esac
say "building (a few minutes the first time) …"
cargo build --locked --release -p ccd -p ccctl
# cc-hook starts for every event: its own profile, and without the dynamic loader where the system can do that.
hook_flags=${RUSTFLAGS:-}
if [ "$(uname -s)" = Linux ]; then hook_flags="$hook_flags -C target-feature=+crt-static"; fi
RUSTFLAGS=$hook_flags cargo build --locked --profile hook -p cc-hook

# All that is put below the prefix, as it shall lie there.
stage=$(mktemp -d "$target/install.XXXXXX")
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/bin"
install -m 755 "$target/release/ccd" "$target/release/ccctl" "$target/hook/cc-hook" "$stage/bin"
new=$stage/bin/ccctl

if [ "$build_only" = yes ]; then
  "$new" upgrade --from "$stage" --prefix "$prefix" --files-only >/dev/null
  exit 0
fi

share=$stage/share
"$new" package-files "$stage/files"
version=$("$new" --version)
mkdir -p "$share"/man/man{1,8} "$share"/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
cp "$stage"/files/man/*.1 "$share/man/man1"
for page in packaging/man/*; do
  sed "s/@VERSION@/${version##* }/" "$page" >"$share/man/man${page##*.}/${page##*/}"
done
cp "$stage/files/completions/ccctl.bash" "$share/bash-completion/completions/ccctl"
cp "$stage/files/completions/_ccctl" "$share/zsh/site-functions"
cp "$stage/files/completions/ccctl.fish" "$share/fish/vendor_completions.d"

# Files and directories that come to be: `ccctl uninstall` removes them.
CCD_INSTALLED_DIRS=$(
  [ -d "$prefix" ] || printf '%s\n' "$prefix"
  (cd "$stage" && find bin share -type d) | while IFS= read -r dir; do
    [ -d "$prefix/$dir" ] || printf '%s\n' "$prefix/$dir"
  done
)
# The new ccctl does what takes care: it goes back if the new programs do not work here.
CCD_INSTALLED_FILES=$("$new" upgrade --from "$stage" --prefix "$prefix")
export CCD_INSTALLED_BY=install.sh CCD_INSTALLED_FILES CCD_INSTALLED_DIRS
ccctl=$prefix/bin/ccctl
"$ccctl" install ${args[@]+"${args[@]}"}

case ":$PATH:" in
  *":$prefix/bin:"*) ;;
  *) say "note: $prefix/bin is not on your PATH; call $ccctl, or add it" ;;
esac
