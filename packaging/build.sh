#!/usr/bin/env bash
# Builds packages that carry ccd: each is one command, and the same sources give the same bytes.
#
#   packaging/build.sh FORMAT... [--out DIR] [--bin DIR] [--base-url URL] [--quick]
#
# FORMAT         deb, rpm, wheel, npm, brew, or all that this system can make
#   --out DIR    where the packages and SHA256SUMS go     (default: target/packages)
#   --bin DIR    the programs ccd, ccctl and cc-hook, already built; built as install.sh does otherwise.
#                They have to run on this machine: pages and completions come from them
#   --base-url URL   where the formula shall find the source archive (default: file://DIR)
#   --quick      hardly compressed: to try packages out
#
# Needs python3 (3.9 or newer) and cargo; dpkg-deb for deb, rpmbuild for rpm, git for brew. Needs no root.
# Packages are dated SOURCE_DATE_EPOCH; without it, as the last commit is.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }
need() { command -v "$1" >/dev/null || die "no $1: $2"; }

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$PWD
out=${CARGO_TARGET_DIR:-$top/target}/packages bin='' base_url='' level=9 formats=()
while [ $# -gt 0 ]; do
  case $1 in
    --out | --bin | --base-url)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in --out) out=$2 ;; --bin) bin=$2 ;; --base-url) base_url=${2%/} ;; esac
      shift 2 ;;
    --quick) level=0; shift ;;
    deb | rpm | wheel | npm | brew) formats+=("$1"); shift ;;
    all)
      [ "$(uname -s)" != Linux ] || formats+=(deb rpm)
      formats+=(wheel npm brew); shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "$1 is no format and no option: see --help" ;;
  esac
