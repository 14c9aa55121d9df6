#!/usr/bin/env python3
"""Makes a package of the service from a Keras model and some images.

    tools/package_model.py animals --model animals.keras --labels labels.txt --images photographs/ \\
        --read load_img --interpolation bilinear --rescale 1/255
    classifier check animals

Copies the model into models/animals/, writes the config, and makes examples of the images, with the scores that Keras
gives for these very files when they are read as --read says. `classifier check` then shows that the service comes from
the same bytes to the same scores. Which recipe is yours: docs/preprocessing.md. All of it from Python, also with your
own function from file to scores: `from keras_package import write_package`, see docs/packages.md.

Needs the Keras that made the model, and for `--read opencv` and `--read pad` OpenCV.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from keras_package import PackageFault, reading, write_package
from keras_package.reading import MODES, RECIPES, named, named_recipes

IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def main(words=None):
    arguments = parser().parse_args(words)
    settings = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    try:
        examples = write_package(
            arguments.model, arguments.name, images(arguments.images), labels(arguments.labels),
            read=how(arguments, settings), activation=arguments.activation, size=arguments.size,
            models_dir=arguments.models_dir, tolerance=arguments.tolerance, comments=arguments.comments,
            overwrite=arguments.overwrite,
        )
    except PackageFault as fault:
        sys.exit(f"package_model: {fault}")
    for example in examples:
        print(f"{example['image']:<32}{' '.join(f'{score:.4f}' for score in example['scores'][:8])}")
    print(f"{arguments.models_dir}/{arguments.name} is made, `classifier check {arguments.name}` tries it in the service")


def how(arguments, settings):
    """A recipe by its name, or of a framework with settings."""
    if not arguments.recipe:
        return reading(arguments.read, **settings)
    if settings:
        raise PackageFault(f"`{next(iter(settings))}` is beside `--recipe`, expected it beside `--read`")
    return named(arguments.recipe)


def parser():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("name", help="the package's name")
    made.add_argument("--model", required=True, help="a .keras, .h5 or .hdf5 file")
    made.add_argument("--labels", required=True, nargs="+",
                      help="the labels in the order of the outputs, or a file with one a line or a JSON list")
    made.add_argument("--images", required=True, nargs="+", help="image files, or folders of them; at most 64 in all")
    made.add_argument("--activation", choices=["softmax", "sigmoid", "none"],
                      help="for a model that ends in logits, what makes scores of them")
    made.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="for a model that takes any size")
    made.add_argument("--tolerance", type=float,
                      help="largest difference accepted, of the largest score (0.001 to 0.02, see docs/packages.md)")
    made.add_argument("--comments", help="what the config shall say about the model")
    made.add_argument("--models-dir", default="models", help="the folder of the packages (models)")
    made.add_argument("--overwrite", action="store_true", help="replace the package of this name, its whole folder")
    how = made.add_argument_group("how images were read in training")
    which = how.add_mutually_exclusive_group(required=True)
    which.add_argument("--read", metavar="FRAMEWORK", help=", ".join(RECIPES))
    which.add_argument("--recipe", metavar="NAME", help=", ".join(recipe["name"] for recipe in named_recipes()))
    how.add_argument("--interpolation", help="as the framework calls it; its default without this")
    for flag in ("--crop-to-aspect-ratio", "--pad-to-aspect-ratio", "--antialias"):
        how.add_argument(flag, action="store_true", default=None)
    how.add_argument("--resize-shorter-side", type=int, metavar="PIXELS",
                     help="torchvision's `Resize(PIXELS)` before `CenterCrop`")
    how.add_argument("--channel-order", choices=["bgr", "rgb"], help="of OpenCV's images (bgr)")
    how.add_argument("--rescale", type=number, metavar="FACTOR", help="what levels are multiplied by, such as 1/255")
    how.add_argument("--mean", type=numbers, metavar="NUMBERS", help="then subtracted: one, or one a channel with commas")
    how.add_argument("--std", type=numbers, metavar="NUMBERS", help="then divided by: one, or one a channel with commas")
    how.add_argument("--preprocess-input", choices=MODES, help="the mode of Keras's `preprocess_input`")
    return made


SETTINGS = [
    "interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias", "resize_shorter_side", "channel_order",
    "rescale", "mean", "std", "preprocess_input",
]


def number(text):
    """Of `1/255` or `1/127.5`, or a plain one."""
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except ZeroDivisionError as error:
        raise ValueError(text) from error


def numbers(text):
    found = [number(part) for part in text.split(",")]
    return found if len(found) > 1 else found[0]


def images(words):
    """Files as they are, and what of a folder is named as an image, in order."""
    found = []
    for path in map(Path, words):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if file == path or file.suffix.lower() in IMAGE_ENDINGS]
    return found


def labels(words):
    """The words themselves, or if it is one that names a file, what is in it."""
    path = Path(words[0])
    if len(words) > 1 or not path.is_file():
        return words
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else text.split("\n")
    except ValueError as error:
        raise PackageFault(f"the labels' file `{path}` cannot be read: {error}") from error
    if isinstance(found, dict):
        # Keras's `imagenet_class_index.json`: {"0": ["n01440764", "tench"], …}.
        entries = [found.get(str(index)) for index in range(len(found))]
        found = [entry[-1] if isinstance(entry, list) else entry for entry in entries]
    if not isinstance(found, list) or None in found:
        raise PackageFault(f"the labels' file `{path}` holds {found!r}, expected a list of labels")
    found = [str(label).strip() for label in found]
    return found[:-1] if found and not found[-1] else found


if __name__ == "__main__":
    main()
