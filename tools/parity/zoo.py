"""Compares every architecture of keras.applications with Keras, in every format that Keras writes.

    python tools/parity/zoo.py [--only NAME ...] [--keras 2|3] [--format h5|keras] [--resume] [--table FILE]

For each architecture, of Keras 2 (`tf_keras`) and Keras 3, a model with lively random weights (see
`make_models.py`) is saved as .h5 and as .keras. The scores of the model in memory are the reference; those
of `classifier score` on the file have to be equal but for rounding, with the same best class for every image.
And the reference has to tell the images apart: on scores that are the same for all, any two programs agree.

Results land in `.cache/parity/results.jsonl`, one line each; `--resume` leaves alone what has passed there.
Every model file is deleted when it has been scored. Ends with 1 where anything failed.
"""

import argparse
import gc
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import make_models
from make_models import ROOT

FOLDER = ROOT / ".cache" / "parity"
RESULTS = FOLDER / "results.jsonl"
FORMATS = ["h5", "keras"]
CLASSES = 10
# Photographs that statistics are taken from, and how many of them are scored.
PHOTOGRAPHS = 12
SCORED = 4
# Of the largest score.
TOLERANCE = 2e-4
# Of the weights.
SEED = 7
# What is tried in turn where rounding decides the scores: see `make_models.make_lively`. Where no damping helps, it is a
# matter of luck which weights do.
DAMPED = [(0.2, SEED), (0.05, SEED), (0.01, SEED), (0.05, 8), (0.05, 9), (0.05, 10), (0.05, 11)]
# Pixels a side: small ones are quick. These architectures take no smaller ones.
SIDE = 64
SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}


def main():
    arguments = parse()
    if arguments.child:
        work(arguments, arguments.child)
        return 0
    program = Path(arguments.classifier)
    assert program.exists(), f"there is no {program}: run `make parity`, or build the command (release)"
    FOLDER.mkdir(parents=True, exist_ok=True)
    dialects = [arguments.keras] if arguments.keras else [2, 3]
    if not arguments.table_only:
        if not arguments.resume:
            forget(dialects, arguments.formats, arguments.only)
        for dialect in dialects:
            supervise(arguments, dialect)
    rows = results()
    text = table(rows)
    print(text)
    if arguments.table:
        Path(arguments.table).parent.mkdir(exist_ok=True)
        Path(arguments.table).write_text(page(rows, text))
    return 1 if any(row["problem"] for row in rows) else 0


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[], help="architectures, all without this")
    parser.add_argument("--keras", type=int, choices=[2, 3])
    parser.add_argument("--format", dest="formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--resume", action="store_true", help="leave alone what has passed before")
    parser.add_argument("--table", help="a file for the table")
    parser.add_argument("--table-only", action="store_true", help="compare nothing, show what is known")
    parser.add_argument("--classifier", default=ROOT / "target" / "release" / "classifier", help="the command")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def results():
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    # The last word on each counts.
    latest = {(row["model"], row["keras"], row["format"]): row for row in rows}
    return [latest[key] for key in sorted(latest, key=lambda key: (key[1], key[0].lower(), key[2]))]


def forget(dialects, formats, only):
    def is_asked_for(row):
        return row["keras"] in dialects and row["format"] in formats and (not only or row["model"] in only)

    kept = [row for row in results() if not is_asked_for(row)]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in kept))


def note(model, dialect, format, seconds, difference=None, problem=None):
    row = {
        "model": model,
        "keras": dialect,
        "format": format,
        "difference": difference,
        "seconds": round(seconds, 1),
        "problem": problem,
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    shown = "" if difference is None else f" {difference:.1e}"
    print(f"{model} of Keras {dialect} as .{format}:{shown} {problem or 'equal'} ({seconds:.0f} s)", flush=True)


def supervise(arguments, dialect):
    """One process for a whole Keras, and another one for the rest where it dies of a model."""
    begun = FOLDER / f"at_keras{dialect}"
    begun.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--child", str(dialect), "--classifier", arguments.classifier]
    command += ["--format", *arguments.formats, "--only", *arguments.only]
    while (ended := subprocess.run(command).returncode) != 0:
        assert begun.exists(), f"the process for Keras {dialect} ended with {ended} before any model"
        for format in arguments.formats:
            note(begun.read_text(), dialect, format, 0, problem=f"its process ended with {ended}")


def work(arguments, dialect):
    keras = make_models.import_keras(dialect)
    begun = FOLDER / f"at_keras{dialect}"
    # After a death also what failed is done with.
    all_that_is_known = begun.exists()
    done = {
        (row["model"], row["format"])
        for row in results()
        if row["keras"] == dialect and (all_that_is_known or not row["problem"])
    }
    names = architectures(keras)
    (FOLDER / f"architectures_keras{dialect}.json").write_text(json.dumps(names))
    for name in names:
        wanted = [format for format in arguments.formats if (name, format) not in done]
        if wanted and (not arguments.only or name in arguments.only):
            begun.write_text(name)
            compare(keras, name, dialect, wanted, arguments.classifier)
    begun.unlink(missing_ok=True)


def architectures(keras):
    names = [name for name, value in vars(keras.applications).items() if callable(value) and name[0].isupper()]
    # Those that take long come last: the larger of each family, and of all the largest.
    large = ["NASNetLarge", "B4", "B5", "B6", "B7", "V2M", "V2L", "120", "160", "200", "270", "320", "350", "420"]

    def rank(name):
        is_large = any(part in name for part in large)
        return (["ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"].count(name), name == "ConvNeXtXLarge", is_large, name)

    return sorted(names, key=rank)


def compare(keras, name, dialect, formats, program):
    begin = time.monotonic()
    model, inputs, expected, change = lively(keras, name, None)
    for damping, seed in DAMPED:
        # Rounding is to have no say in what is compared.
        if change < TOLERANCE / 4:
            break
        another = lively(keras, name, damping, seed)
        if another[3] < change:
            model, inputs, expected, change = another
    fault = uselessness(expected, change)
    made = time.monotonic() - begin
    for format in formats:
        begin = time.monotonic()
        if fault:
            note(name, dialect, format, made, problem=fault)
            continue
        folder = FOLDER / f"{name}_keras{dialect}_{format}"
        try:
            found = score(model, inputs, folder, format, program)
            difference, problem = verdict(found, expected)
            note(name, dialect, format, made + time.monotonic() - begin, difference, problem)
        except Refused as refused:
            note(name, dialect, format, made + time.monotonic() - begin, problem=str(refused))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def lively(keras, name, damping, seed=SEED):
    """A model, some images, their scores, and how much these change when only rounding does: the images hardly
    change, or each is scored alone, for which other kernels of the library compute in another order."""
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    side = SIDES.get(name, SIDE)
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=CLASSES)
    photographs = make_models.crops_of_photographs(PHOTOGRAPHS, side, side) * scale_of_input(name)
    make_models.make_lively(keras, model, photographs, damping)
    inputs = make_models.pick_different(model, photographs, SCORED)
    expected = np.asarray(model(inputs, training=False), dtype=np.float32)
    nudged = np.asarray(model(inputs * np.float32(1 + 1e-6), training=False), dtype=np.float32)
    alone = np.concatenate([np.asarray(model(image[None], training=False), dtype=np.float32) for image in inputs])
    change = max(np.abs(expected - other).max() for other in (nudged, alone))
    return model, inputs, expected, float(change / np.abs(expected).max())


