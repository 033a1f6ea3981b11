#!/usr/bin/env python3
"""Says what packages have to say of themselves, as shell assignments.

    describe.py BIN_DIR

Name, version, licence and texts come from `cargo metadata`; the platform from the programs in BIN_DIR, not from the
machine that this runs on. Must never hold a version or a text of its own.
"""
import json
import pathlib
import re
import shlex
import struct
import subprocess
import sys

PROGRAMS = ("ccd", "ccctl", "cc-hook")
# Machine: Debian's name, rpm's and the wheels' name, npm's name.
LINUX = {0x3E: ("amd64", "x86_64", "x64"), 0xB7: ("arm64", "aarch64", "arm64")}
DARWIN = {0x01000007: ("amd64", "x86_64", "x64"), 0x0100000C: ("arm64", "arm64", "arm64")}


def die(text):
    sys.exit(f"describe.py: {text}")


def platform(path):
    """System and machine of a program."""
    head = path.read_bytes()[:20]
    if head[:4] == b"\x7fELF" and head[4:6] == b"\x02\x01":
        (machine,) = struct.unpack_from("<H", head, 18)
        return ("linux", LINUX.get(machine) or die(f"{path}: machine {machine:#x} is not known"))
    if head[:4] == b"\xcf\xfa\xed\xfe":
        (machine,) = struct.unpack_from("<I", head, 4)
        return ("darwin", DARWIN.get(machine) or die(f"{path}: machine {machine:#x} is not known"))
    return die(f"{path} is no program for Linux or macOS")


def is_dynamic(program):
    """Whether an ELF program names an interpreter (PT_INTERP)."""
    at, size, count = (*struct.unpack_from("<Q", program, 32), *struct.unpack_from("<HH", program, 54))
    return any(struct.unpack_from("<I", program, at + i * size)[0] == 3 for i in range(count))


def glibc(paths):
    """The oldest glibc that all of them run with; none where they need none."""
    needed = [(0, 0)]
    for path in paths:
        program = path.read_bytes()
        if is_dynamic(program):
            found = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", program)
            needed += [(int(major), int(minor)) for major, minor in found]
    major, minor = max(needed)
    return f"{major}.{minor}" if major else ""


def depends(paths, libc):
    """What Debian calls what they are linked to."""
    if not libc:
        return ""
    unwinds = any(b"\0libgcc_s.so.1\0" in path.read_bytes() for path in paths)
    return f"libc6 (>= {libc})" + (", libgcc-s1" if unwinds else "")


def main(bin_dir):
    paths = [bin_dir / name for name in PROGRAMS]
    for path in paths:
        path.is_file() or die(f"{path} is missing")
    kinds = {platform(path) for path in paths}
    len(kinds) == 1 or die(f"the programs in {bin_dir} are for several platforms")
    ((system, (deb, machine, npm)),) = kinds

    said = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], check=True, stdout=subprocess.PIPE
    ).stdout
    metadata = json.loads(said)
    texts = metadata["metadata"]["packaging"]
    package = next(p for p in metadata["packages"] if p["name"] == "ccctl")
    libc = glibc(paths) if system == "linux" else ""
    if system == "darwin":
        tag = f"macosx_11_0_{machine}"
    else:
        # What needs no libc runs wherever the oldest tag may stand.
        tag = f"manylinux_{(libc or '2.17').replace('.', '_')}_{machine}"
    for name, value in {
        "name": texts["name"],
        "registry_name": texts["registry-name"],
        "version": package["version"],
        "license": package["license"],
        "maintainer": texts["maintainer"],
        "summary": texts["summary"],
        "description": "\n".join(texts["description"]),
        "system": system,
        "deb_arch": deb,
        "rpm_arch": machine,
        "npm_arch": npm,
        "glibc": libc,
        "depends": depends(paths, libc),
        "wheel_tag": tag,
    }.items():
        print(f"export pkg_{name}={shlex.quote(value)}")


main(pathlib.Path(sys.argv[1]))
