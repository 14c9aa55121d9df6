#!/usr/bin/env python3
"""Fetch the TensorFlow C library that the worker opens at run time.

The Python wheel of TensorFlow carries the C API in two shared libraries. This script downloads the
pinned wheel with pip, so pip's own configuration (index, find-links, proxy, certificates) is
honoured, and puts just these libraries into a folder:

    .cache/tensorflow/libtensorflow.so -> libtensorflow_cc.so.2
    .cache/tensorflow/libtensorflow_cc.so.2
    .cache/tensorflow/libtensorflow_framework.so.2

The folder appears as a whole or not at all. Run again, the script looks and does nothing.
It needs Python 3.8 or newer with pip, and nothing else.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

VERSION = "2.21.0"

# The wheel of any Python will do, since no Python code is taken from it: one is named, so that every
# Python can fetch it.
WHEEL_PYTHON = "3.11"

LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
LINK = "libtensorflow.so"  # the name that the crate `tensorflow` opens
RECEIPT = "fetched.json"

# SHA-256 of wheels as published; pip checks the others against its index.
KNOWN_WHEELS = {
    "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl": "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
}


class Failure(Exception):
    """One sentence for the person at the terminal."""


def main() -> int:
    arguments = parse_arguments()
    package = "tensorflow" if arguments.gpu else "tensorflow-cpu"
    into = arguments.into.resolve()
    try:
        if not arguments.force and is_complete(into, package):
            print(f"{package} {VERSION} is already in {into}")
            return 0
        check_platform()
        check_target(into)
        started = time.monotonic()
        fetch(package, into)
        print(f"{package} {VERSION} is in {into} ({time.monotonic() - started:.0f} s)")
        return 0
    except Failure as failure:
        print(f"fetch_tensorflow: {failure}", file=sys.stderr)
        return 1


def parse_arguments() -> argparse.Namespace:
    default = Path(__file__).resolve().parent.parent / ".cache" / "tensorflow"
    parser = argparse.ArgumentParser(
        description=f"Fetch the TensorFlow {VERSION} C library from the Python package index."
    )
    parser.add_argument(
        "--into", type=Path, default=default, help="folder to make (default: .cache/tensorflow)"
    )
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="the library that can use NVIDIA GPUs; CUDA and cuDNN must be on the machine",
    )
    parser.add_argument("--force", action="store_true", help="fetch again, also where it is complete")
    return parser.parse_args()


def check_platform() -> None:
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        raise Failure(f"this machine is {system} on {machine}, expected Linux on x86_64 or aarch64")


def check_target(into: Path) -> None:
    """Refuses, before the download, to replace a folder that this script did not make."""
    if into.exists() and not into.is_dir():
        raise Failure(f"{into} is a file, expected a folder or nothing")
    if into.is_dir():
        foreign = [path.name for path in into.iterdir() if path.name not in (*LIBRARIES, LINK, RECEIPT)]
        if foreign:
            named = ", ".join(sorted(foreign)[:3])
            raise Failure(f"{into} holds other things ({named}): name another folder with --into")


def is_complete(folder: Path, package: str) -> bool:
    """Whether an earlier run left exactly what this one would."""
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in LIBRARIES}
        linked = os.readlink(folder / LINK)
    except (OSError, ValueError):
        return False
    wanted = {"package": package, "version": VERSION, "sizes": sizes}
    return linked == LIBRARIES[0] and {key: receipt.get(key) for key in wanted} == wanted


def fetch(package: str, into: Path) -> None:
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=into.parent) as scratch:
            wheel = download(package, Path(scratch))
            check_digest(wheel)
            fresh = Path(scratch) / "libraries"
            extract(wheel, fresh)
            write_receipt(fresh, package, wheel.name)
            replace(fresh, into, Path(scratch))
    except OSError as error:
        raise Failure(f"{into} could not be written: {error}") from error


def download(package: str, scratch: Path) -> Path:
    requirement = f"{package}=={VERSION}"
    print(f"downloading the wheel {requirement} with pip", flush=True)
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", WHEEL_PYTHON, "--dest", str(scratch), "--no-cache-dir"]
    # pip's progress goes straight to the terminal; its complaints are kept to be explained.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    complaints = []
    for line in process.stderr:
        sys.stderr.write(line)
        complaints.append(line.strip())
    if process.wait() != 0:
        raise Failure(explain(requirement, complaints))
    wheels = list(scratch.glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip left {len(wheels)} wheels, expected 1")
    return wheels[0]


def explain(requirement: str, complaints: list) -> str:
    text = "\n".join(complaints)
    if "No module named pip" in text:
        return f"{sys.executable} has no pip: install it (Debian: apt install python3-pip) or use another Python"
    unreachable = ("NewConnectionError", "Name or service not known", "Temporary failure in name resolution",
                   "Max retries exceeded", "Network is unreachable", "ProxyError", "ConnectTimeoutError")  # fmt: skip
    if any(sign in text for sign in unreachable):
        return (
            "pip could not reach the package index: check the network, or name a mirror (PIP_INDEX_URL) "
            "or a folder that holds the wheel (PIP_FIND_LINKS, with PIP_NO_INDEX=1)"
        )
    if "No matching distribution" in text:
        return (
            f"pip found no wheel of {requirement} for {platform.machine()} and CPython {WHEEL_PYTHON} where it "
            "looked: check that the index or folder that pip is set to can be reached and has it, and that this "
            "system uses glibc 2.27 or newer"
        )
    last = next((line for line in reversed(complaints) if line.startswith("ERROR")), "see its words above")
    return f"pip could not download {requirement}: {last}"


def check_digest(wheel: Path) -> None:
    expected = KNOWN_WHEELS.get(wheel.name)
    if expected is None:
        return
    digest = hashlib.sha256()
    with wheel.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise Failure(
            f"{wheel.name} has SHA-256 {digest.hexdigest()}, expected {expected}: "
            "it is damaged or not the published one"
        )


def extract(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in LIBRARIES:
                info = archive.getinfo(f"tensorflow/{name}")
                print(f"extracting {name} ({info.file_size / 1e6:.0f} MB)", flush=True)
                with archive.open(info) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)  # checks the CRC at the end
                (folder / name).chmod(0o755)
    except KeyError as error:
        raise Failure(f"{wheel.name} does not hold what was expected: {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise Failure(f"{wheel.name} is damaged: {error}") from error
    (folder / LINK).symlink_to(LIBRARIES[0])


def write_receipt(folder: Path, package: str, wheel: str) -> None:
    sizes = {name: (folder / name).stat().st_size for name in LIBRARIES}
    receipt = {"package": package, "version": VERSION, "wheel": wheel, "sizes": sizes}
    (folder / RECEIPT).write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")


def replace(fresh: Path, into: Path, scratch: Path) -> None:
    """Puts the folder in its place; what was there goes away with the scratch folder."""
    if into.exists():
        into.rename(scratch / "before")
    fresh.rename(into)


if __name__ == "__main__":
    sys.exit(main())
