#!/usr/bin/env bash
# Checks and tests everything, from a clean clone: style, lints, licences and advisories, then every test,
# those with the real Claude Code client included. Installs what it needs under the target directory.
#
#   tests/run.sh            everything
#   tests/run.sh --fast     without the real client, without ccusage, without rotel, without a browser, and without the release build that
#                           the installer's test and those of the packages need
#   tests/run.sh --bench    the benches as well, before the tests
#   CCD_EVAL=DIR tests/run.sh   the detectors' scores on labelled sessions as well: DIR has dev.jsonl and
#                           dev-workspaces.jsonl.gz, one session or index of a working directory per line
#   tests/run.sh --soak     the long forms of the fault tests: hundreds of kills, faults at every one of 200 writes,
#                           1,500 damaged files, a minute's burst, the model file system's long form; a quarter of an
#                           hour or more. What they counted is printed at the end
#
# A step that cannot run fails the run and says so. The one exception is the advisory database: where it cannot
# be reached, that is said plainly and the run goes on.
#
# Needs: the Rust toolchain, python3, strace, systemd and util-linux on Linux (installed here where apt-get and root are), and unless --fast node, npm,
# openssl, tar, git, pip, Chromium (another than the system's is named by CCD_TEST_CHROMIUM), and on Linux dpkg and rpm (installed here as strace is). Nothing here writes outside the work tree but what
# those tools keep in their own caches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fast=false bench=false soak=false
for argument in "$@"; do
  case $argument in
    --fast) fast=true ;;
    --bench) bench=true ;;
    --soak) soak=true ;;
    *) echo "usage: tests/run.sh [--fast] [--bench] [--soak]" >&2; exit 2 ;;
  esac
done

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/tools/bin"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR=$target PATH=$PATH:$target/tools/bin CARGO_TERM_COLOR=never

step() { printf '\n== %s (%ds)\n' "$*" "$SECONDS"; }
fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is not installed: $2"; }

# Whatever way this ends, nothing is left running.
client_pid='' ccusage_pid='' rotel_pid='' pisama_pid='' deny_pid='' web_pid='' chromium_pid=''
trap 'for pid in $client_pid $ccusage_pid $rotel_pid $pisama_pid $deny_pid $web_pid $chromium_pid; do kill "$pid" 2>/dev/null || true; done' EXIT

# --- what the tests need, fetched while the first checks run -------------------------------------------------

client_version=$(sed -n 's/^pub const CLIENT_VERSION: &str = "\(.*\)";$/\1/p' tests/src/harness/client.rs)
[ -n "$client_version" ] || fail "tests/src/harness/client.rs names no client version"
client_dir=$target/claude-code/$client_version

