#!/usr/bin/env python3
"""Counts transcripts the simplest way there is: read every line, keep one entry per billed message, add up.

    usage.py DIR [ZONE [SINCE UNTIL]]      prints {"messages": …, "groups": {"daily model": {"2026-01-01\\tclaude-…": …}}}

The rules, in full:
- a message is (message.id, requestId); lines that lack a request id count only if no line of that id has one
- lines of one message repeat its usage, or grow it: the largest figure of each kind holds
- what was written to the cache and is not said to be for an hour is for five minutes
- `<synthetic>` is the client talking to itself
- a message in several files (forks copy lines) is of the file that was made first
- what a session's closing totals (`cost-state`) have beyond its messages are requests that no line tells of.
  A resumed session counts on under the same startTime; a fork starts from its original's last totals
"""
import collections, datetime, itertools, json, os, pathlib, subprocess, sys, zoneinfo
from fractions import Fraction

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# Dollars per million tokens, in the order of KINDS; above this prompt, these instead.
PRICES = {
    "claude-opus-5-5": ("4 20 0.2 5 8",),
    "claude-opus-4-8": ("5 25 0.5 6.25 10",),
    "claude-sonnet-5-5": ("2 10 0.2 2.5 4",),
    "claude-haiku-5-5": ("0.1 0.5 0.01 0.125 0.2", 100_000, "0.5 2.5 0.05 0.625 1"),
    "claude-sonnet-4-5-20250929": ("3 15 0.3 3.75 6", 200_000, "6 22.5 0.6 7.5 12"),
}


def cost(model, tokens, searches, tier):
    """Micro-dollars, rounded half up; None without a price. Where prompts are unknown, plain prices hold."""
    if model not in PRICES:
        return None
    price, *above = PRICES[model]
    if above and tier != "unknown" and tokens[0] + sum(tokens[2:]) > above[0]:
        price = above[1]
    micros = sum(Fraction(p) * n for p, n in zip(price.split(), tokens))
    if tier == "batch":
        micros /= 2
    return int(micros + Fraction(1, 2)) + 10_000 * searches


def born(files):
    """When each file was made, as something that sorts."""
    if hasattr(os.stat(files[0]), "st_birthtime_ns"):
        return {name: os.stat(name).st_birthtime_ns for name in files}
    out = subprocess.run(["stat", "-c", "%w", *files], capture_output=True, text=True, check=True).stdout
    return dict(zip(files, out.splitlines()))


def most(a, b):
    return tuple(map(max, a, b))


def read(root):
    """Every message once, every session's project, and every closing total."""
    files = sorted(str(path) for path in pathlib.Path(root).rglob("*.jsonl"))
    made = born(files)
    messages, projects, states = {}, {}, collections.defaultdict(list)
    for path in map(pathlib.Path, files):
        session, agent, at = path.stem, "main", None
        if path.name.startswith("agent-"):
            session, agent, meta = None, "subagent", path.with_suffix(".meta.json")
            if meta.exists():
                agent = json.loads(meta.read_text())["agentType"]
        for raw in path.open("rb"):
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            if not isinstance(line, dict):
                continue
            session = session or line.get("sessionId")
            at = line.get("timestamp", at)
            if "cwd" in line and agent == "main":
                projects.setdefault(session, pathlib.PurePath(line["cwd"]).name)
            if line["type"] == "cost-state":
                states[session].append((line["startTime"], at, {
                    model: ((u["inputTokens"], u["outputTokens"], u["cacheReadInputTokens"],
                             u["cacheCreationEphemeral5mInputTokens"], u["cacheCreationEphemeral1hInputTokens"]),
                            u["webSearchRequests"]) for model, u in line["modelUsage"].items()}))
            message = line.get("message")
            if line["type"] != "assistant" or message["model"] == "<synthetic>":
                continue
            u = message["usage"]
            split = u.get("cache_creation") or {}
            hour = split.get("ephemeral_1h_input_tokens", 0)
            five = max(split.get("ephemeral_5m_input_tokens", 0), u["cache_creation_input_tokens"] - hour)
            new = {
                "tokens": (u["input_tokens"], u["output_tokens"], u["cache_read_input_tokens"], five, hour),
                "searches": (u.get("server_tool_use") or {}).get("web_search_requests", 0),
                "owner": (made[str(path)], session, agent), "at": at, "model": message["model"],
                "branch": line.get("gitBranch", ""), "tier": u.get("service_tier"),
            }
            key = message["id"], line.get("requestId")
            old = messages.setdefault(key, new)
            old["tokens"] = most(old["tokens"], new["tokens"])
            old["searches"] = max(old["searches"], new["searches"])
            old["owner"] = min(old["owner"], new["owner"])
            old["at"] = min(old["at"], new["at"])
    named = {id for id, request in messages if request}
    entries, ignored = [], []
    for (id, request), m in messages.items():
        _, session, agent = m["owner"]
        counts = request or id not in named
        (entries if counts else ignored).append(m | {"session": session, "agent": agent, "side": False})
    return entries, ignored, projects, states


