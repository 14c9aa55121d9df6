"""Makes the models of the usual tutorials, each with what the tutorial's own code says of some photographs.

    python tools/parity/make_tutorials.py FOLDER [--only NAME ...]

Each function below is a tutorial: the layers, with fewer filters and lively weights (see make_models.py), and `read`, its
own way from a file to the model's numbers. Written are FOLDER/NAME/NAME.keras or .h5, photographs, and made.json: the
flags without which the model does not say how it is served, and the scores for each photograph.

The test is `cli/tests/it/tutorials.rs`: without the flags `classifier package` asks for just these, with them the package
scores as the tutorial's code.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import make_models
from teachable_machine import sample_code, teachable_machine, written_as_then

CALIBRATING = 24
LABELS = ["daisy", "rose", "tulip"]
RECIPE = "--recipe"
SOFTMAX, SIGMOID = ["--activation", "softmax"], ["--activation", "sigmoid"]


def convolutions(L, x, ending=None, units=3, normalizes=False):
    x = L.Conv2D(8, 5, strides=2, activation="relu")(x)
    x = L.BatchNormalization()(x) if normalizes else x
    x = L.Conv2D(12, 3, strides=2, activation="tanh")(x)
    return L.Dense(units, activation=ending)(L.Flatten()(x))


def by_dataset(size, scale=lambda x: x, color_mode="rgb"):
    """`image_dataset_from_directory`, and a `map`."""
    import tensorflow as tf

    channels = 1 if color_mode == "grayscale" else 3
    return lambda path: scale(
        tf.image.resize(tf.io.decode_image(path.read_bytes(), channels=channels, expand_animations=False), size).numpy()
    )


def by_load_img(keras, size, scale=lambda x: x):
    return lambda path: scale(keras.utils.img_to_array(keras.utils.load_img(path, target_size=size)))


def by_opencv(size, scale, is_rgb=False):
    import cv2

    def read(path):
        image = cv2.imread(str(path))
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if is_rgb else image
        return scale(cv2.resize(image, size[::-1]).astype(np.float32))

    return read


def by_pillow(size, scale):
    from PIL import Image

    return lambda path: scale(np.asarray(Image.open(path).convert("RGB").resize(size[::-1]), np.float32))


def by_array(mode, shape):
    """What a data set of Keras's has, whose images have the model's size."""
    from PIL import Image

    return lambda path: np.asarray(Image.open(path).convert(mode), np.float32).reshape(shape) / 255


def flowers(keras):
    """tensorflow.org/tutorials/images/classification: scales itself, ends in logits."""
    L = keras.layers
    model = keras.Sequential([
        keras.Input((60, 60, 3)), L.RandomFlip("horizontal"), L.RandomRotation(0.1), L.RandomZoom(0.1), L.Rescaling(1.0 / 255),
        L.Conv2D(8, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.Conv2D(12, 3, activation="relu"),
        L.MaxPooling2D(), L.Dropout(0.2), L.Flatten(), L.Dense(16, activation="relu"), L.Dense(3, name="outputs"),
    ])
    return model, by_dataset((60, 60)), SOFTMAX


def cats_and_dogs(keras):
    """keras.io/examples/vision/image_classification_from_scratch: a small Xception, one logit."""
    L = keras.layers
    inputs = keras.Input((64, 48, 3))
    x = L.Rescaling(1.0 / 255)(inputs)
    x = L.Conv2D(16, 3, strides=2, padding="same")(x)
    x = L.Activation("relu")(L.BatchNormalization()(x))
    before = x
    x = L.BatchNormalization()(L.SeparableConv2D(24, 3, padding="same")(L.Activation("relu")(x)))
    x = L.MaxPooling2D(3, strides=2, padding="same")(x)
    x = L.add([x, L.Conv2D(24, 1, strides=2, padding="same")(before)])
    x = L.Dropout(0.25)(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, L.Dense(1, activation=None)(x)), by_dataset((64, 48)), SIGMOID


def transfer_learning(keras):
    """tensorflow.org/tutorials/images/transfer_learning: `preprocess_input` is called on the input."""
    L = keras.layers
    base = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    inputs = keras.Input((96, 96, 3))
    x = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.2)])(inputs)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(base(x, training=False)))
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(x)), by_dataset((96, 96)), []


def fine_tuning(keras):
    """keras.io/guides/transfer_learning: `Rescaling(1/127.5, offset=-1)` before the base."""
    inputs = keras.Input((40, 56, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(x)
    return keras.Model(inputs, convolutions(keras.layers, x, "softmax")), by_dataset((40, 56)), []


def efficientnet(keras):
    """keras.io/examples/vision/image_classification_efficientnet_fine_tuning: the base scales itself."""
    model = keras.applications.EfficientNetB0(weights=None, classes=3, input_shape=(64, 64, 3))
    return model, by_dataset((64, 64)), []


def mobilenet_v3(keras):
    """The base scales itself, unless it is told not to."""
    base = keras.applications.MobileNetV3Small((64, 64, 3), alpha=0.75, include_top=False, weights=None, pooling="avg")
    return keras.Sequential([base, keras.layers.Dense(3, activation="softmax")]), by_dataset((64, 64)), []


def resnet_operations(keras):
    """`resnet50.preprocess_input` called on the input: blue first, less the means."""
    inputs = keras.Input((40, 56, 3))
    x = keras.applications.resnet50.preprocess_input(inputs)
    return keras.Model(inputs, convolutions(keras.layers, x, "softmax", normalizes=True)), by_dataset((40, 56)), []


def densenet_operations(keras):
    """`densenet.preprocess_input` called on the input."""
    inputs = keras.Input((40, 56, 3))
    x = keras.applications.densenet.preprocess_input(inputs)
    return keras.Model(inputs, convolutions(keras.layers, x, "softmax", normalizes=True)), by_dataset((40, 56)), []


def adapted(keras):
    """keras.io/examples/vision/image_classification_with_vision_transformer: `Normalization`, adapted to 0 to 255."""
    L = keras.layers
    normalization = L.Normalization()
    normalization.adapt(255 * make_models.crops_of_photographs(CALIBRATING, 40, 56))
    model = keras.Sequential([keras.Input((40, 56, 3)), normalization, L.Conv2D(8, 5, strides=2, activation="relu"),
                              L.Conv2D(12, 3, strides=2, activation="relu"), L.Flatten(), L.Dense(3, activation="softmax")])
    return model, by_dataset((40, 56)), []


def adapted_to_fractions(keras):
    """The same, adapted to what was divided by 255 before."""
    L = keras.layers
    normalization = L.Normalization()
    normalization.adapt(make_models.crops_of_photographs(CALIBRATING, 40, 56))
    model = keras.Sequential([keras.Input((40, 56, 3)), normalization, L.Conv2D(8, 5, strides=2, activation="relu"),
                              L.Conv2D(12, 3, strides=2, activation="relu"), L.Flatten(), L.Dense(3, activation="softmax")])
    return model, by_dataset((40, 56), lambda x: x / 255), [RECIPE, "image_dataset_from_directory-255"]


def resizes_itself(keras):
    """tensorflow.org/tutorials/images/data_augmentation: `Resizing` and `Rescaling`, for images of any size."""
    L = keras.layers
    model = keras.Sequential([keras.Input((None, None, 3)), L.Resizing(40, 56), L.Rescaling(1.0 / 255),
                              L.Conv2D(8, 5, strides=2, activation="relu"), L.Conv2D(12, 3, strides=2, activation="relu"),
                              L.Flatten(), L.Dense(3, activation="softmax")])
    return model, by_dataset((40, 56)), []


def mapped(keras):
    """tensorflow.org/tutorials/load_data/images: a `Rescaling` of the data set and not of the model."""
    inputs = keras.Input((40, 56, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs))
    return model, by_dataset((40, 56), lambda x: x / 255), [RECIPE, "image_dataset_from_directory-255", *SOFTMAX]


def little_data(keras):
    """blog.keras.io/building-powerful-image-classification-models-using-very-little-data.html: `rescale=1/255`."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "sigmoid", 1))
    return model, by_load_img(keras, (50, 50), lambda x: x * np.float32(1 / 255)), [RECIPE, "load_img-255"]


