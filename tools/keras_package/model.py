"""What a Keras model is: by which Keras, of which shapes, and what its outputs end in. Both Keras 2 and Keras 3."""

import importlib
import json
import os
import zipfile

from .faults import PackageFault

ENDINGS = ["keras", "h5", "hdf5"]


def keras_of_file(path):
    """The module of the Keras that wrote the file.

    Raises PackageFault where it is no model file, or that Keras isn't installed.
    """
    try:
        if ending_by_bytes(path) == "keras":
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("metadata.json"))["keras_version"]
        else:
            import h5py

            with h5py.File(path) as file:
                version = file.attrs["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PackageFault(f"`{path}` is no model that Keras saved: {error}") from error
    return keras_of_version(version if isinstance(version, str) else version.decode())


def ending_by_bytes(path):
    """The ending that fits what is in a file: Keras 2.11 and older wrote HDF5 under any name."""
    with open(path, "rb") as file:
        head = file.read(8)
    named = path.suffix.removeprefix(".")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return named if named in ("h5", "hdf5") else "h5"
    if head.startswith(b"PK\x03\x04"):
        return "keras"
    if head.startswith(b"version "):
        raise PackageFault(f"`{path}` is a pointer of Git LFS and not the model itself: run `git lfs pull` first")
    return named


def keras_of_version(version):
    major = version.split(".")[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Keras 2 is `keras` in older environments and `tf_keras` beside Keras 3.
    for name in ("keras", "tf_keras"):
        try:
            keras = importlib.import_module(name)
        except ImportError:
            continue
        if keras.__version__.split(".")[0] == major:
            return keras
    package = "tf_keras" if major == "2" else f"keras=={major}.*"
    raise PackageFault(f"the model is of Keras {version}, which isn't installed: `pip install '{package}'`")


def keras_of_model(model):
    """The module of the Keras that a model in memory is of."""
    for ancestor in type(model).__mro__:
        name = ancestor.__module__.split(".")[0]
        if name in ("keras", "tf_keras"):
            return importlib.import_module(name)
    raise PackageFault(f"the model is a `{type(model).__name__}`, expected a Keras model or the path of one")


def load(keras, path):
    try:
        return keras.models.load_model(path, compile=False)
    # Keras raises whatever a layer does that it cannot make.
    except Exception as error:
        raise PackageFault(f"Keras {keras.__version__} cannot load `{path}`: {error}") from error


def input_shape(model, size=None):
    """Height, width and channels of the images; `size` gives the first two where the model doesn't tell them."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        raise PackageFault(f"the model takes {shape}, expected one image")
    if len(shape) == 2:
        return flat_shape(shape, size)
    own = shape[1:] if len(shape) == 4 else (*shape[1:], 1)
    if channels_first(shape):
        own = (*own[1:], own[0])
    if len(own) != 3 or own[2] not in (1, 3):
        raise PackageFault(f"the model takes {shape}, expected (height, width, channels) with 1 or 3 channels")
    given = tuple(size) if size else own[:2]
    if None in given:
        raise PackageFault(f"the model takes images of any size, {shape}: expected `size`, height and width")
    if any(side not in (None, wanted) for side, wanted in zip(own[:2], given)):
        raise PackageFault(f"`size` is {given}, but the model takes {shape}")
    return (*given, own[2])


def flat_shape(shape, size):
    """Of a model that takes all values in a row."""
    if not size or not shape[1] or shape[1] not in (size[0] * size[1], 3 * size[0] * size[1]):
        raise PackageFault(f"the model takes {shape}, values in a row: expected `size`, the height and width of an image "
                           "of as many")
    return (*size, shape[1] // (size[0] * size[1]))


def channels_first(shape):
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def as_taken(model, images):
    """A batch of images, the channels last, as the model takes it."""
    shape = model.input_shape
    if channels_first(shape):
        return images.transpose(0, 3, 1, 2)
    if len(shape) == 2:
        return images.reshape(len(images), -1)
    return images[..., 0] if len(shape) == 3 else images


def outputs(model):
    """How many."""
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise PackageFault(f"the model gives {shape}, expected (batch, scores)")
    return shape[1]


def ending(model):
    """The name of the function that the model's outputs come from: `softmax`, `sigmoid`, `linear` and so on."""
    layer = source(model.outputs[0])
    while True:
        kind = type(layer).__name__
        if hasattr(layer, "outputs") and hasattr(layer, "layers"):
            layer = source(layer.outputs[0])
            continue
        function = getattr(layer, "activation", None)
        name = getattr(function, "__name__", kind.lower())
        # As the last layers of mixed precision: what they let through was made before them.
        if kind in ("Flatten", "Reshape", "Dropout", "Identity") or (kind == "Activation" and name == "linear"):
            layer = source(layer.input)
            continue
        return name


def source(tensor):
    """The layer that computes it."""
    history = tensor._keras_history
    return getattr(history, "operation", None) or history.layer