def rest(entries, states):
    """What only the closing totals tell of, one entry per session and model."""
    of = collections.defaultdict(list)
    for entry in entries:
        of[entry["session"]].append(entry)
    last = {}
    for session, told in states.items():
        last[session] = told[-1][1]
        total, first = {}, min((e["at"] for e in of[session]), default=told[-1][1])
        for start in {start for start, _, _ in told}:
            top, base = {}, {}
            for other, others in states.items():
                for began, at, models in others:
                    if began == start and (other == session or at <= first):
                        side = top if other == session else base
                        for model, (tokens, searches) in models.items():
                            old = side.get(model, ((0,) * 5, 0))
                            side[model] = most(old[0], tokens), max(old[1], searches)
            for model, (tokens, searches) in top.items():
                less = base.get(model, ((0,) * 5, 0))
                old = total.get(model, ((0,) * 5, 0))
                total[model] = (tuple(o + t - l for o, t, l in zip(old[0], tokens, less[0])),
                                old[1] + searches - less[1])
        for model, (tokens, searches) in total.items():
            for entry in of[session]:
                if entry["model"] == model:
                    tokens = tuple(a - b for a, b in zip(tokens, entry["tokens"]))
                    searches -= entry["searches"]
            tokens = tuple(max(0, n) for n in tokens)
            if tokens[0] + sum(tokens[2:]) > 0:
                yield {"tokens": tokens, "searches": max(0, searches), "at": last[session], "model": model,
                       "branch": "", "tier": "unknown", "session": session, "agent": "main", "side": True}


def main(root, zone="UTC", since="0001-01-01T00:00:00Z", until="9999-01-01T00:00:00Z"):
    entries, ignored, projects, states = read(root)
    entries += rest(entries, states)
    zone = zoneinfo.ZoneInfo(zone)
    for e in entries:
        when = datetime.datetime.fromisoformat(e["at"])
        local = when.astimezone(zone)
        e |= {
            "total": None, "daily": str(local.date()), "monthly": local.strftime("%Y-%m"),
            "weekly": str(local.date() - datetime.timedelta(days=local.weekday())), "hour": local.strftime("%H:00"),
            "project": projects.get(e["session"]) or "(none)", "branch": e["branch"] or "(none)",
            "when": when, "cost": cost(e["model"], e["tokens"], e["searches"], e["tier"]),
        }
    starts = []  # of blocks: all use counts, whatever the range
    for e in sorted(entries, key=lambda e: e["when"]):
        if not starts or e["when"] >= starts[-1] + datetime.timedelta(hours=5):
            starts.append(e["when"].replace(minute=0, second=0, microsecond=0))
        e["blocks"] = starts[-1].strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    since, until = map(datetime.datetime.fromisoformat, (since, until))
    entries = [e for e in entries if since <= e["when"] < until]
    keys = ("model", "project", "agent", "branch", "hour")
    groups = {}
    for period in ("total", "daily", "weekly", "monthly", "session", "blocks"):
        for by in [(), *((key,) for key in keys), *itertools.combinations(keys, 2), keys]:
            group = groups.setdefault(" ".join((period, *by)), {})
            for e in entries:
                name = "\t".join(e[key] for key in (period, *by) if e[key] is not None)
                sum_ = group.setdefault(name, {"tokens": [0] * 5, "cost": None, "messages": 0})
                sum_["tokens"] = [a + b for a, b in zip(sum_["tokens"], e["tokens"])]
                sum_["messages"] += not e["side"]
                if e["cost"] is not None:
                    sum_["cost"] = (sum_["cost"] or 0) + e["cost"]
    side = [e for e in entries if e["side"]]
    added = lambda of: [sum(k) for k in zip((0,) * 5, *(e["tokens"] for e in of))]
    json.dump({"messages": len(entries) - len(side), "groups": groups, "side": added(side), "ignored": added(ignored),
               "side_sessions": len({e["session"] for e in side})}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
