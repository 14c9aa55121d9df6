#!/usr/bin/env python3
"""Make what people install without a compiler, from programs that are built:

    tools/dist.py [--programs target/release] [--into dist]

    classifier-serving-VERSION-MACHINE-linux.tar.gz     the programs, the guides, the script that fetches TensorFlow
    classifier-serving_VERSION_ARCHITECTURE.deb         the same for Debian and Ubuntu; needs dpkg-deb
    classifier_serving-VERSION-py3-none-PLATFORM.whl    the command for `pip install`, with TensorFlow as its dependency

Each is the same for the same programs: times in it are those of the last commit, or SOURCE_DATE_EPOCH.
"""
import argparse
import base64
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "classifier-serving"
SUMMARY = "Serves Keras image classifiers behind a REST API, in one process or as a fleet"
PROGRAMS = ["classifier", "classifier-api", "classifier-worker"]
GUIDES = ["README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md"]

# The versions of TensorFlow whose C library the programs open: see `MAJOR` in engine/tensorflow/src/library/check.rs.
REQUIRES = "tensorflow-cpu>=2.16,<3; platform_machine == 'x86_64'", "tensorflow>=2.16,<3; platform_machine != 'x86_64'"

# What Debian calls a machine.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Failure(Exception):
    """One sentence for the person at the terminal."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--programs", type=Path, default=ROOT / "target/release", help="folder with the programs")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder for what is made")
    options = parser.parse_args()
    try:
        make(options.programs, options.into)
    except Failure as failure:
        print(f"dist: {failure}", file=sys.stderr)
        return 1
    return 0


def make(programs, into):
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in ARCHITECTURES:
        raise Failure(f"this is {platform.system()} on {machine}, expected Linux on {' or '.join(ARCHITECTURES)}")
    missing = [name for name in PROGRAMS if not (programs / name).is_file()]
    if missing:
        raise Failure(f"{programs} has no {', '.join(missing)}: run `make dist`, which builds them")
    version = re.search(r'(?m)^version = "(.+)"$', (ROOT / "Cargo.toml").read_text()).group(1)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stripped = strip(programs, Path(folder))
        glibc = max(needed_glibc(stripped / name) for name in PROGRAMS)
        when = commit_time()
        made = [
            make_tarball(stripped, into, version, machine, when),
            make_debian_package(stripped, into, version, machine, glibc, when),
            make_wheel(stripped, into, version, machine, glibc, when),
        ]
    for path in filter(None, made):
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def strip(programs, folder):
    """Copies without the lines of source that a stack trace names, which are four fifths of a program."""
    tool = shutil.which("strip")
    if tool is None:
        raise Failure("there is no `strip`, expected the package binutils")
    for name in PROGRAMS:
        subprocess.run([tool, "-o", folder / name, programs / name], check=True)
    return folder


def needed_glibc(program):
    """The newest version of the C library's symbols that a program names, such as (2, 34)."""
    named = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?=\0|\.)", program.read_bytes())
    if not named:
        raise Failure(f"{program.name} names no version of glibc, expected a program that is linked with it")
    return max((int(major), int(minor)) for major, minor in named)


def commit_time():
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    asked = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(asked.stdout) if asked.returncode == 0 else int(time.time())


def contents():
    """Guides and tools that go along: where each lands, and its bytes."""
    files = [*GUIDES, "tools/fetch_tensorflow.py", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    return [(name, (ROOT / name).read_bytes()) for name in sorted(files)]


def make_tarball(programs, into, version, machine, when):
    folder = f"{NAME}-{version}-{machine}-linux"
    path = into / f"{folder}.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in PROGRAMS:
            add(archive, f"{folder}/bin/{name}", (programs / name).read_bytes(), 0o755, when)
        for name, data in contents():
            add(archive, f"{folder}/{name}", data, 0o755 if name.endswith(".py") else 0o644, when)
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=when) as packed:
        packed.write(buffer.getvalue())
    return path


def add(archive, name, data, mode, when):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), mode, when
    archive.addfile(entry, io.BytesIO(data))


def make_debian_package(programs, into, version, machine, glibc, when):
    tool = shutil.which("dpkg-deb")
    if tool is None:
        print("dist: there is no `dpkg-deb` here, so no Debian package is made", file=sys.stderr)
        return None
    architecture = ARCHITECTURES[machine]
    path = into / f"{NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / NAME
        place(root / "DEBIAN/control", "\n".join([
            f"Package: {NAME}", f"Version: {version}", f"Architecture: {architecture}", "Section: net",
            "Priority: optional", "Maintainer: The maintainers of classifier-serving <maintainers@localhost>",
            f"Depends: libc6 (>= {glibc[0]}.{glibc[1]}), libgcc-s1", "Recommends: python3-pip",
            "Suggests: rabbitmq-server, redis-server", f"Description: {SUMMARY}",
            " The programs open TensorFlow's library when they run a model. Fetch it with",
            f" /usr/share/{NAME}/fetch_tensorflow.py --into /usr/local/lib/tensorflow.", "",
        ]).encode(), 0o644)
        for name in PROGRAMS:
            place(root / "usr/bin" / name, (programs / name).read_bytes(), 0o755)
        for name, data in contents():
            if name == "LICENSE":
                place(root / "usr/share/doc" / NAME / "copyright", data, 0o644)
            elif name.endswith(".py"):
                place(root / "usr/share" / NAME / Path(name).name, data, 0o755)
            else:
                place(root / "usr/share/doc" / NAME / name, data, 0o644)
        subprocess.run([tool, "--root-owner-group", "--build", root, path], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "SOURCE_DATE_EPOCH": str(when)})
    return path


def place(path, data, mode):
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o755)
    path.write_bytes(data)
    path.chmod(mode)


def make_wheel(programs, into, version, machine, glibc, when):
    tag = f"py3-none-manylinux_{glibc[0]}_{glibc[1]}_{machine}"
    distribution = NAME.replace("-", "_")
    info = f"{distribution}-{version}.dist-info"
    metadata = "\n".join([
        "Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {version}", f"Summary: {SUMMARY}",
        "License: Apache-2.0", "Requires-Python: >=3.9", *(f"Requires-Dist: {what}" for what in REQUIRES),
        "Description-Content-Type: text/markdown", "", (ROOT / "README.md").read_text(),
    ])
    files = [
        (f"{distribution}-{version}.data/scripts/classifier", (programs / "classifier").read_bytes(), 0o755),
        (f"{info}/METADATA", metadata.encode(), 0o644),
        (f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644),
        (f"{info}/LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644),
    ]
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data, _ in files)
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), 0o644))
    path = into / f"{distribution}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in files:
            entry = zipfile.ZipInfo(name, time.gmtime(max(when, 315532800))[:6])
            entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main())
