#!/usr/bin/env bash
# What somebody does who follows the README on a fresh machine. Leaves in /out what every step said.
set -euo pipefail
step() { printf '== %s (%ds)\n' "$*" "$SECONDS" >&2; }

# Every file of the home, with its hash, and every directory.
tree() {
  (cd ~ && {
    find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    find . -mindepth 1 -type d | sort | sed 's/^/directory  /'
  }) >"/out/$1"
}

claude() {
  (cd ~/work && env "ANTHROPIC_API_KEY=$KEY" CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 IS_SANDBOX=1 \
    /opt/claude -p "$1" --output-format json --permission-mode bypassPermissions </dev/null)
}

step "an API, which the client is set to"
"$MOCK" >/out/mock.log &
until grep -q http /out/mock.log; do sleep 0.1; done
mkdir ~/.claude
printf '{\n  "model": "opus",\n  "env": { "ANTHROPIC_BASE_URL": "%s" }\n}\n' "$(head -n 1 /out/mock.log)" >~/.claude/settings.json
# The client's own first run writes into the home, too.
claude "hello" >/out/hello.json
tree before

step "the README's first command"
cd "$REPO"
./packaging/install.sh >/out/install 2>/out/install.err || { cat /out/install.err >&2; exit 1; }
PATH=$HOME/.local/bin:$PATH

step "a session"
claude "demo: look around" >/out/demo.json
for question in status sessions turns exchanges; do ccctl "$question" --json >"/out/$question.json"; done
ccctl doctor >/out/doctor || true

step "the same command again"
./packaging/install.sh >/out/again 2>/out/again.err || { cat /out/again.err >&2; exit 1; }
ccctl status --json >/out/status-again.json
ccctl sessions --json >/out/sessions-again.json

step "away with it"
ccctl uninstall --now --purge >/out/uninstall 2>&1
tree after
