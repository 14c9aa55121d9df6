"""Writes a package: the model's file, `NAME_config.json` and `examples/` with the scores that Keras gives."""

import json
import math
import re
import shutil
import tempfile
import time
import warnings
from pathlib import Path

from . import model as models
from .faults import PackageFault, one_of
from .reading import Reading
from .reading import reading as reading_named

# As the service has them.
MAX_EXAMPLES = 64
MAX_IMAGE_BYTES = 10 << 20
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
# Decoders round JPEG and lossy WebP differently, by half a level on average.
LOSSY_TOLERANCE = 0.02
ACTIVATIONS = ["none", "softmax", "sigmoid"]


def write_package(
    model, name, images, labels, *, read, predict=None, activation=None, size=None, models_dir="models",
    format="keras", tolerance=None, comments=None, overwrite=False,
):
    """Writes `models_dir/NAME/` and returns the examples, as they stand in `examples.json`.

    model        a Keras model, of Keras 2 or 3, or the path of a file that Keras saved, which is copied
    images       paths of 1 to 64 image files, which become the examples
    labels       one for each output, in order; two where there is one output
    read         how images were read in training: `reading(…)`, or the name of a recipe
    predict      a function from an image's path to its scores: your own way from file to scores. Without it the scores
                 are what Keras's `predict` says of what the recipe's framework reads
    activation   for outputs that aren't scores yet: softmax or sigmoid; none to take them as they are
    size         height and width, for a model that takes any
    format       the ending of the file that a model in memory is saved as: keras, h5 or hdf5
    tolerance    the largest difference accepted, of the largest score; without it 0.001, and 0.02 for JPEG and WebP,
                 0.01 after OpenCV's cubic interpolation and Pillow's filters
    overwrite    whether a package of this name is replaced, its whole folder

    Raises PackageFault, whose sentence says what cannot be done.
    """
    if not NAME.fullmatch(name):
        raise PackageFault(
            f"the name is `{name}`, expected 1 to 128 letters, digits, `_`, `-` or `.`, not starting with a dot"
        )
    how = reading_named(read) if isinstance(read, str) else read
    if not isinstance(how, Reading):
        raise PackageFault(f"`read` is {how!r}, expected `reading(…)` or the name of a recipe")
    if activation is not None:
        one_of("`activation`", activation, ACTIVATIONS)
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise PackageFault(f"`tolerance` is {tolerance}, expected a share from 0 to 1")
    target = Path(models_dir) / name
    refuse_to_overwrite(target, name, overwrite)
    import numpy as np

    files = example_names([Path(image) for image in images])
    labels = list(map(str, labels))
    look_at_labels(labels, list(files.values()))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made under a name that no package can have, then renamed: nobody sees half a package.
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as made:
        folder = Path(made) / name
        (folder / "examples").mkdir(parents=True)
        file, keras = place_model(model, folder, name, format)
        loaded = models.load(keras, file)
        shape = models.input_shape(loaded, size)
        config = {
            "model_name": name,
            **how.config(shape),
            **output_config(loaded, labels, activation),
            "creation_time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
            **({"comments": comments} if comments else {}),
        }
        write_json(folder / f"{name}_config.json", config)
        if predict is None:
            inputs = how.inputs(list(files.values()), shape, keras)
            scores = np.asarray(loaded.predict(models.as_taken(loaded, inputs), verbose=0), np.float32)
        else:
            scores = [np.asarray(predict(str(image)), np.float32) for image in files.values()]
        paths = [Path(shutil.copyfile(image, folder / "examples" / as_named)) for as_named, image in files.items()]
        count = models.outputs(loaded)
        examples = [
            example(path, numbers, count, accepted(path, how) if tolerance is None else tolerance)
            for path, numbers in zip(paths, scores)
        ]
        write_json(folder / "examples" / "examples.json", {"examples": examples})
        if target.exists():
            target.rename(Path(made) / "replaced")
        folder.rename(target)
    return examples


def refuse_to_overwrite(target, name, overwrite):
    if not target.exists():
        return
    if not overwrite:
        raise PackageFault(f"`{target}` exists already, expected another name, or to be told to overwrite it")
    if not (target / f"{name}_config.json").is_file():
        raise PackageFault(f"`{target}` is to be overwritten, but is no package: it has no `{name}_config.json`")


