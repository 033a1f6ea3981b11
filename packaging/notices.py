#!/usr/bin/env python3
"""Prints the licences of everything that is linked into the programs: they ask to stand beside the binaries.

    notices.py > THIRD-PARTY-NOTICES

Takes the texts from the sources that the programs are built of; equal texts stand once. The same Cargo.lock gives the
same bytes.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOTS = ("ccd", "ccctl", "cc-hook")
LICENCE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def said(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(metadata):
    """The packages that are linked, without our own."""
    packages = {p["id"]: p for p in metadata["packages"]}
    nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
    waiting = [i for i, p in packages.items() if p["name"] in ROOTS and p["source"] is None]
    seen = set(waiting)
    while waiting:
        for dep in nodes[waiting.pop()]["deps"]:
            kinds = {k["kind"] for k in dep["dep_kinds"]}
            macro = any("proc-macro" in t["kind"] for t in packages[dep["pkg"]]["targets"])
            if None in kinds and not macro and dep["pkg"] not in seen:
                seen.add(dep["pkg"])
                waiting.append(dep["pkg"])
    found = (packages[i] for i in seen if packages[i]["source"] is not None)
    return sorted(found, key=lambda p: (p["name"], p["version"]))


def texts(package):
    """The licence files of a package, and of what it bundles one directory below."""
    top = pathlib.Path(package["manifest_path"]).parent
    files = sorted(f for f in [*top.glob("*"), *top.glob("*/*")] if f.is_file() and LICENCE.match(f.name))
    for file in files:
        if file.suffix not in (".rs", ".py", ".toml", ".json", ".h", ".c"):
            yield file.read_text("utf-8", "replace").strip()


def ours(metadata):
    """The notices of our own packages: what they were made after."""
    for package in sorted((p for p in metadata["packages"] if p["source"] is None), key=lambda p: p["name"]):
        notice = pathlib.Path(package["manifest_path"]).parent / "NOTICE"
        if notice.is_file():
            yield package["name"], notice.read_text("utf-8").strip()


def main():
    host = re.search(r"^host: (.*)$", said("rustc", "-vV"), re.MULTILINE).group(1)
    metadata = json.loads(said("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    users = {}
    print("The programs contain what is listed here, under these licences; and the Rust standard library,\n"
          "MIT OR Apache-2.0, Copyright (c) The Rust Project Contributors.\n")
    for package in linked(metadata):
        label = f"{package['name']} {package['version']}"
        print(f"{label}: {package['license']}; {', '.join(package['authors']) or 'its authors'}")
        for text in texts(package):
            if label not in users.setdefault(text, []):
                users[text].append(label)
    for text, labels in sorted(users.items(), key=lambda item: item[1]):
        print(f"\n{'=' * 100}\n{', '.join(labels)}\n{'=' * 100}\n\n{text}")
    for name, text in ours(metadata):
        print(f"\n{'=' * 100}\n{name}\n{'=' * 100}\n\n{text}")


sys.stdout.reconfigure(encoding="utf-8")
main()