def vgg_generator(keras):
    """`ImageDataGenerator(preprocessing_function=vgg16.preprocess_input)`."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax"))
    return model, by_load_img(keras, (50, 50), keras.applications.vgg16.preprocess_input), [RECIPE, "caffe"]


def mobilenet_generator(keras):
    """The same of MobileNetV2, whose head looks nearly like that of Teachable Machine."""
    L = keras.layers
    base = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    pool, hidden, scores = L.GlobalAveragePooling2D(), L.Dense(100, activation="relu"), L.Dense(3, activation="softmax")
    flat = keras.Model(base.input, scores(hidden(pool(base.output))))
    features = keras.Sequential([base, pool])
    head = keras.Sequential([keras.Input((1280,)), hidden, scores])
    model = keras.Sequential([keras.Input((64, 64, 3)), features, head])
    read = by_load_img(keras, (64, 64), keras.applications.mobilenet_v2.preprocess_input)
    return (model, flat), read, [RECIPE, "tf"]


def densenet_load_img(keras):
    """`load_img`, then `densenet.preprocess_input`."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax"))
    return model, by_load_img(keras, (50, 50), keras.applications.densenet.preprocess_input), [RECIPE, "torch"]


def opencv(keras):
    """pyimagesearch.com: `cv2.imread`, `cv2.resize`, divided by 255."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax"))
    return model, by_opencv((50, 50), lambda x: x / 255), [RECIPE, "opencv-255"]


def opencv_rgb(keras):
    """The same with `cv2.COLOR_BGR2RGB`."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax"))
    return model, by_opencv((50, 50), lambda x: x / 255, is_rgb=True), [RECIPE, "opencv-rgb-255"]