def look_at_labels(labels, images):
    """Raises PackageFault for labels that cannot be told apart; warns of those that are folders in another order."""
    for label in labels:
        if not label.strip():
            raise PackageFault(f"a label is blank, expected a name for each output: {labels}")
        if labels.count(label) > 1:
            raise PackageFault(f"the label `{label}` stands for several outputs, expected a name for each")
    # Keras numbers folders in the order of their names, as text: 1, 10, 2.
    is_of_folders = {image.resolve().parent.name for image in images} <= set(labels)
    if is_of_folders and len(images) > 1 and labels != sorted(labels):
        warnings.warn(
            f"the labels are {', '.join(labels)}, but Keras numbers folders of these names in the order "
            f"{', '.join(sorted(labels))}: right only if the training said otherwise (`class_names`)",
            stacklevel=3,
        )


def example_names(images):
    """The images by their names in `examples/`: their own, with their folder's before it where two have the same."""
    if not 1 <= len(images) <= MAX_EXAMPLES:
        raise PackageFault(f"there are {len(images)} images, expected 1 to {MAX_EXAMPLES}")
    names = [image.name for image in images]
    files = {}
    for image in images:
        if not image.is_file():
            raise PackageFault(f"there is no image `{image}`")
        if image.stat().st_size > MAX_IMAGE_BYTES:
            raise PackageFault(f"image `{image}` has {image.stat().st_size} bytes, expected at most {MAX_IMAGE_BYTES}")
        name = image.name if names.count(image.name) == 1 else f"{image.resolve().parent.name}_{image.name}"
        if name in files or name == "examples.json":
            raise PackageFault(f"image `{image}` would be a second `{name}` in `examples/`, expected other names")
        files[name] = image
    return files


def place_model(model, folder, name, format):
    """The model's file in the package, and its Keras. What is loaded from it is what the service will read."""
    if not isinstance(model, (str, Path)):
        keras = models.keras_of_model(model)
        file = folder / f"{name}.{one_of('`format`', format, models.ENDINGS)}"
        # The optimizer's state would be half of an HDF5 file.
        model.save(file, **({} if format == "keras" else {"include_optimizer": False}))
        return file, keras
    path = Path(model)
    if not path.is_file():
        raise PackageFault(f"there is no model file `{path}`")
    one_of(f"the ending of `{path}`", path.suffix.removeprefix("."), models.ENDINGS)
    # Keras and the service go by the name and by the content.
    file = folder / f"{name}.{models.ending_by_bytes(path)}"
    shutil.copyfile(path, file)
    return file, models.keras_of_file(path)


def output_config(model, labels, activation):
    """The part of a config about the outputs."""
    count, function = models.outputs(model), models.ending(model)
    ends_in_scores = function in ("softmax", "sigmoid")
    if ends_in_scores and activation not in (None, "none"):
        raise PackageFault(f"`activation` is {activation}, but the model ends in {function} already")
    if not ends_in_scores and activation is None:
        raise PackageFault(
            f"the model ends in `{function}`, whose outputs are no scores: expected `activation` softmax or sigmoid, or "
            "none if they are"
        )
    if count == 1 and "softmax" in (function, activation):
        raise PackageFault("the model's one output goes through softmax, which makes 1 of any: expected sigmoid")
    expected = 2 if count == 1 else count
    if len(labels) != expected:
        raise PackageFault(f"there are {len(labels)} labels, expected {expected} for a model of {count} outputs")
    section = {"output_classes": labels}
    if activation in ("softmax", "sigmoid"):
        section["activation"] = activation
    return {"output_postproc_type": "binary" if count == 1 else "argmax", "output_config": section}


def example(path, scores, outputs, tolerance):
    import numpy as np

    numbers = [float(score) for score in np.ravel(scores)]
    if len(numbers) != outputs:
        raise PackageFault(f"`predict` gives {len(numbers)} scores for `{path.name}`, expected {outputs}")
    if not all(map(math.isfinite, numbers)):
        raise PackageFault(f"the scores of `{path.name}` are {numbers}, expected finite numbers")
    return {"image": path.name, "scores": numbers, **({} if tolerance is None else {"tolerance": tolerance})}


def accepted(path, how):
    """The tolerance where none is asked for; None for the service's own."""
    return LOSSY_TOLERANCE if is_lossy(path) else how.tolerance


def is_lossy(path):
    """By its first bytes, for endings are often wrong."""
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(b"\xff\xd8\xff") or (head[:4], head[8:]) == (b"RIFF", b"WEBP")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
