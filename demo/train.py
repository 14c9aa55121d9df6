"""Trains the two demo models on the handwritten digits inside scikit-learn.

    .cache/python/bin/python demo/train.py

Writes models/digits/, models/digits_small/, with examples whose scores are Keras's, and demo/images/ (a dozen
digits that no model was trained on). Nothing is downloaded: the 1,797 digits of 8x8 pixels come with scikit-learn. The models are trained
and judged on exactly what the service makes of an image file: encoded as PNG, decoded by OpenCV (BGR),
scaled down or put in the centre of a black canvas, divided by 255. Fails when a model is right on fewer
than 98 % of the held-out fifth.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import cv2
import keras
import numpy
import tensorflow
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from keras_package import reading, write_package
from keras_package.reading import padded

SEED = 20240229
WANTED = 0.98
PICTURE_SIDE = 160
EXAMPLES = 5


def main():
    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    digits = load_digits()
    pictures = [picture(image) for image in digits.images]
    train_x, test_x, train_y, test_y = train_test_split(
        pictures, digits.target, test_size=0.2, random_state=SEED, stratify=digits.target
    )
    write_images(test_x, test_y)
    for name, build, side in (("digits", residual_network, 32), ("digits_small", small_network, 16)):
        keras.utils.set_random_seed(SEED)
        model = train(build(side), train_x, train_y, side)
        path = save(model, name)
        held_out = numpy.stack([preprocess(encode(image), side) for image in test_x])
        reloaded = keras.models.load_model(path, compile=False)
        right = int((reloaded.predict(held_out, verbose=0).argmax(1) == test_y).sum())
        share = right / len(test_y)
        print(
            f"{name}: {right} of {len(test_y)} held-out digits right ({share:.2%}), "
            f"{model.count_params()} parameters, {path.stat().st_size // 1024} KiB"
        )
        if share < WANTED:
            sys.exit(f"{name} is right on {share:.2%} of the held-out digits, expected at least {WANTED:.0%}")


def picture(image):
    """An 8x8 digit (0 to 16) as a grey picture (0 to 255) that a person can read, white on black."""
    smooth = cv2.resize(
        image.astype(numpy.float32) * (255 / 16), (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_CUBIC
    )
    return smooth.clip(0, 255).round().astype(numpy.uint8)


def encode(image):
    """The picture as the bytes of a PNG file."""
    written, data = cv2.imencode(".png", image)
    assert written
    return data


def preprocess(data, side):
    """What the service's `normalize_and_pad` gives for an image file: [side, side, 3], BGR, 0 to 1."""
    return padded(cv2.imdecode(data, cv2.IMREAD_COLOR), side, side).astype(numpy.float32) / 255


def varied(image, random, side):
    """The picture turned, moved and resized a little, sometimes smaller than the model's input so that
    the service will pad it."""
    angle, scale = random.uniform(-10, 10), random.uniform(0.9, 1.1)
    turn = cv2.getRotationMatrix2D((PICTURE_SIDE / 2, PICTURE_SIDE / 2), angle, scale)
    turn[:, 2] += random.uniform(-PICTURE_SIDE / 16, PICTURE_SIDE / 16, 2)
    image = cv2.warpAffine(image, turn, (PICTURE_SIDE, PICTURE_SIDE))
    target = int(random.uniform(0.75, 1.0) * side) if random.random() < 0.3 else PICTURE_SIDE
    return cv2.resize(image, (target, target), interpolation=cv2.INTER_AREA)


def train(model, pictures, labels, side):
    """Trains on the pictures as they are and on varied copies of them."""
    random = numpy.random.default_rng(SEED)
    copies = pictures + [varied(picture, random, side) for _ in range(4) for picture in pictures]
    inputs = numpy.stack([preprocess(encode(image), side) for image in copies])
    targets = numpy.tile(labels, 5)
    epochs, batch = 12, 64
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(inputs) // batch))
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(inputs, targets, batch_size=batch, epochs=epochs, verbose=0)
    return model


def residual_network(side):
    """Convolutions with batch normalization and one shortcut, as in larger classifiers."""
    image = layers.Input((side, side, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="down")(x)
    x = shortcut = layers.ReLU(name="down_relu")(layers.BatchNormalization(name="down_norm")(x))
    x = layers.SeparableConv2D(32, 3, padding="same", use_bias=False, name="mix")(x)
    x = layers.ReLU(name="mix_relu")(layers.BatchNormalization(name="mix_norm")(x))
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="refine")(x)
    x = layers.Add(name="shortcut")([x, shortcut])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(layers.Flatten(name="flatten")(x))
    x = layers.Dense(10, activation="softmax", name="scores")(x)
    return keras.Model(image, x, name="digits")


def small_network(side):
    """A plain stack of layers."""
    return keras.Sequential(
        [
            layers.Input((side, side, 3), name="image"),
            layers.Conv2D(12, 3, padding="same", activation="relu", name="first"),
            layers.MaxPooling2D(name="first_pool"),
            layers.Conv2D(24, 3, padding="same", activation="relu", name="second"),
            layers.MaxPooling2D(name="second_pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="digits_small",
    )


def save(model, name):
    """Writes a package: the model without its optimizer, the config, and some of the demo's images as examples, with
    what Keras says of them: a worker compares its own scores with these."""
    write_package(
        model, name, sorted((ROOT / "demo" / "images").glob("*.png"))[:EXAMPLES], range(10),
        read=reading("pad", rescale=1 / 255), models_dir=ROOT / "models", format="hdf5", overwrite=True,
        comments="Handwritten digits of scikit-learn, white on black. Made by demo/train.py.",
    )
    return ROOT / "models" / name / f"{name}.hdf5"


def write_images(pictures, labels):
    """The first held-out digit of each class, and the first two more."""
    first = [int(numpy.flatnonzero(labels == digit)[0]) for digit in range(10)]
    more = [index for index in range(len(labels)) if index not in first][:2]
    folder = ROOT / "demo" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for number, index in enumerate(sorted(first + more), start=1):
        encode(pictures[index]).tofile(folder / f"{number:02}_is_{labels[index]}.png")


if __name__ == "__main__":
    main()
