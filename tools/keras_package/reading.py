"""How images were read in training: in the words of a config, and by the framework itself.

Each class is one of the recipes of docs/preprocessing.md. Its fields are the settings that the framework's function
has, with that function's defaults. The levels come from the framework and never from an imitation of it here; only
the sizes of `torchvision` and `pad`, and where an image lies in them, are computed.
"""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .faults import PackageFault, one_of

MODES = ["tf", "caffe", "torch"]

# The recipes with a name of their own, which `classifier serve` has too.
NAMED = Path(__file__).resolve().parents[2] / "common" / "src" / "package" / "recipes.json"


def reading(name, **settings):
    """The recipe of this name with these settings, those of the framework's function where they aren't given.

    Raises PackageFault where the recipe or a setting is unknown; it names the known ones.
    """
    recipe = RECIPES[one_of("how images were read", name, RECIPES)]
    known = [field.name for field in dataclasses.fields(recipe)]
    for setting in settings:
        one_of(f"a setting of `{name}`", setting, known)
    return recipe(**settings)


def named_recipes():
    """Each with its `name`, the line of `training` that it answers to, and what it is here and in a config."""
    return json.loads(NAMED.read_text(encoding="utf-8"))


def named(name):
    """The recipe that `classifier serve --recipe NAME` takes.

    Raises PackageFault where there is none of this name.
    """
    known = {recipe["name"]: recipe for recipe in named_recipes()}
    recipe = known[one_of("the recipe", name, known)]
    settings = dict(recipe["settings"])
    if "rescale" in settings:
        settings["rescale"] = 1 / float(settings["rescale"].removeprefix("1/"))
    return reading(recipe["read"], **settings)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What all recipes have: from levels, 0 to 255, to the model's numbers, `(level * rescale - mean) / std`, or one of
    Keras's `preprocess_input`."""

    rescale: float = 1.0
    mean: float | list = 0.0
    std: float | list = 1.0
    preprocess_input: str | None = None

    # Whether the levels are in the order blue, green, red.
    is_bgr = False
    # The largest difference of a score that is accepted, where the service rounds some pixels to the
    # next level: a cubic sum of OpenCV's, and Pillow's sides where it resizes them in the other order.
    tolerance = None

    def __post_init__(self):
        if self.preprocess_input is not None:
            one_of("`preprocess_input`", self.preprocess_input, MODES)
            if (self.rescale, self.mean, self.std) != (1.0, 0.0, 1.0):
                raise PackageFault("`preprocess_input` is beside `rescale`, `mean` or `std`, expected one way to scale")
            if self.is_bgr:
                raise PackageFault("`preprocess_input` takes red, green, blue: expected `channel_order` rgb")
        stds = self.std if hasattr(self.std, "__iter__") else [self.std]
        if self.rescale == 0 or any(std == 0 for std in stds):
            raise PackageFault("`rescale` or `std` is 0, expected other numbers")

    def inputs(self, paths, shape, keras):
        """What the framework makes of image files: float32, `[images, height, width, channels]`.

        Raises PackageFault which names the image that cannot be read.
        """
        import numpy as np

        levels = np.stack([np.asarray(image, np.float32).reshape(shape) for image in self.levels(paths, shape, keras)])
        if self.preprocess_input:
            return keras.applications.imagenet_utils.preprocess_input(levels, mode=self.preprocess_input)
        numbers = [np.asarray(number, np.float32) for number in (self.rescale, self.mean, self.std)]
        return (levels * numbers[0] - numbers[1]) / numbers[2]

    def config(self, shape):
        """The part of a config that says the same."""
        if shape[2] == 1 and self.preprocess_input:
            raise PackageFault("`preprocess_input` is for 3 channels, but the model takes 1")
        kind, settings = self.fit()
        section = {"input_shape": list(shape), "resampling": self.resampling(), **settings}
        if self.is_bgr and shape[2] == 3:
            section["channel_order"] = "bgr"
        if self.preprocess_input:
            section["preprocess_input"] = self.preprocess_input
        if self.rescale != 1:
            section["normalization_factor"] = factor(self.rescale)
        for key, none in (("mean", 0.0), ("std", 1.0)):
            if getattr(self, key) != none:
                section[key] = getattr(self, key)
        return {"img_preproc_type": kind, "image_preproc_config": section}

    def fit(self):
        """`img_preproc_type`, and the keys of its own."""
        return "stretch", {}


def factor(rescale):
    """What levels are divided by where training multiplied: 255, and not 254.99999999999997."""
    divisor = 1 / rescale
    return round(divisor) if abs(divisor - round(divisor)) < 1e-9 * abs(divisor) else divisor


