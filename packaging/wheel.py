#!/usr/bin/env python3
"""Makes a Python wheel that carries the programs.

    wheel.py STAGE OUT_DIR LEVEL

LEVEL is how hard to compress, 0 to 9. Reads what describe.py has said from the environment. The same input gives the
same bytes: the files stand sorted, with the time of SOURCE_DATE_EPOCH.
"""
import base64
import hashlib
import os
import pathlib
import sys
import time
import zipfile


def pkg(name):
    return os.environ["pkg_" + name]


def main(stage, out, level):
    version, tag = pkg("version"), f"py3-none-{pkg('wheel_tag')}"
    dist = pkg("registry_name").replace("-", "_")
    data, info = f"{dist}-{version}.data", f"{dist}-{version}.dist-info"
    files = {}
    for path in (stage / "bin").iterdir():
        files[f"{data}/scripts/{path.name}"] = (path.read_bytes(), 0o755)
    share = f"{data}/data/share"
    for path in (stage / "files/man").iterdir():
        files[f"{share}/man/man{path.suffix[1:]}/{path.name}"] = (path.read_bytes(), 0o644)
    for name, place in (
        ("ccctl.bash", "bash-completion/completions/ccctl"),
        ("_ccctl", "zsh/site-functions/_ccctl"),
        ("ccctl.fish", "fish/vendor_completions.d/ccctl.fish"),
    ):
        files[f"{share}/{place}"] = ((stage / "files/completions" / name).read_bytes(), 0o644)
    for path in (stage / "doc").iterdir():
        if path.name != "README.md":
            files[f"{info}/licenses/{path.name}"] = (path.read_bytes(), 0o644)
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {pkg('registry_name')}",
        f"Version: {version}",
        f"Summary: {pkg('summary')}",
        f"Author: {pkg('maintainer')}",
        f"License: {pkg('license')}",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
        "",
        (stage / "doc/README.md").read_text("utf-8"),
    ]
    files[f"{info}/METADATA"] = ("\n".join(metadata).encode(), 0o644)
    wheel = ["Wheel-Version: 1.0", "Generator: packaging/wheel.py", "Root-Is-Purelib: false", f"Tag: {tag}", ""]
    files[f"{info}/WHEEL"] = ("\n".join(wheel).encode(), 0o644)

    record = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name][0]).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(files[name][0])}\n")
    record.append(f"{info}/RECORD,,\n")

    # A zip file's times begin in 1980.
    epoch = max(int(os.environ["SOURCE_DATE_EPOCH"]), 315532800)
    moment = time.gmtime(epoch)[:6]
    with zipfile.ZipFile(out / f"{dist}-{version}-{tag}.whl", "w") as archive:
        for name, (content, mode) in [*sorted(files.items()), (f"{info}/RECORD", ("".join(record).encode(), 0o644))]:
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=level)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]))