# The client's program comes as one package per platform; npm checks its integrity against the registry's.
install_client() {
  local system machine scratch
  case $(uname -s) in Linux) system=linux ;; Darwin) system=darwin ;; *) echo "no client for $(uname -s)"; return 1 ;; esac
  case $(uname -m) in x86_64 | amd64) machine=x64 ;; aarch64 | arm64) machine=arm64 ;; *) echo "no client for $(uname -m)"; return 1 ;; esac
  mkdir -p "$target/claude-code"
  scratch=$(mktemp -d "$target/claude-code/fetch.XXXXXX") || return 1
  npm pack --silent --pack-destination "$scratch" "@anthropic-ai/claude-code-$system-$machine@$client_version" &&
    tar -xzf "$scratch"/*.tgz -C "$scratch" &&
    mkdir -p "$client_dir" &&
    mv "$scratch/package/claude" "$client_dir/claude"
  local result=$?
  rm -rf "$scratch"
  return $result
}

if ! $fast && [ -z "${CCD_TEST_CLAUDE:-}" ] && [ ! -x "$client_dir/claude" ]; then
  need npm "the real client comes from the npm registry (--fast goes without it)"
  install_client >"$target/client.log" 2>&1 &
  client_pid=$!
fi

ccusage_version=$(sed -n 's/^pub const CCUSAGE_VERSION: &str = "\(.*\)";$/\1/p' tests/src/harness/ccusage.rs)
[ -n "$ccusage_version" ] || fail "tests/src/harness/ccusage.rs names no version of ccusage"
ccusage_dir=$target/ccusage/$ccusage_version
# The integrity that the registry named for the version above when the comparison was written; of other platforms
# npm's own check against the registry is all there is.
ccusage_integrity=sha512-ydXM6AEUTO/T5dZK04GFGy6ePYBOjv3euQmJt0mDNg+/8SJDLWpg5GCtF9pnBrRR2GVA6b4PGouHe+ObLokBIw==

# Its program, too, comes as one package per platform.
install_ccusage() {
  local system machine scratch got
  case $(uname -s) in Linux) system=linux ;; Darwin) system=darwin ;; *) echo "no ccusage for $(uname -s)"; return 1 ;; esac
  case $(uname -m) in x86_64 | amd64) machine=x64 ;; aarch64 | arm64) machine=arm64 ;; *) echo "no ccusage for $(uname -m)"; return 1 ;; esac
  mkdir -p "$target/ccusage"
  scratch=$(mktemp -d "$target/ccusage/fetch.XXXXXX") || return 1
  fetch_ccusage && mkdir -p "$ccusage_dir" && mv "$scratch/package/bin/ccusage" "$ccusage_dir/ccusage" &&
    chmod +x "$ccusage_dir/ccusage"
  local result=$?
  rm -rf "$scratch"
  return $result
}

fetch_ccusage() {
  npm pack --silent --pack-destination "$scratch" "@ccusage/ccusage-$system-$machine@$ccusage_version" || return 1
  got=sha512-$(openssl dgst -sha512 -binary "$scratch"/*.tgz | base64 | tr -d '\n')
  if [ "$system-$machine" = linux-x64 ] && [ "$got" != "$ccusage_integrity" ]; then
    echo "ccusage $ccusage_version is not what it was: $got"
    return 1
  fi
  tar -xzf "$scratch"/*.tgz -C "$scratch"
}

rotel_version=$(sed -n 's/^pub const ROTEL_VERSION: &str = "\(.*\)";$/\1/p' tests/src/harness/rotel.rs)
rotel_sha256=$(sed -n 's/^pub const ROTEL_SHA256: &str = "\(.*\)";$/\1/p' tests/src/harness/rotel.rs)
[ -n "$rotel_version" ] && [ -n "$rotel_sha256" ] || fail "tests/src/harness/rotel.rs names no version of rotel, or no hash"
rotel_dir=$target/rotel/$rotel_version

# A collector of OpenTelemetry's that is not ours: its program comes in a Python wheel, which is unpacked and not installed.
# The hash is that of Linux on x86-64; of other platforms pip's own check against the registry is all there is.
install_rotel() {
  local scratch got
  mkdir -p "$target/rotel"
  scratch=$(mktemp -d "$target/rotel/fetch.XXXXXX") || return 1
  fetch_rotel && mkdir -p "$rotel_dir" && mv "$scratch/rotel/rotel-agent" "$rotel_dir/rotel-agent" &&
    chmod +x "$rotel_dir/rotel-agent"
  local result=$?
  rm -rf "$scratch"
  return $result
}

fetch_rotel() {
  local platform=()
  # The program is the same for every Python; of all wheels, the one whose hash is known.
  if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
    platform=(--platform manylinux_2_34_x86_64 --python-version 3.11 --implementation cp --abi cp311)
  fi
  python3 -m pip download --quiet --disable-pip-version-check --pre --no-deps --only-binary=:all: "${platform[@]}" \
    --dest "$scratch" "rotel==$rotel_version" || return 1
  if [ ${#platform[@]} != 0 ]; then
    got=$(sha256sum "$scratch"/*.whl | cut -d' ' -f1)
    [ "$got" = "$rotel_sha256" ] || { echo "rotel $rotel_version is not what it was: $got"; return 1; }
  fi
  python3 -m zipfile -e "$scratch"/*.whl "$scratch"
}

if ! $fast && [ -z "${CCD_TEST_ROTEL:-}" ] && [ ! -x "$rotel_dir/rotel-agent" ]; then
  need python3 "rotel, which takes what we send, comes in a Python wheel (--fast goes without it)"
  python3 -m pip --version >/dev/null 2>&1 || fail "pip is not installed: it fetches rotel (--fast goes without it)"
  install_rotel >"$target/rotel.log" 2>&1 &
  rotel_pid=$!
fi

if ! $fast && [ -z "${CCD_TEST_CCUSAGE:-}" ] && [ ! -x "$ccusage_dir/ccusage" ]; then
  need npm "ccusage, which ours is compared with, comes from the npm registry (--fast goes without it)"
  need openssl "it checks what the registry sent"
  install_ccusage >"$target/ccusage.log" 2>&1 &
  ccusage_pid=$!
fi

# Another recorder's client, which our ingestion is tried with: everything by version, and by hash but for the one package
# that has a wheel for each platform.
pisama_version=$(sed -n 's/^pub const PISAMA_VERSION: &str = "\(.*\)";$/\1/p' tests/src/harness/pisama.rs)
[ -n "$pisama_version" ] || fail "tests/src/harness/pisama.rs names no version of pisama-cc"
pisama_dir=$target/pisama/$pisama_version
pydantic_core_version=2.50.4
install_pisama() {
  rm -rf "$pisama_dir" && python3 -m venv "$pisama_dir" &&
    "$pisama_dir/bin/pip" install -q --no-deps --only-binary :all: "pydantic-core==$pydantic_core_version" &&
    "$pisama_dir/bin/pip" install -q --no-deps --require-hashes --only-binary :all: -r tests/pisama.txt &&
    cp tests/pisama.txt "$pisama_dir/complete"
}

if ! $fast && [ -z "${CCD_TEST_PISAMA:-}" ] && ! cmp -s tests/pisama.txt "$pisama_dir/complete"; then
  need python3 "pisama-cc, which our ingestion is tried with, comes from PyPI (--fast goes without it)"
  mkdir -p "$target/pisama"
  install_pisama >"$target/pisama.log" 2>&1 &
  pisama_pid=$!
fi

# What drives the browser, looks at what it shows and at exported files: by the lock file's integrity hashes, and running nothing of theirs.
web_tools=$target/web-tools
install_web_tools() {
  mkdir -p "$web_tools" && cp tests/web/package.json tests/web/package-lock.json "$web_tools" &&
    (cd "$web_tools" && npm ci --ignore-scripts --no-audit --no-fund) && touch "$web_tools/complete"
}

if ! $fast && { [ ! -e "$web_tools/complete" ] || ! cmp -s tests/web/package-lock.json "$web_tools/package-lock.json"; }; then
  need npm "what drives the browser comes from the npm registry (--fast goes without it)"
  rm -f "$web_tools/complete"
  install_web_tools >"$target/web-tools.log" 2>&1 &
  web_pid=$!
fi

# The oracle is a script.
need python3 "the oracle that numbers are compared with is a script"

if ! command -v cargo-deny >/dev/null; then
  # A build directory of its own: it runs beside our own builds and must not wait for their lock. Unoptimised: it runs for
  # seconds, and would be optimised for minutes.
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$target/tools/build nice cargo install --locked --debug --root "$target/tools" \
    cargo-deny \
    >"$target/tools/cargo-deny.log" 2>&1 &
  deny_pid=$!
fi

# system_tool PROGRAM PACKAGE: a program of the system, installed where that can be done.
system_tool() {
  if command -v "$1" >/dev/null; then return; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get install -y -q "$2" || { apt-get update -q && apt-get install -y -q "$2"; }; } >"$target/$2.log" 2>&1 ||
      { tail -5 "$target/$2.log" >&2; fail "$2 could not be installed"; }
  else
    fail "$1 is not installed: install it with your system's package manager"
  fi
}

# The store's tests inject failing writes with strace.
if [ "$(uname -s)" = Linux ]; then
  system_tool strace strace
  # The service's units are checked by systemd's own tools, and run under its own user manager.
  system_tool systemd-analyze systemd
  system_tool unshare util-linux
fi
# The packages are built and installed.
if ! $fast; then
  need python3 "the packages' scripts are written in it (--fast goes without them)"
  need git "Homebrew's archive comes from it (--fast goes without it)"
  if [ "$(uname -s)" = Linux ]; then
    system_tool dpkg-deb dpkg
    system_tool rpmbuild rpm
  fi
fi
# The pages are looked at in a real browser, which is large: it comes while we build, and after the packages above, because
# the system installs one thing at a time.
if ! $fast; then
  need node "the browser's tests are scripts of its own (--fast goes without them)"
  if [ -n "${CCD_TEST_CHROMIUM:-}" ]; then
    [ -x "$CCD_TEST_CHROMIUM" ] || fail "CCD_TEST_CHROMIUM names no program: $CCD_TEST_CHROMIUM"
  else
    (system_tool chromium chromium) &
    chromium_pid=$!
  fi
fi

# --- style, lints, builds ------------------------------------------------------------------------------------

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "cc-hook as it is installed"
static=
[ "$(uname -s)" = Linux ] && static='-C target-feature=+crt-static'
RUSTFLAGS=$static cargo build --locked --profile hook -p cc-hook

# In one go: by themselves the programs would be compiled with fewer features of what tests use too, and all below them twice.
step "programs and tests, compiled"
cargo build --locked --workspace --bins --tests

# --- dependencies --------------------------------------------------------------------------------------------

step "dependencies"
if [ -n "$deny_pid" ]; then
  echo "waiting for cargo-deny to be built"
  wait "$deny_pid" || { tail -20 "$target/tools/cargo-deny.log" >&2; fail "cargo-deny could not be installed"; }
  deny_pid=
  rm -rf "$target/tools/build"
fi
cargo deny check bans licenses sources
if fetched=$(cargo deny fetch db 2>&1); then
  cargo deny check advisories
elif grep -q 'failed to fetch advisory database' <<<"$fetched"; then
  echo "advisories: NOT CHECKED (database unreachable)"
else
  echo "$fetched" >&2
  fail "the advisory database"
fi

# --- benches and tests ---------------------------------------------------------------------------------------

if [ -n "$client_pid" ]; then
  step "the real client, $client_version"
  wait "$client_pid" || { tail -20 "$target/client.log" >&2; fail "the real client could not be installed"; }
  client_pid=
fi

if [ -n "$pisama_pid" ]; then
  step "pisama-cc, $pisama_version"
  wait "$pisama_pid" || { tail -20 "$target/pisama.log" >&2; fail "pisama-cc could not be installed"; }
  pisama_pid=
fi
if [ -n "$ccusage_pid" ]; then
  step "ccusage, $ccusage_version"
  wait "$ccusage_pid" || { tail -20 "$target/ccusage.log" >&2; fail "ccusage could not be installed"; }
  ccusage_pid=
fi

if [ -n "$rotel_pid" ]; then
  step "rotel, $rotel_version"
  wait "$rotel_pid" || { tail -20 "$target/rotel.log" >&2; fail "rotel could not be installed"; }
  rotel_pid=
fi

if ! $fast; then
  step "the browser"
  if [ -n "$chromium_pid" ]; then
    wait "$chromium_pid" || fail "the pages cannot be tested without Chromium (--fast goes without it)"
    chromium_pid=
  fi
  if [ -n "$web_pid" ]; then
    wait "$web_pid" || { tail -20 "$target/web-tools.log" >&2; fail "what drives the browser could not be installed"; }
    web_pid=
  fi
  "${CCD_TEST_CHROMIUM:-chromium}" --version 2>/dev/null || fail "the browser does not start"
fi

if $bench; then
  step "benches"
  cargo build --locked --release --workspace --bins
  "$target/release/ccd-bench"
  # Redaction alone: no daemon in it.
  cargo bench --locked -p ccd-redact --bench speed
fi

if ! $fast; then
  # They need no daemon and no browser.
  step "the pages' modules"
  need node "the modules of the web pages are tested by its test runner (--fast goes without it)"
  node --test --test-reporter=dot tests/web/*.test.mjs
fi

step "documentation examples"
cargo test --locked --workspace --doc --quiet

run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    local arguments=(-E 'all()')
    $fast && arguments=(-E 'not test(/^real_client::/) and not (package(ccd-tests) and test(/^healing::/)) and not test(/^numbers::(real|ccusage)::/) and not test(/^mcp::the_real_client/) and not test(/^readme::the_installer/) and not test(/^packages::/) and not test(/^otlp::collector/) and not test(/^pisama::/) and not test(/^export::a_real_client/) and not test(/^telemetry::/) and not test(/^browser::/)')
    $soak && arguments+=(--profile soak --success-output final)
    cargo nextest run --locked --workspace --config-file tests/nextest.toml "${arguments[@]}"
  else
    local arguments=(--)
    $soak && arguments+=(--show-output)
    $fast && arguments+=(--skip real_client:: --skip healing:: --skip numbers::real:: --skip numbers::ccusage:: --skip mcp::the_real_client --skip readme::the_installer --skip packages:: --skip otlp::collector --skip pisama:: --skip export::a_real_client --skip telemetry:: --skip browser::)
    cargo test --locked --workspace --no-fail-fast "${arguments[@]}"
  fi
}

# Labelled sessions, where somebody has them: what the detectors make of them. Goals, not limits: nothing fails by it.
if [ -n "${CCD_EVAL:-}" ]; then
  step "detectors, scored on the labelled sessions of CCD_EVAL"
  cargo run --locked --quiet -p ccd-detect --example score -- --subtypes
fi

if $soak; then
  step "tests, the long forms"
  result=0
  CCD_SOAK=1 run_tests 2>&1 | tee "$target/soak.log" || result=$?
  step "what the fault tests counted"
  grep -aoE '^ *counted: .*' "$target/soak.log" || true
  exit "$result"
fi
step "tests"
# What the installer and the packages are tried with is built as they say, but for its optimisation, which takes most of
# the time: whoever builds it afterwards gets the real thing, for cargo tells the two apart.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
run_tests
