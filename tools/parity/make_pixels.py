"""Makes the inputs that TensorFlow, Pillow, OpenCV and Keras give a model for some images.

    python tools/parity/make_pixels.py

They land in `.cache/fixtures/resize/`: the images, `cases.json` with a package config for each case, and what
the framework itself makes of the file, as NumPy arrays. A folder that this very script made is left alone.

The test `pixels::resizing` compares, and sums up in `table.md` there, a line for each `row`: `make pixels` prints it.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "fixtures" / "resize"


def main():
    mark = FOLDER / "made_by"
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    cases = [case for name in images() for case in resizes(name)] + list(recipes())
    for index, case in enumerate(cases):
        expected = np.ascontiguousarray(case.pop("expected"), np.float32)
        case["expected"] = f"{index}.npy"
        np.save(FOLDER / case["expected"], expected[None])
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1))
    mark.write_text(digest)


def images():
    """Photographs and patterns of several sizes as PNG, some as JPEG too."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:75, 0:101]
    rings = 127.5 + 127.5 * np.sin((x - 40) ** 2 / 60 + (y - 30) ** 2 / 90)
    pictures = {
        "china.png": photographs[0].crop((40, 60, 340, 260)),
        "flower.png": photographs[1].crop((100, 20, 271, 277)),
        "tall.png": photographs[1].crop((200, 10, 260, 410)),
        "noise.png": Image.fromarray(random.integers(0, 256, (61, 47, 3), dtype=np.uint8)),
        "rings.png": Image.fromarray(np.stack([rings, 255 - rings, np.roll(rings, 9, 1)], -1).astype(np.uint8)),
        "lines.png": Image.fromarray(np.stack([x % 7 == 0, y % 2 == 0, (x + y) % 5 == 0], -1).astype(np.uint8) * 255),
        "tiny.png": Image.fromarray(random.integers(0, 256, (3, 5, 3), dtype=np.uint8)),
    }
    for name, picture in pictures.items():
        picture.save(FOLDER / name)
    photographs[0].save(FOLDER / "china.jpg", quality=92)
    photographs[1].crop((37, 11, 500, 400)).save(FOLDER / "flower.jpg", quality=80, subsampling="4:4:4", progressive=True)
    pictures["rings.png"].save(FOLDER / "rings.jpg", quality=90)
    photographs[0].convert("L").save(FOLDER / "grey.jpg", quality=85)
    turned = photographs[1].crop((0, 0, 200, 120))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(FOLDER / "turned.png", exif=exif)
    return [*pictures, "china.jpg", "flower.jpg", "rings.jpg"]


def read(name):
    from PIL import Image

    return np.asarray(Image.open(FOLDER / name).convert("RGB"))


def resizes(name):
    """Decoded and resized by the same framework."""
    import cv2
    import tensorflow as tf
    from PIL import Image

    file = FOLDER / name
    of_tensorflow = tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False)
    of_pillow = Image.open(file).convert("RGB")
    of_opencv = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    for height, width in [(32, 48), (97, 64), (224, 224)]:
        for method in ["nearest", "bilinear", "bicubic", "area"]:
            for antialias in [False] if method in ("nearest", "area") else [False, True]:
                yield case(name, f"tensorflow_{method}" + "_antialias" * antialias, (height, width),
                           tf.image.resize(of_tensorflow, (height, width), method=method, antialias=antialias).numpy())
        for method in ["nearest", "box", "bilinear", "bicubic", "lanczos"]:
            resized = of_pillow.resize((width, height), getattr(Image.Resampling, method.upper()))
            yield case(name, f"pillow_{method}", (height, width), np.asarray(resized))
        for method in ["nearest", "linear", "cubic", "area"]:
            resized = cv2.resize(of_opencv, (width, height), interpolation=getattr(cv2, f"INTER_{method.upper()}"))
            yield case(name, f"opencv_{method}", (height, width), resized)


def case(name, resampling, size, expected, kind="stretch", **settings):
    is_exact = resampling.endswith("nearest") or resampling.startswith("pillow")
    # As TensorFlow decodes JPEG it is decoded to the bit.
    lossy = name.endswith(".jpg") and not resampling.startswith("tensorflow")
    return {
        "what": f"{kind} {resampling} {size[0]}x{size[1]} {name}",
        # Where in the table.
        "row": f"`{resampling}`",
        "file": name,
        "config": {
            "img_preproc_type": kind,
            "image_preproc_config": {"input_shape": [*size, expected.shape[-1]], "resampling": resampling, **settings},
            "output_postproc_type": "argmax",
            "output_config": {"output_classes": ["a", "b"]},
        },
        # Levels, before normalization: decoders of JPEG round differently.
        "worst": None if lossy else (0.0 if is_exact else 1.0),
        "mean": 0.5 if lossy else None,
        # How much of the model's input one level is.
        "level": 1.0 / settings.get("normalization_factor", 1),
        "expected": expected,
    }