def pillow(keras):
    """`Image.open(file).resize(…)` as an array, divided by 255."""
    inputs = keras.Input((50, 50, 3))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax"))
    return model, by_pillow((50, 50), lambda x: x / 255), [RECIPE, "pillow-255"]


def mnist_convnet(keras):
    """keras.io/examples/vision/mnist_convnet."""
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, convolutions(keras.layers, inputs, "softmax", 10))
    return model, by_array("L", (28, 28, 1)), [RECIPE, "array-255"]


def quickstart(keras):
    """tensorflow.org/tutorials/quickstart/beginner: [28, 28], logits."""
    L = keras.layers
    model = keras.Sequential([keras.Input((28, 28)), L.Flatten(), L.Dense(32, activation="relu"), L.Dropout(0.2), L.Dense(10)])
    return model, by_array("L", (28, 28)), [RECIPE, "array-255", *SOFTMAX]


def fashion(keras):
    """tensorflow.org/tutorials/keras/classification: a `Softmax` around a trained model."""
    L = keras.layers
    inner = keras.Sequential([keras.Input((28, 28)), L.Flatten(), L.Dense(32, activation="relu"), L.Dense(10)])
    model = keras.Sequential([keras.Input((28, 28)), inner, L.Softmax()])
    return (model, inner), by_array("L", (28, 28)), [RECIPE, "array-255"]


def perceptron(keras):
    """The first network of many courses: 784 numbers."""
    L = keras.layers
    model = keras.Sequential([keras.Input((784,)), L.Dense(32, activation="relu"), L.Dense(10, activation="softmax")])
    return model, by_array("L", (784,)), [RECIPE, "array-255"]


def cifar(keras):
    """tensorflow.org/tutorials/images/cnn."""
    L = keras.layers
    model = keras.Sequential([keras.Input((32, 32, 3)), L.Conv2D(8, 3, activation="relu"), L.MaxPooling2D(),
                              L.Conv2D(12, 3, activation="relu"), L.Flatten(), L.Dense(16, activation="relu"), L.Dense(10)])
    return model, by_array("RGB", (32, 32, 3)), [RECIPE, "array-255", *SOFTMAX]


def of_teachable_machine(keras):
    """teachablemachine.withgoogle.com, as its site makes it."""
    return (lambda images: teachable_machine(keras, len(LABELS), images)), sample_code, []


def of_teachable_machine_v1(keras):
    """The same with the library's older base."""
    return (lambda images: teachable_machine(keras, len(LABELS), images, version=1)), sample_code, []