def scale_of_input(name):
    """These have the scaling of pixels from 0 to 255 built in."""
    built_in = ("EfficientNet", "MobileNetV3", "ConvNeXt", "RegNet", "ResNetRS")
    return np.float32(255 if name.startswith(built_in) else 1)


def uselessness(scores, change):
    """What makes these scores useless for a comparison, if anything."""
    if not np.isfinite(scores).all():
        return "the reference is not finite"
    apart = min(np.abs(one - other).max() for i, one in enumerate(scores) for other in scores[:i])
    if apart < 100 * TOLERANCE * np.abs(scores).max():
        return f"the reference scores two images nearly alike: {apart:.1e}"
    if change > TOLERANCE:
        return f"the reference is decided by rounding: it changes by {change:.1e} where nothing else does"
    if len(set(scores.argmax(1).tolist())) < 2:
        return "the reference has the same best class for all images"
    return None


class Refused(Exception):
    pass


def score(model, inputs, folder, format, program):
    """The scores that the command computes from the saved model."""
    package = folder / "zoo"
    shutil.rmtree(folder, ignore_errors=True)
    package.mkdir(parents=True)
    model.save(package / f"zoo.{format}")
    config = {
        "model_name": "zoo",
        "img_preproc_type": "no_prepro",
        "image_preproc_config": {"input_shape": list(inputs.shape[1:])},
        "output_postproc_type": "argmax",
        "output_config": {"output_classes": [f"class_{index}" for index in range(CLASSES)]},
    }
    (package / "zoo_config.json").write_text(json.dumps(config))
    np.save(folder / "input.npy", inputs)
    command = [program, "score", package, folder / "input.npy", folder / "scores.npy"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        raise Refused(ended.stderr.strip()[-2000:] or f"ended with {ended.returncode}")
    return np.load(folder / "scores.npy")


def verdict(found, expected):
    if found.shape != expected.shape:
        return None, f"the scores have shape {found.shape}, expected {expected.shape}"
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        return difference, f"differs by {difference:.1e} of the largest score"
    if (found.argmax(1) != expected.argmax(1)).any():
        return difference, "another best class"
    return difference, None


def table(rows):
    lines = ["| model | Keras | format | worst difference | top-1 equal |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        shown = "–" if row["difference"] is None else f"{row['difference']:.1e}"
        equal = "yes" if not row["problem"] else "**no**: " + row["problem"].replace("\n", " ").replace("|", "/")[:200]
        lines.append(f"| {row['model']} | {row['keras']} | .{row['format']} | {shown} | {equal} |")
    return "\n".join(lines) + "\n"


def page(rows, text):
    worst = max((row["difference"] for row in rows if row["difference"] is not None), default=0)
    models = {(row["model"], row["keras"]) for row in rows}
    passed = sum(not row["problem"] for row in rows)
    left = []
    for dialect in (2, 3):
        listed = FOLDER / f"architectures_keras{dialect}.json"
        names = json.loads(listed.read_text()) if listed.exists() else []
        left += [f"{name} of Keras {dialect}" for name in sorted(names) if (name, dialect) not in models]
    missing = f"\nLeft out, because they take long: {', '.join(left)}.\n" if left else ""
    return f"""# Parity with Keras

`make parity` compares the scores of `classifier score` with those of Keras, for every architecture of
`keras.applications` in Keras 2 and Keras 3. Each model gets random weights, chosen so that different images get
different scores, and is saved in each format that Keras writes. Of {len(models)} models in {len(rows)} files, {passed} files score as in
Keras. The worst difference is {worst:.1e} of the largest score; {TOLERANCE:.0e} is allowed.
{missing}
Inputs are images of {SIDE}×{SIDE} pixels, or of the smallest size that the architecture takes.

{text}"""


if __name__ == "__main__":
    sys.exit(main())