def recipes():
    """What the documentation tells to write for common ways to train, see docs/preprocessing.md."""
    import keras
    import tensorflow as tf
    from PIL import Image

    image = read("china.png")
    size = (96, 80)
    file = str(FOLDER / "china.png")
    for name in ["china.png", "china.jpg", "flower.jpg", "rings.jpg", "grey.jpg"]:
        made = case(name, "tensorflow_bilinear", size, dataset(name, size, False))
        yield made | {"row": "`image_dataset_from_directory`"}
        made = case(name, "tensorflow_bilinear", size, dataset(name, size, True), kind="center_crop")
        yield made | {"row": "the same, `crop_to_aspect_ratio`"}
    loaded = keras.utils.img_to_array(keras.utils.load_img(file, target_size=size))
    made = case("china.png", "pillow_nearest", size, loaded / 255, normalization_factor=255)
    yield made | {"row": "`load_img`, `rescale`"}
    for mode in ["tf", "caffe", "torch"]:
        module = {"tf": keras.applications.mobilenet_v2, "caffe": keras.applications.resnet,
                  "torch": keras.applications.densenet}[mode]
        expected = module.preprocess_input(loaded.copy())
        made = case("china.png", "pillow_nearest", size, expected, preprocess_input=mode)
        made["level"] = {"tf": 1 / 127.5, "caffe": 1.0, "torch": 1 / 255 / 0.224}[mode]
        made["worst"] = 0.001
        yield made | {"row": "`load_img`, `preprocess_input`"}
    padded = tf.image.resize_with_pad(image, *size).numpy()
    yield case("china.png", "tensorflow_bilinear", size, padded, kind="letterbox") | {"row": "`resize_with_pad`"}
    padded = tf.image.resize_with_pad(read("flower.png"), *size).numpy()
    yield case("flower.png", "tensorflow_bilinear", size, padded, kind="letterbox") | {"row": "`resize_with_pad`"}
    # Whose halves of what is left over are not whole.
    for name in ["flower.png", "noise.png", "lines.png"]:
        for odd in [(40, 56), (57, 31)]:
            padded = tf.image.resize_with_pad(read(name), *odd, method="bicubic").numpy()
            yield case(name, "tensorflow_bicubic", odd, padded, kind="letterbox") | {"row": "`resize_with_pad`"}
    # What torchvision's Resize(110) and CenterCrop((96, 80)) do to a Pillow image.
    whole = Image.fromarray(image).resize((110 * 300 // 200, 110), Image.Resampling.BILINEAR)
    left, top = round((whole.width - size[1]) / 2), round((whole.height - size[0]) / 2)
    cut = np.asarray(whole.crop((left, top, left + size[1], top + size[0])), np.float32)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    made = case("china.png", "pillow_bilinear", size, (cut / 255 - mean) / std, kind="center_crop",
                resize_shorter_side=110, normalization_factor=255, mean=mean.tolist(), std=std.tolist())
    yield made | {"level": 1 / 255 / 0.224, "row": "torchvision's `Resize`, `CenterCrop`"}
    # A tag that says "turned": Pillow leaves the image as it is stored, OpenCV turns it.
    stored = Image.open(FOLDER / "turned.png").convert("RGB").resize((80, 96), Image.Resampling.BICUBIC)
    yield case("turned.png", "pillow_bicubic", size, np.asarray(stored)) | {"row": "an orientation tag"}
    # Made smaller while it is decoded, as `Image.thumbnail` does: by 4, 2, 8 and, across, by 4.
    for name, small, gap in [("china.jpg", (32, 48), 2.0), ("china.jpg", (97, 64), 1.5), ("flower.jpg", (20, 24), 2),
                             ("grey.jpg", (30, 30), 3)]:
        drafted = Image.open(FOLDER / name)
        drafted.draft(drafted.mode, (gap * small[1], gap * small[0]))
        drafted = drafted.convert("RGB").resize(small[::-1], Image.Resampling.BICUBIC)
        made = case(name, "pillow_bicubic", small, np.asarray(drafted), reducing_gap=gap)
        yield made | {"row": "`draft`, `pillow_bicubic`, `reducing_gap`", "mean": 1.0}
    import cv2

    upright = cv2.resize(cv2.imread(str(FOLDER / "turned.png")), (80, 96), interpolation=cv2.INTER_LINEAR)
    yield case("turned.png", "opencv_linear", size, upright, channel_order="bgr") | {"row": "an orientation tag"}
    for name in ["china.png", "china.jpg", "flower.jpg", "grey.jpg"]:
        grey = tf.io.decode_image((FOLDER / name).read_bytes(), channels=1)
        grey = tf.image.resize(grey, size).numpy()
        yield case(name, "tensorflow_bilinear", size, grey) | {"row": "grey of TensorFlow"}
    grey = cv2.cvtColor(cv2.imread(str(FOLDER / "china.png")), cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (80, 96), interpolation=cv2.INTER_AREA)
    yield case("china.png", "opencv_area", size, grey[..., None]) | {"row": "grey of OpenCV"}
    grey = np.asarray(Image.open(FOLDER / "china.png").convert("L").resize((80, 96), Image.Resampling.BILINEAR))
    yield case("china.png", "pillow_bilinear", size, grey[..., None]) | {"row": "grey of Pillow"}


def dataset(name, size, crop):
    """What `image_dataset_from_directory` yields."""
    import keras

    folder = FOLDER / "directory" / name / "class"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / name, folder)
    images = keras.utils.image_dataset_from_directory(folder.parent, image_size=size, crop_to_aspect_ratio=crop,
                                                      shuffle=False, labels="inferred", verbose=False)
    return next(iter(images))[0].numpy()[0]


if __name__ == "__main__":
    main()
