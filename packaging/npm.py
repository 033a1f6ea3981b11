#!/usr/bin/env python3
"""Makes two npm packages: one for every platform, which people name, and the one that holds this platform's programs.

    npm.py STAGE OUT_DIR LEVEL

The first names one of the second kind for each platform as an optional dependency of exactly its own version; npm takes
the one that fits. LEVEL is how hard to compress, 0 to 9. Reads what describe.py has said from the environment. The same
input gives the same bytes.
"""
import gzip
import io
import json
import os
import pathlib
import sys
import tarfile

PLATFORMS = ("darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64")


def pkg(name):
    return os.environ["pkg_" + name]


def pack(path, files, level):
    """A package's archive; `files` are contents and modes by name."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, int(os.environ["SOURCE_DATE_EPOCH"])
            archive.addfile(entry, io.BytesIO(content))
    path.write_bytes(gzip.compress(plain.getvalue(), level, mtime=0))


def manifest(name, **more):
    common = {
        "name": name,
        "version": pkg("version"),
        "description": pkg("summary"),
        "author": pkg("maintainer"),
        "license": f"({pkg('license')})",
    }
    return (json.dumps(common | more, indent=2) + "\n").encode(), 0o644


def main(stage, out, level):
    name, version = pkg("registry_name"), pkg("version")
    here = pathlib.Path(__file__).parent
    docs = {path.name: (path.read_bytes(), 0o644) for path in (stage / "doc").iterdir()}
    pages = {f"man/{path.name}": (path.read_bytes(), 0o644) for path in (stage / "files/man").iterdir()}
    scripts = {
        f"completions/{path.name}": (path.read_bytes(), 0o644) for path in (stage / "files/completions").iterdir()
    }
    main_files = {
        "package.json": manifest(
            name,
            bin={"ccctl": "bin/ccctl.js"},
            # npm cannot follow a page that only leads to another one.
            man=[f"./{page}" for page, (text, _) in sorted(pages.items()) if not text.startswith(b".so ")],
            engines={"node": ">=16"},
            optionalDependencies={f"{name}-{platform}": version for platform in PLATFORMS},
        ),
        "bin/ccctl.js": ((here / "npm/launcher.js").read_bytes(), 0o755),
    }
    pack(out / f"{name}-{version}.tgz", main_files | docs | pages | scripts, level)

    platform = f"{pkg('system')}-{pkg('npm_arch')}"
    chosen = {"os": [pkg("system")], "cpu": [pkg("npm_arch")]}
    if pkg("glibc"):
        chosen["libc"] = ["glibc"]
    programs = {f"bin/{path.name}": (path.read_bytes(), 0o755) for path in (stage / "bin").iterdir()}
    about = f"The programs of {name} for {platform}.\n".encode(), 0o644
    files = {"package.json": manifest(f"{name}-{platform}", **chosen, preferUnplugged=True)} | docs
    pack(out / f"{name}-{platform}-{version}.tgz", files | {"README.md": about} | programs, level)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]))