# The tutorial, its Keras, the file's ending, and the size of its images where they have the model's.
TUTORIALS = [
    (flowers, 3, "keras", None), (flowers, 2, "h5", None), (cats_and_dogs, 3, "keras", None),
    (transfer_learning, 3, "keras", None), (transfer_learning, 2, "h5", None), (fine_tuning, 3, "h5", None),
    (efficientnet, 3, "keras", None), (mobilenet_v3, 2, "keras", None), (resnet_operations, 3, "keras", None),
    (resnet_operations, 2, "h5", None), (densenet_operations, 3, "keras", None), (adapted, 3, "keras", None),
    (adapted_to_fractions, 2, "h5", None), (resizes_itself, 3, "keras", None), (mapped, 3, "keras", None),
    (little_data, 2, "h5", None), (vgg_generator, 3, "keras", None), (mobilenet_generator, 2, "h5", None),
    (densenet_load_img, 3, "h5", None), (opencv, 2, "hdf5", None), (opencv_rgb, 3, "keras", None),
    (pillow, 3, "keras", None), (mnist_convnet, 3, "keras", (28, 28)), (quickstart, 3, "keras", (28, 28)),
    (fashion, 2, "h5", (28, 28)), (perceptron, 3, "keras", (28, 28)), (cifar, 2, "keras", (32, 32)),
    (of_teachable_machine, 2, "h5", None), (of_teachable_machine_v1, 2, "h5", None),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[])
    arguments = parser.parse_args()
    made = []
    for tutorial, dialect, ending, size in TUTORIALS:
        name = f"{tutorial.__name__}_keras{dialect}"
        if not arguments.only or name in arguments.only:
            made.append(make(arguments.folder / name, name, tutorial, dialect, ending, size))
    (arguments.folder / "made.json").write_text(json.dumps(made, indent=1))


def make(folder, name, tutorial, dialect, ending, size):
    folder.mkdir(parents=True)
    keras = make_models.import_keras(dialect)
    keras.utils.set_random_seed(7)
    model, read, flags = tutorial(keras)
    images = photographs(folder, size)
    calibrating = [read(image) for image in crops(folder / "crops", size)]
    calibrating = np.stack(calibrating)
    file = folder / f"{name}.{ending}"
    if tutorial in (of_teachable_machine, of_teachable_machine_v1):
        model(calibrating).save(file)
        written_as_then(file)
        # What the sample code loads.
        model = keras.models.load_model(file, compile=False)
    else:
        # Where the last layer is in a model within the model, the same layers without it.
        model, flat = model if isinstance(model, tuple) else (model, model)
        flat = keras.Model(flat.inputs[0], flat.outputs[0])
        make_models.make_lively(keras, flat, calibrating)
        # Where every score is 0 or 1, other pixels change none.
        last = [layer for layer in flat.layers if layer.weights][-1]
        kernel, *bias = last.get_weights()
        last.set_weights([kernel * 0.3, *(numbers * 0.3 for numbers in bias)])
        model.save(file)
    scores = model.predict(np.stack([read(image) for image in images]), verbose=0)
    if scores.shape[1] == 1:
        apart = np.ptp(scores) / 20
    else:
        apart = min(np.abs(one - other).max() for at, one in enumerate(scores) for other in scores[:at])
    assert apart > 0.005 * np.abs(scores).max(), f"{name}: two photographs are scored nearly alike: {apart}"
    keras.backend.clear_session()
    examples = [{"image": image.name, "scores": numbers.tolist()} for image, numbers in zip(images, scores)]
    return {"name": name, "file": str(file), "flags": flags, "photographs": str(folder / "photographs"), "examples": examples}


def photographs(folder, size):
    """As people have them: of any size, or of the data set's."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    china, flower = [Image.fromarray(image) for image in load_sample_images().images]
    cut = {
        "china": china.crop((40, 60, 341, 260)), "flower": flower.crop((100, 20, 271, 277)),
        "narrow": china.crop((10, 100, 87, 411)), "small": flower.crop((280, 180, 313, 207)),
        "wide": flower.crop((20, 40, 620, 301)),
    }
    (folder / "photographs").mkdir()
    files = []
    for name, image in cut.items():
        files.append(folder / "photographs" / f"{name}.png")
        (image.resize(size[::-1]) if size else image).save(files[-1])
    return files


def crops(folder, size):
    from PIL import Image

    folder.mkdir()
    height, width = size or (120, 140)
    for index, crop in enumerate(make_models.crops_of_photographs(CALIBRATING, height, width)):
        Image.fromarray((crop * 255).round().astype(np.uint8)).save(folder / f"{index:02}.png")
    return sorted(folder.iterdir())


if __name__ == "__main__":
    main()