done
[ ${#formats[@]} -gt 0 ] || die "which format? deb, rpm, wheel, npm, brew, or all"
case $out in /*) ;; *) out=$here/$out ;; esac
case $bin in /* | '') ;; *) bin=$here/$bin ;; esac

need python3 "install Python 3.9 or newer"
need cargo "install Rust from https://rustup.rs"
for format in "${formats[@]}"; do
  case $format in
    deb) need dpkg-deb "install dpkg" ;;
    rpm) need rpmbuild "install rpm (Debian) or rpm-build (Fedora)" ;;
    brew) need git "the source archive comes from it" ;;
  esac
done

cd "$top"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[ -n "$epoch" ] || die "no git history: set SOURCE_DATE_EPOCH"
umask 022
mkdir -p "$out"
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# --- what every package carries ------------------------------------------------------------------------------

if [ -z "$bin" ]; then
  # Without the date: for every other one the C libraries would be compiled anew, and with them everything else.
  env -u SOURCE_DATE_EPOCH ./packaging/install.sh --build-only --prefix "$work/prefix"
  bin=$work/prefix/bin
fi
export SOURCE_DATE_EPOCH=$epoch LC_ALL=C TZ=UTC
said=$(python3 packaging/describe.py "$bin") || exit 1
eval "$said"

stage=$work/stage
mkdir -p "$stage/bin" "$stage/doc"
for program in ccd ccctl cc-hook; do install -m 755 "$bin/$program" "$stage/bin/$program"; done
"$stage/bin/ccctl" package-files "$stage/files" --ccd /usr/bin/ccd
for page in packaging/man/*; do
  sed "s/@VERSION@/$pkg_version/" "$page" >"$stage/files/man/${page##*/}"
done
install -m 644 README.md LICENSE-APACHE LICENSE-MIT "$stage/doc"
python3 packaging/notices.py >"$stage/doc/THIRD-PARTY-NOTICES"

# --- the file system of a system's package -------------------------------------------------------------------

# tree DIR ZSH_DIR: what lies where under /.
tree() {
  local usr=$1/usr page
  mkdir -p "$usr/bin" "$usr/lib/systemd/user" "$usr/share/doc/$pkg_name" "$usr/share/bash-completion/completions" \
    "$usr/share/fish/vendor_completions.d" "$usr/share/zsh/$2" "$usr/share/man/man1" "$usr/share/man/man8"
  install -m 755 "$stage"/bin/* "$usr/bin"
  install -m 644 "$stage/files/systemd/ccd.service" "$usr/lib/systemd/user"
  install -m 644 "$stage/files/completions/ccctl.bash" "$usr/share/bash-completion/completions/ccctl"
  install -m 644 "$stage/files/completions/ccctl.fish" "$usr/share/fish/vendor_completions.d"
  install -m 644 "$stage/files/completions/_ccctl" "$usr/share/zsh/$2"
  for page in "$stage"/files/man/*; do
    gzip -9nc "$page" >"$usr/share/man/man${page##*.}/${page##*/}.gz"
  done
  install -m 644 "$stage"/doc/* "$usr/share/doc/$pkg_name"
}

# as_of_epoch DIR: every file and directory as old as the sources.
as_of_epoch() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# --- the formats ---------------------------------------------------------------------------------------------

build_deb() {
  local root=$work/deb doc
  tree "$root" vendor-completions
  doc=$root/usr/share/doc/$pkg_name
  # Debian wants the licences in one file of this name.
  { printf 'ccd: %s\n\n' "$pkg_license"; cat "$doc/LICENSE-MIT"; printf '\n'; cat "$doc/LICENSE-APACHE"; printf '\n'
    cat "$doc/THIRD-PARTY-NOTICES"; } >"$doc/copyright"
  rm "$doc"/LICENSE-* "$doc/THIRD-PARTY-NOTICES"
  mkdir "$root/DEBIAN"
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\n' "$pkg_name" "$pkg_version" "$pkg_deb_arch"
    printf 'Maintainer: %s\n' "$pkg_maintainer"
    printf 'Installed-Size: %s\n' "$(du -sk --apparent-size "$root/usr" | cut -f1)"
    [ -z "$pkg_depends" ] || printf 'Depends: %s\n' "$pkg_depends"
    printf 'Section: devel\nPriority: optional\n'
    printf 'Description: %s\n' "$pkg_summary"
    printf '%s\n' "$pkg_description" | sed 's/^/ /'
  } >"$root/DEBIAN/control"
  install -m 755 packaging/deb/postinst packaging/deb/prerm "$root/DEBIAN"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  as_of_epoch "$root"
  dpkg-deb --root-owner-group -Zxz "-z$((level * 2 / 3))" --build "$root" "$out/${pkg_name}_${pkg_version}_$pkg_deb_arch.deb" >/dev/null
  made+=("${pkg_name}_${pkg_version}_$pkg_deb_arch.deb")
}

build_rpm() {
  local root=$work/rpm file=$pkg_name-$pkg_version-1.$pkg_rpm_arch.rpm name defines=()
  tree "$root/tree" site-functions
  as_of_epoch "$root/tree"
  for name in name version license maintainer summary description; do
    name=pkg_$name
    defines+=(--define "$name ${!name}")
  done
  rpmbuild --quiet -bb --target "$pkg_rpm_arch-linux" "${defines[@]}" \
    --define "tree $root/tree" --define "_topdir $root" --define "_rpmdir $root/made" --define "_prefix /usr" \
    --define "_rpmfilename $file" --define "_binary_payload w$((level * 2 / 3)).xzdio" packaging/rpm/ccd.spec >"$root/log" 2>&1 ||
    { cat "$root/log" >&2; die "rpmbuild failed"; }
  mv "$root/made/$file" "$out/$file"
  made+=("$file")
}

build_wheel() {
  python3 packaging/wheel.py "$stage" "$out" "$level"
  made+=("${pkg_registry_name//-/_}-$pkg_version-py3-none-$pkg_wheel_tag.whl")
}

build_npm() {
  python3 packaging/npm.py "$stage" "$out" "$level"
  made+=("$pkg_registry_name-$pkg_version.tgz" "$pkg_registry_name-$pkg_system-$pkg_npm_arch-$pkg_version.tgz")
}

build_brew() {
  local archive=$pkg_name-$pkg_version.tar.gz sum
  git archive --format=tar --prefix="$pkg_name-$pkg_version/" HEAD | gzip -9n >"$out/$archive"
  sum=$(sha256 "$out/$archive")
  sed -e "s|@SUMMARY@|$pkg_summary|" -e "s|@URL@|${base_url:-file://$out}/$archive|" -e "s|@SHA256@|${sum%% *}|" \
    packaging/brew/ccd.rb.in >"$out/$pkg_name.rb"
  made+=("$archive" "$pkg_name.rb")
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

made=()
for format in "${formats[@]}"; do "build_$format"; done
cd "$out"
sha256 "${made[@]}" >SHA256SUMS
say "made in $out:"
ls -l "${made[@]}" | awk '{ printf "%10d  %s\n", $5, $9 }' >&2