@dataclass(frozen=True, kw_only=True)
class ImageDatasetFromDirectory(Reading):
    """`keras.utils.image_dataset_from_directory`."""

    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False

    def __post_init__(self):
        super().__post_init__()
        one_of("`interpolation`", self.interpolation, ["nearest", "bilinear", "bicubic", "area"])
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise PackageFault("`crop_to_aspect_ratio` and `pad_to_aspect_ratio` are both given, expected one")

    def resampling(self):
        return f"tensorflow_{self.interpolation}"

    def fit(self):
        if self.crop_to_aspect_ratio:
            return "center_crop", {}
        return ("letterbox" if self.pad_to_aspect_ratio else "stretch"), {}

    def levels(self, paths, shape, keras):
        fits = {name: True for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio") if getattr(self, name)}
        with tempfile.TemporaryDirectory() as folder:
            copies = [f"{folder}/{index}{path.suffix}" for index, path in enumerate(paths)]
            for path, copy in zip(paths, copies):
                tensorflow_decoded(path, shape[2])
                shutil.copyfile(path, copy)
            try:
                # It prints how many files it found.
                with contextlib.redirect_stdout(io.StringIO()):
                    images = keras.utils.image_dataset_from_directory(
                        folder, labels=None, label_mode=None, color_mode="grayscale" if shape[2] == 1 else "rgb",
                        batch_size=1, image_size=shape[:2], shuffle=False, interpolation=self.interpolation, **fits)
                read = dict(zip(images.file_paths, images))
            except TypeError as error:
                # Keras 2 has no `pad_to_aspect_ratio`.
                function = f"`image_dataset_from_directory` of Keras {keras.__version__}"
                raise PackageFault(f"{function} refuses its settings: {error}") from error
            except ValueError as error:
                if "No images found" not in str(error):
                    raise
                read = {}
        for path, copy in zip(paths, copies):
            if copy not in read:
                raise PackageFault(
                    f"image `{path}` is left out by `image_dataset_from_directory`, expected .png, .jpg, .bmp or .gif"
                )
        return [read[copy] for copy in copies]


@dataclass(frozen=True, kw_only=True)
class TfImage(Reading):
    """`tf.io.decode_image` with `tf.image.resize`, or `resize_with_pad`."""

    interpolation: str = "bilinear"
    antialias: bool = False
    pad_to_aspect_ratio: bool = False

    def __post_init__(self):
        super().__post_init__()
        known = ["bilinear", "bicubic"] if self.antialias else ["nearest", "bilinear", "bicubic", "area"]
        one_of("`interpolation`", self.interpolation, known)

    def resampling(self):
        return f"tensorflow_{self.interpolation}" + "_antialias" * self.antialias

    def fit(self):
        return ("letterbox" if self.pad_to_aspect_ratio else "stretch"), {}

    def levels(self, paths, shape, keras):
        import tensorflow as tf

        def resized(image):
            if self.pad_to_aspect_ratio:
                return tf.image.resize_with_pad(image, *shape[:2], method=self.interpolation, antialias=self.antialias)
            return tf.image.resize(image, shape[:2], method=self.interpolation, antialias=self.antialias)

        return [resized(tensorflow_decoded(path, shape[2])) for path in paths]


def tensorflow_decoded(path, channels):
    import tensorflow as tf

    try:
        return tf.io.decode_image(path.read_bytes(), channels=channels, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message.splitlines()[0])
        raise unreadable(path, "TensorFlow", reason) from error


@dataclass(frozen=True, kw_only=True)
class LoadImg(Reading):
    """`keras.utils.load_img`, and `ImageDataGenerator(rescale=…).flow_from_directory`, which calls it."""

    interpolation: str = "nearest"

    def __post_init__(self):
        super().__post_init__()
        one_of("`interpolation`", self.interpolation, ["nearest", "box", "bilinear", "bicubic", "lanczos"])

    @property
    def tolerance(self):
        return None if self.interpolation == "nearest" else 0.01

    def resampling(self):
        return f"pillow_{self.interpolation}"

    def levels(self, paths, shape, keras):
        color_mode = "grayscale" if shape[2] == 1 else "rgb"

        def read(path):
            pillow_opened(path, shape[2])
            image = keras.utils.load_img(
                path, color_mode=color_mode, target_size=shape[:2], interpolation=self.interpolation
            )
            return keras.utils.img_to_array(image)

        return [read(path) for path in paths]


@dataclass(frozen=True, kw_only=True)
class Torchvision(Reading):
    """torchvision's transforms of a Pillow image: `Resize((height, width))`, or `Resize(resize_shorter_side)` and
    `CenterCrop((height, width))`. Pillow does the work; the sizes are computed as torchvision does."""

    interpolation: str = "bilinear"
    resize_shorter_side: int | None = None

    def __post_init__(self):
        super().__post_init__()
        one_of("`interpolation`", self.interpolation, ["nearest", "box", "bilinear", "bicubic", "lanczos"])

    @property
    def tolerance(self):
        return None if self.interpolation == "nearest" else 0.01

    def resampling(self):
        return f"pillow_{self.interpolation}"

    def fit(self):
        if self.resize_shorter_side:
            return "center_crop", {"resize_shorter_side": self.resize_shorter_side}
        return "stretch", {}

    def levels(self, paths, shape, keras):
        from PIL import Image

        height, width, channels = shape
        method = getattr(Image.Resampling, self.interpolation.upper())
        if self.resize_shorter_side and self.resize_shorter_side < max(height, width):
            raise PackageFault(
                f"`resize_shorter_side` is {self.resize_shorter_side}, expected at least {max(height, width)}"
            )

        def read(path):
            image = pillow_opened(path, channels).convert("L" if channels == 1 else "RGB")
            if not self.resize_shorter_side:
                return image.resize((width, height), method)
            shorter = min(image.size)
            whole = image.resize([self.resize_shorter_side * side // shorter for side in image.size], method)
            left, top = round((whole.width - width) / 2), round((whole.height - height) / 2)
            return whole.crop((left, top, left + width, top + height))

        return [read(path) for path in paths]


@dataclass(frozen=True, kw_only=True)
class ImageOpsFit(Reading):
    """Pillow's `ImageOps.fit(image, (width, height), method)`, as in the sample code of Teachable Machine."""

    interpolation: str = "bicubic"
    tolerance = 0.01

    def __post_init__(self):
        super().__post_init__()
        one_of("`interpolation`", self.interpolation, ["nearest", "box", "bilinear", "bicubic", "lanczos"])

    def resampling(self):
        return f"pillow_{self.interpolation}"

    def fit(self):
        return "image_ops_fit", {}

    def levels(self, paths, shape, keras):
        from PIL import Image, ImageOps

        height, width, channels = shape
        method = getattr(Image.Resampling, self.interpolation.upper())

        def read(path):
            image = pillow_opened(path, channels).convert("L" if channels == 1 else "RGB")
            return ImageOps.fit(image, (width, height), method)

        return [read(path) for path in paths]


def pillow_opened(path, channels):
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except OSError as error:
        raise unreadable(path, "Pillow", error) from error
    if channels == 1 and image.mode.startswith(("I", "F")):
        # Which `load_img` leaves at 0 to 65535, and `convert("L")` cuts off.
        raise unreadable(path, "Pillow", f"as grey of 8 bits, it is of mode {image.mode}")
    return image


@dataclass(frozen=True, kw_only=True)
class OpenCv(Reading):
    """`cv2.imread` and `cv2.resize`; with the order rgb, `cv2.cvtColor(image, cv2.COLOR_BGR2RGB)` too."""

    interpolation: str = "linear"
    channel_order: str = "bgr"

    def __post_init__(self):
        one_of("`channel_order`", self.channel_order, ["bgr", "rgb"])
        super().__post_init__()
        one_of("`interpolation`", self.interpolation, ["nearest", "linear", "cubic", "area"])

    @property
    def is_bgr(self):
        return self.channel_order == "bgr"

    @property
    def tolerance(self):
        return 0.01 if self.interpolation == "cubic" else None

    def resampling(self):
        return f"opencv_{self.interpolation}"

    def levels(self, paths, shape, keras):
        import cv2

        method = getattr(cv2, f"INTER_{self.interpolation.upper()}")

        def read(path):
            image = cv2.resize(opencv_decoded(path, shape[2]), shape[1::-1], interpolation=method)
            return image if shape[2] == 1 or self.is_bgr else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

        return [read(path) for path in paths]


@dataclass(frozen=True, kw_only=True)
class Pad(Reading):
    """The older service's `normalize_and_pad`."""

    is_bgr = True

    def __post_init__(self):
        super().__post_init__()
        if (self.mean, self.std) != (0.0, 1.0):
            raise PackageFault("`mean` or `std` is given, but `pad` knows only `rescale`")

    def config(self, shape):
        section = {"input_shape": list(shape), "normalization_factor": factor(self.rescale)}
        return {"img_preproc_type": "normalize_and_pad", "image_preproc_config": section}

    def levels(self, paths, shape, keras):
        return [padded(opencv_decoded(path, shape[2]), *shape[:2]) for path in paths]


def padded(image, height, width):
    """An image of OpenCV's in the centre of a black canvas, scaled down first where it is larger."""
    import cv2
    import numpy as np

    rows, columns = image.shape[:2]
    if rows > height or columns > width:
        scale = min(height / rows, width / columns)
        rows, columns = max(1, int(rows * scale)), max(1, int(columns * scale))
        image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros((height, width, *image.shape[2:]), np.uint8)
    canvas[top : top + rows, left : left + columns] = image
    return canvas


def opencv_decoded(path, channels):
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise unreadable(path, "OpenCV", "it is no image that it knows")
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if channels == 1 else image


def unreadable(path, framework, reason):
    return PackageFault(f"image `{path}` cannot be read by {framework}: {reason}")


# By the names that the framework's functions have, or the framework.
RECIPES = {
    "image_dataset_from_directory": ImageDatasetFromDirectory,
    "image_ops_fit": ImageOpsFit,
    "load_img": LoadImg,
    "opencv": OpenCv,
    "pad": Pad,
    "tf_image": TfImage,
    "torchvision": Torchvision,
}
