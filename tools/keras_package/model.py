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
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("metadata.json"))["keras_version"]
        else:
            import h5py

            with h5py.File(path) as file:
                version = file.attrs["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PackageFault(f"`{path}` is no model that Keras saved: {error}") from error
    return keras_of_version(version if isinstance(version, str) else version.decode())


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
    """Height, width and channels; `size` gives the first two where the model takes any."""
    shape = getattr(model, "input_shape", None)
    expected = "expected (height, width, channels) with 1 or 3 channels"
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
        raise PackageFault(f"the model takes {shape}, {expected}")
    given = tuple(size) if size else shape[1:3]
    if None in given:
        raise PackageFault(f"the model takes images of any size, {shape}: expected `size`, height and width")
    if any(own not in (None, side) for own, side in zip(shape[1:3], given)):
        raise PackageFault(f"`size` is {given}, but the model takes {shape}")
    return (*given, shape[3])


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
