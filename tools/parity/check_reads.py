"""Photographs of its own making, read in every way that tools/package_model.py knows, each tried by `classifier check`.

    python tools/parity/check_reads.py [--seed 1] [--only NAME ...] [--keep FOLDER] [--classifier target/debug/classifier]

Draws 50 photographs: gradients, textures, grain, edges and letters, in every format, depth and colour type that cameras,
scanners and editors write, smaller and larger than the model's input. For each choice of `--read`, with each
interpolation and each way to fit a photograph, it makes a package with a small model, and all of them must pass.
Photographs that a framework does not read are left out, and told.

A model that says the same of all photographs would prove nothing. So the last layer is made to tell them apart, and the
smallest difference between the scores of two photographs is printed beside the tolerance, which it must exceed.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

# What it does not read is told once.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import numpy as np

import make_models
from make_models import ROOT
from make_packages import SIZE, lively

import package_model
from drawn_photographs import draw
from keras_package import PackageFault, reading

LABELS = [f"kind {index}" for index in range(12)]
CALIBRATING = 24
NUMBERS = [
    {"rescale": "1/255"},
    {"rescale": "1/127.5", "mean": "1"},
    {"rescale": "1/255", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"},
    {},
]
PREPROCESSED = [{"preprocess-input": mode} for mode in ("tf", "caffe", "torch")]
GREY_NUMBERS = NUMBERS[:2]
FILTERS = ["nearest", "box", "bilinear", "bicubic", "lanczos"]
METHODS = ["nearest", "bilinear", "bicubic", "area"]


def choices():
    """The words behind `--read` of each package: all settings of images, each with the next numbers in turn."""
    for interpolation in METHODS:
        for fit in ({}, {"crop-to-aspect-ratio": True}, {"pad-to-aspect-ratio": True}):
            yield "image_dataset_from_directory", {"interpolation": interpolation, **fit}
    for fit in ({}, {"pad-to-aspect-ratio": True}):
        for interpolation in METHODS:
            yield "tf_image", {"interpolation": interpolation, **fit}
        for interpolation in ("bilinear", "bicubic"):
            yield "tf_image", {"interpolation": interpolation, "antialias": True, **fit}
    for interpolation in FILTERS:
        yield "load_img", {"interpolation": interpolation}
    for interpolation in FILTERS:
        for fit in ({}, {"resize-shorter-side": "64"}):
            yield "torchvision", {"interpolation": interpolation, **fit}
    for interpolation in FILTERS:
        yield "image_ops_fit", {"interpolation": interpolation}
    for interpolation in ("nearest", "linear", "cubic", "area"):
        for order in ("bgr", "rgb"):
            yield "opencv", {"interpolation": interpolation, "channel-order": order}
    for _ in range(2):
        yield "pad", {}


def packages():
    """Name, recipe, words and channels of each."""
    for index, (recipe, words) in enumerate(choices()):
        numbers = (NUMBERS + PREPROCESSED)[index % 7]
        if words.get("channel-order") == "bgr" and "preprocess-input" in numbers:
            numbers = NUMBERS[index % 4]
        if recipe == "pad":
            numbers = NUMBERS[3 * (index % 2)]
        yield named(recipe, words), recipe, words | numbers, 3
    for index, (recipe, words) in enumerate(choices()):
        if "channel-order" not in words or words["channel-order"] == "bgr":
            numbers = GREY_NUMBERS[index % 2] if recipe != "pad" else GREY_NUMBERS[0]
            yield named(recipe, words) + "-grey", recipe, words | numbers, 1


def named(recipe, words):
    flags = [flag if value is True else value for flag, value in words.items()]
    return "-".join([recipe, *flags])


def main():
    arguments = parser().parse_args()
    print(f"seed {arguments.seed}")
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = draw(folder / "photographs", arguments.seed)
        wanted = {}
        for name, *how in packages():
            wanted.setdefault(name, how)
        chosen = {name: how for name, how in wanted.items() if not arguments.only or name in arguments.only}
        print(f"{len(files)} photographs, {len(chosen)} packages")
        failed = [name for name, how in chosen.items() if not passes(folder, name, *how, files, arguments.classifier)]
    if failed:
        sys.exit(f"check_reads: {len(failed)} of {len(chosen)} packages failed: {', '.join(failed)}")
    print(f"all {len(chosen)} packages pass `classifier check`")


def parser():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seed", type=int, default=1, help="other photographs (1)")
    made.add_argument("--only", nargs="+", metavar="NAME", help="these packages alone, by the names that are printed")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder for photographs and packages")
    made.add_argument("--classifier", default=ROOT / "target" / "debug" / "classifier", help="the program")
    return made


def passes(folder, name, recipe, words, channels, files, classifier):
    """Whether the package is made, tells the photographs apart and passes; one line says so."""
    flags = [part for flag, value in words.items() for part in (f"--{flag}", value) if part is not True]
    file = folder / f"{name}.keras"
    asked = [
        name, "--model", str(file), "--labels", *LABELS, "--activation", "softmax", "--models-dir", str(folder / "models"),
        "--read", recipe, *flags, "--images",
    ]
    arguments = package_model.parser().parse_args([*asked, "none"])
    settings = {key: getattr(arguments, key) for key in package_model.SETTINGS if getattr(arguments, key) is not None}
    how = reading(recipe, **settings)
    keras = make_models.import_keras(3)
    read, left_out = readable(how, files, channels, keras)
    with contextlib.redirect_stdout(io.StringIO()):
        lively(3, how, calibrating(read), channels=channels, ending="logits", units=len(LABELS)).save(file)
        package_model.main([*asked, *map(str, read)])
    file.unlink()
    package = folder / "models" / name
    examples = json.loads((package / "examples" / "examples.json").read_text())["examples"]
    apart, pair = smallest_difference(examples)
    checked = subprocess.run([classifier, "check", package, "--json"], capture_output=True, text=True, cwd=ROOT)
    problems = report_problems(checked, len(read))
    if apart <= 1:
        problems.append(f"{pair} are scored alike, {apart:.2f} tolerances apart")
    told = f"{len(read)} read, off by {worst(checked):.3f} tolerances at most, two photographs {apart:.1f} apart at least"
    print(f"{'ok  ' if not problems else 'FAIL'}  {name:<58} {told}", flush=True)
    if left_out:
        print(f"      left out: {', '.join(left_out)}")
    for problem in problems:
        print(f"      {problem}")
    keras.utils.clear_session()
    return not problems


def readable(how, files, channels, keras):
    """The files that the framework reads, and the names of those that it does not."""
    read, left_out = [], []
    for file in files:
        try:
            how.levels([file], (*SIZE, channels), keras)
            read.append(file)
        except PackageFault:
            left_out.append(file.name)
    return read, left_out


def calibrating(files):
    """Some of all kinds, the same for every package that reads them."""
    return sorted(files, key=lambda file: zlib.crc32(file.name.encode()))[:CALIBRATING]


def smallest_difference(examples):
    """Between the scores of two photographs, in tolerances of the one that accepts more; and which two."""
    found = []
    for index, one in enumerate(examples):
        for other in examples[:index]:
            apart = np.abs(np.subtract(one["scores"], other["scores"])).max()
            accepted = max(each.get("tolerance", 0.001) * np.abs(each["scores"]).max() for each in (one, other))
            found.append((apart / accepted, f"`{other['image']}` and `{one['image']}`"))
    return min(found)


def report_problems(checked, count):
    try:
        checks = json.loads(checked.stdout)["checks"]
    except ValueError:
        return [checked.stderr.strip() or "`classifier check` said nothing"]
    problems = [f"{check['check']}: {check['detail']}" for check in checks if not check["passed"]]
    tried = sum("difference" in check for check in checks)
    if tried != count:
        problems.append(f"{tried} examples were tried, expected {count}")
    return problems + [f"exit code {checked.returncode}"] * (checked.returncode != 0 and not problems)


def worst(checked):
    """The largest share of a tolerance that an example took."""
    try:
        checks = json.loads(checked.stdout)["checks"]
    except ValueError:
        return float("nan")
    return max((check["difference"] / check["tolerance"] for check in checks if check.get("tolerance")), default=0.0)


if __name__ == "__main__":
    main()
