"""Makes the models that the importer and the graph are compared with Keras on.

    python tools/parity/make_models.py [NAME ...]

Each lands in `.cache/fixtures/parity/NAME_kerasN/` as

    model.hdf5   saved by Keras 2 (`tf_keras`) or Keras 3 (`keras`)
    model.keras  the same model in the other format; not of the largest
    input.npy    float32, [images, height, width, channels], pixels from 0 to 1
    scores.npy   float32, [images, classes], what that Keras computes

A folder that this very script has made before is left alone.

Untrained networks give nearly the same, nearly uniform scores for every image, and on such scores any two
programs agree. So the weights are made lively: statistics of normalizations are taken from photographs and
then bent, and the last layer reads the directions in which the photographs really differ. What came of it is
asserted, see `check_that_scores_tell_images_apart`.
"""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / ".cache" / "fixtures" / "parity"
NAMES = [
    "cnn",
    "nested",
    "shared",
    "operations",
    "convnext",
    "normalizations",
    "vision_transformer",
    "mixed_float16",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet50",
    "vgg16",
]
# Models with more parameters are saved once.
MAX_TWICE = 10_000_000
IMAGES = 8


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--make"]:
        dialect, names = int(arguments[1]), arguments[2:]
        for name in names:
            make(name, dialect)
        return
    names = arguments or NAMES
    for dialect in (2, 3):
        wanted = [name for name in names if not is_made(name, dialect)]
        for name in sorted(set(names) - set(wanted)):
            print(f"{name}_keras{dialect}: already made")
        if wanted:
            # One Keras a process: the two disagree about which of them is the default.
            subprocess.run([sys.executable, __file__, "--make", str(dialect), *wanted], check=True)


def folder_of(name, dialect):
    return FIXTURES / f"{name}_keras{dialect}"


def digest():
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def is_made(name, dialect):
    mark = folder_of(name, dialect) / "made_by"
    return mark.exists() and mark.read_text() == digest()


def make(name, dialect):
    begin = time.monotonic()
    keras = import_keras(dialect)
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model = MODELS[name](keras)
    photographs = crops_of_photographs(64, *model.input_shape[1:3])
    make_lively(keras, model, photographs)

    inputs = pick_different(model, photographs)
    scores = np.asarray(model(inputs, training=False), dtype=np.float32)
    said = check_that_scores_tell_images_apart(scores)

    folder = folder_of(name, dialect)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    saved = mixed_precision_twin(keras, model) if name == "mixed_float16" else model
    saved.save(folder / "model.hdf5")
    if model.count_params() < MAX_TWICE:
        saved.save(folder / "model.keras")
    np.save(folder / "input.npy", inputs)
    np.save(folder / "scores.npy", scores)
    (folder / "made_by").write_text(digest())
    print(f"{folder.name}: {said}; {model.count_params():,} parameters, {time.monotonic() - begin:.0f} s")


def import_keras(dialect):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if dialect == 2:
        import tf_keras as keras
    else:
        import keras
    assert keras.__version__.startswith(f"{dialect}."), keras.__version__
    return keras


def crops_of_photographs(count, height, width):
    """Crops of scikit-learn's two photographs in many scales, float32 from 0 to 1."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(11)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    crops = []
    for index in range(count):
        photograph = photographs[index % 2]
        side = int(random.integers(60, 400))
        left = int(random.integers(0, photograph.width - side))
        top = int(random.integers(0, photograph.height - side))
        crop = photograph.crop((left, top, left + side, top + side)).resize((width, height))
        crops.append(np.asarray(crop, dtype=np.float32) / 255)
    return np.stack(crops)


def make_lively(keras, model, photographs, damping=None):
    """With a `damping`, what is added to a shortcut is as much smaller, and the statistics are left straight: in the
    deepest networks differences would else grow from block to block until rounding decides the scores."""
    random = np.random.default_rng(5)
    layers = list(all_layers(keras, model))
    has_norm = any(type(layer).__name__.endswith("Normalization") for layer in layers)
    if not has_norm:
        center_chain(keras, model, photographs)
    for layer in layers:
        if is_batch_norm(keras, layer):
            *learnt, mean, variance = layer.get_weights()
            layer.set_weights([*bent_pair(layer, learnt, random), mean, variance])
        elif isinstance(layer, keras.layers.LayerNormalization):
            layer.set_weights(bent_pair(layer, layer.get_weights(), random))
        elif isinstance(layer, keras.layers.PReLU):
            layer.set_weights([random.uniform(0.05, 0.4, layer.get_weights()[0].shape)])
        elif type(layer).__name__ == "LayerScale":
            # As made it is 0.000001, and the branch behind it could as well be missing.
            layer.set_weights([random.uniform(0.3, 1.0, layer.get_weights()[0].shape)])
    if damping:
        damp_branches(keras, layers, damping)
    set_moving_statistics(keras, model, layers, photographs)
    for layer in layers:
        if is_batch_norm(keras, layer):
            *learnt, mean, variance = layer.get_weights()
            bent = 1 if damping else random.uniform(0.85, 1.15, variance.shape)
            layer.set_weights([*learnt, mean, variance * bent])
    whiten_last_layer(keras, model, photographs, random)


def is_batch_norm(keras, layer):
    return isinstance(layer, keras.layers.BatchNormalization)


def damp_branches(keras, layers, damping):
    for layer in layers:
        if isinstance(layer, keras.layers.Add):
            for branch in layer.input:
                passed_on = (keras.layers.Dropout, keras.layers.Activation, keras.layers.Multiply)
                while isinstance(source_of(branch), passed_on):
                    inputs = source_of(branch).input
                    # Of a product the first factor is the branch, the other one its gate.
                    branch = inputs[0] if isinstance(inputs, list) else inputs
                norm = source_of(branch)
                if is_batch_norm(keras, norm) and norm.scale:
                    gamma, *others = norm.get_weights()
                    norm.set_weights([gamma * damping, *others])


def source_of(tensor):
    """The layer that computes it."""
    history = tensor._keras_history
    return getattr(history, "operation", None) or history.layer


def bent_pair(layer, weights, random):
    """Values for gamma and beta, or whichever of the two the layer has."""
    names = [name for name in ("scale", "center") if getattr(layer, name)]
    assert len(names) == len(weights), (layer.name, names)
    values = {"scale": lambda shape: random.uniform(0.7, 1.3, shape), "center": lambda shape: random.normal(0, 0.3, shape)}
    return [values[name](weight.shape) for name, weight in zip(names, weights)]


def all_layers(keras, model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(keras, layer)
        else:
            yield layer


def center_chain(keras, model, photographs):
    """Gives each channel of a plain chain of layers mean 0 and variance 1 before its activation."""
    values = photographs
    for layer in model.layers[1:-1]:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            activation, layer.activation = layer.activation, keras.activations.linear
            before = np.asarray(layer(values))
            axes = tuple(range(before.ndim - 1))
            mean, deviation = before.mean(axes), before.std(axes) + 1e-3
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel / deviation, (bias - mean) / deviation])
            layer.activation = activation
        values = np.asarray(layer(values))


def set_moving_statistics(keras, model, layers, photographs):
    """One step with momentum 0 in training mode leaves the batch's own statistics behind. Nothing is dropped in it:
    statistics of another network would let values grow from layer to layer, until rounding decides the scores."""
    normalizations = [layer for layer in layers if is_batch_norm(keras, layer)]
    if not normalizations:
        return
    dropouts = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
    momenta = [layer.momentum for layer in normalizations]
    rates = [layer.rate for layer in dropouts]
    for layer in normalizations:
        layer.momentum = 0.0
    for layer in dropouts:
        layer.rate = 0.0
    model(photographs, training=True)
    for layer, momentum in zip(normalizations, momenta):
        layer.momentum = momentum
    for layer, rate in zip(dropouts, rates):
        layer.rate = rate


def whiten_last_layer(keras, model, photographs, random):
    """The last layer with weights, a dense one or a convolution of one pixel, mixes the main directions in which
    its inputs differ, each scaled to variance 1."""
    last = [layer for layer in model.layers if layer.weights][-1]
    features = np.asarray(keras.Model(model.inputs[0], last.input)(photographs, training=False), dtype=np.float64)
    features = features.reshape(len(features), -1)
    mean = features.mean(0)
    _, sizes, directions = np.linalg.svd(features - mean, full_matrices=False)
    kept = 6
    whiten = directions[:kept].T / (sizes[:kept] / np.sqrt(len(features)))
    shape = last.get_weights()[0].shape
    assert shape[:-1] in ((features.shape[1],), (1, 1, features.shape[1])), (last.name, shape)
    kernel = whiten @ random.normal(0, 2.0, (kept, shape[-1]))
    last.set_weights([kernel.reshape(shape), -mean @ kernel + random.normal(0, 0.2, shape[-1])])


def pick_different(model, photographs, count=IMAGES):
    """The photographs that the model answers most differently, found one after the other."""
    scores = np.asarray(model(photographs, training=False))
    picked = [int(scores.max(1).argmax())]
    while len(picked) < count:
        distances = np.abs(scores[:, None] - scores[None, picked]).sum(2).min(1)
        picked.append(int(distances.argmax()))
    return photographs[picked]


def check_that_scores_tell_images_apart(scores):
    winners = len(set(scores.argmax(1).tolist()))
    median = float(np.median(scores.max(1)))
    pairs = [np.abs(a - b).sum() for i, a in enumerate(scores) for b in scores[:i]]
    distance = float(np.mean(pairs))
    assert np.isfinite(scores).all() and np.allclose(scores.sum(1), 1, atol=1e-4)
    assert winners >= 4, f"only {winners} different winners"
    assert median > 0.3, f"median of the largest scores is {median}"
    assert distance > 0.8, f"mean distance of two images' scores is {distance}, of 2 at most"
    return f"{winners} different winners, median score {median:.2f}, mean distance {distance:.2f}"


def vgg16(keras):
    return keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=50)


def resnet50(keras):
    return keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=50)


def mobilenet_v3(keras):
    """Squeeze and excite, and activations made of operations."""
    return keras.applications.MobileNetV3Small(
        weights=None, input_shape=(64, 64, 3), classes=20, alpha=0.25, minimalistic=False, include_preprocessing=False
    )


def convnext(keras):
    """The layers of ConvNeXt's own: a learnt scale, and branches that are dropped in training."""
    convnext = importlib.import_module(f"{keras.__name__}.src.applications.convnext")
    return convnext.ConvNeXt(
        depths=[1, 1, 2, 1],
        projection_dims=[12, 16, 20, 24],
        drop_path_rate=0.1,
        include_preprocessing=False,
        weights=None,
        input_shape=(64, 64, 3),
        classes=20,
        **({"name": "convnext"} if keras.__version__.startswith("3.") else {"model_name": "convnext"}),
    )


def normalizations(keras):
    """Layer normalization over other axes than the last, and without one of its weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((24, 20, 3)),
            layers.Conv2D(12, 3, strides=2, name="first"),
            layers.LayerNormalization(epsilon=0.1, name="channels"),
            layers.Activation("relu", name="relu"),
            layers.Conv2D(10, 3, name="second"),
            layers.LayerNormalization(axis=[1, 2], scale=False, name="pixels"),
            layers.Activation("tanh", name="tanh"),
            layers.Conv2D(8, 3, name="third"),
            layers.LayerNormalization(axis=[1, 2, 3], center=False, name="image"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="normalizations",
    )


def vision_transformer(keras):
    """Patches, a class token, learnt positions and two blocks of attention, as tutorials write it."""
    layers = keras.layers
    if keras.__version__.startswith("3."):
        zeros_like, concatenate, arange = keras.ops.zeros_like, keras.ops.concatenate, keras.ops.arange
    else:
        import tensorflow as tf

        zeros_like, concatenate, arange = tf.zeros_like, tf.concat, tf.range
    width, patches = 24, 16
    random = np.random.default_rng(3)

    image = layers.Input((32, 32, 3), name="image")
    values = layers.Conv2D(width, 8, strides=8, name="patches")(image)
    values = layers.Reshape((patches, width), name="sequence")(values)
    token = zeros_like(values[:, :1]) + random.normal(0, 0.5, (1, 1, width)).astype("float32")
    values = concatenate([token, values], axis=1)
    # What is looked up when the model is made becomes numbers in it.
    values = values + 8 * layers.Embedding(patches + 1, width)(arange(patches + 1))
    for block in ("first", "second"):
        seen = layers.LayerNormalization(epsilon=1e-6, name=f"{block}_norm")(values)
        seen = layers.MultiHeadAttention(3, 8, dropout=0.1, name=f"{block}_attention")(seen, seen)
        values = layers.Add(name=f"{block}_add")([values, seen])
        hidden = layers.LayerNormalization(epsilon=1e-6, name=f"{block}_second_norm")(values)
        hidden = layers.Dense(2 * width, activation="gelu", name=f"{block}_hidden")(hidden)
        hidden = layers.Dropout(0.1, name=f"{block}_dropout")(hidden)
        hidden = layers.Dense(width, name=f"{block}_output")(hidden)
        values = layers.Add(name=f"{block}_second_add")([values, hidden])
    values = layers.LayerNormalization(epsilon=1e-6, name="last_norm")(values)
    scores = layers.Dense(10, activation="softmax", name="scores")(values[:, 0])
    return keras.Model(image, scores, name="vision_transformer")


def operations(keras):
    """What is computed without layers."""
    layers = keras.layers
    if keras.__version__.startswith("3."):
        relu, mean, concatenate = keras.ops.relu, keras.ops.mean, keras.ops.concatenate
        stack, reshape, transpose = keras.ops.stack, keras.ops.reshape, keras.ops.transpose
        maximum, cast, gelu = keras.ops.maximum, keras.ops.cast, keras.ops.gelu
    else:
        import tensorflow as tf

        relu, concatenate, stack, reshape = tf.nn.relu, tf.concat, tf.stack, tf.reshape
        transpose, maximum, cast, gelu = tf.transpose, tf.maximum, tf.cast, tf.nn.gelu

        def mean(x, axis, keepdims=False):
            return tf.reduce_mean(x, axis=axis, keepdims=keepdims)

    image = layers.Input((32, 32, 3), name="image")
    values = image[:, :, :, ::-1] / 0.5 - np.array([1.0, 0.9, 0.8], dtype="float32")
    values = layers.BatchNormalization(name="first_norm")(layers.Conv2D(8, 3, strides=2, name="first")(values))
    cut = values[:, 1:-1, 2::2]
    left, right = relu(cut), 0.5 - cut * 0.25
    values = concatenate([left, right, maximum(left, right)], axis=-1)
    values = values * mean(values, axis=[1, 2], keepdims=True) + 1 / (left[:, :, :, 0:1] + 2)
    values = gelu(-values)
    values = stack([values[:, :, :, 3], values[:, :, :, 5], cast(values, "float32")[:, :, :, -1] ** 2], axis=2)
    values = transpose(values, (0, 3, 1, 2))
    values = layers.BatchNormalization(name="second_norm")(layers.Conv2D(12, 3, name="second")(values))
    values = reshape(values, (-1, values.shape[1] * values.shape[2] * 12))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(values), name="operations")


def mixed_float16(keras):
    """Squeeze and excite by layers; saved with half floats for all but the weights."""
    layers = keras.layers
    image = layers.Input((32, 32, 3), name="image")
    values = layers.Conv2D(16, 3, strides=2, use_bias=False, name="stem")(image)
    values = layers.BatchNormalization(name="stem_norm")(values)
    values = layers.Activation("swish", name="swish")(values)
    gate = layers.GlobalAveragePooling2D(name="squeeze")(values)
    gate = layers.Reshape((1, 1, 16), name="as_image")(gate)
    gate = layers.Conv2D(4, 1, activation="relu", name="reduce")(gate)
    gate = layers.Conv2D(16, 1, activation="hard_sigmoid", name="expand")(gate)
    values = layers.Multiply(name="excite")([values, gate])
    values = layers.Conv2D(20, 3, strides=2, groups=4, name="grouped")(values)
    values = layers.BatchNormalization(name="grouped_norm")(values)
    values = layers.Flatten(name="flatten")(values)
    values = layers.Dense(10, name="logits")(values)
    scores = layers.Activation("softmax", dtype="float32", name="scores")(values)
    return keras.Model(image, scores, name="mixed_float16")


def mixed_precision_twin(keras, model):
    """The same model and weights, as trained with mixed precision. What this service computes from it in float32
    is what the given model computes."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    twin = mixed_float16(keras)
    keras.mixed_precision.set_global_policy("float32")
    twin.set_weights(model.get_weights())
    return twin


def mobilenet_v2(keras):
    return keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), classes=50)


def cnn(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="block1_conv"),
            layers.BatchNormalization(name="block1_norm"),
            layers.Activation("relu", name="block1_relu"),
            layers.MaxPooling2D(2, name="block1_pool"),
            layers.Dropout(0.25, name="block1_dropout"),
            layers.Conv2D(24, (3, 2), strides=2, activation="relu", name="block2_conv"),
            layers.BatchNormalization(name="block2_norm"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="tanh", name="hidden"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="cnn",
    )


def nested(keras):
    layers = keras.layers
    stem = keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Rescaling(2.0, offset=-1.0, name="rescale"),
            layers.Conv2D(12, 3, strides=2, name="stem_conv"),
            layers.BatchNormalization(name="stem_norm"),
            layers.ReLU(6.0, name="relu"),
        ],
        name="stem",
    )
    inner_input = layers.Input((15, 15, 12))
    branch = keras.Sequential(
        [
            layers.Input((15, 15, 12)),
            layers.SeparableConv2D(12, 3, padding="same", name="branch_conv"),
            layers.BatchNormalization(name="branch_norm"),
            layers.LeakyReLU(name="leaky"),
        ],
        name="branch",
    )
    inner = layers.Add(name="add")([branch(inner_input), inner_input])
    inner = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(inner)
    inner = layers.BatchNormalization(name="block_norm")(inner)
    block = keras.Model(inner_input, inner, name="block")
    # A frozen part: its weights are saved in another order than a trainable one's.
    block.trainable = False
    branch.trainable = True

    image = layers.Input((32, 32, 3), name="image")
    values = block(stem(image))
    values = layers.PReLU(shared_axes=[1, 2], name="prelu")(values)
    values = layers.GlobalAveragePooling2D(name="pool")(values)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(values), name="nested")


def shared(keras):
    layers = keras.layers
    image = layers.Input((32, 32, 3), name="image")
    tower = keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(10, 3, strides=2, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Activation("elu", name="elu"),
        ],
        name="tower",
    )
    conv = layers.Conv2D(10, 3, padding="same", activation="swish", name="twice")
    flipped = layers.Permute((2, 1, 3), name="turn")(image)
    left, right = tower(image), tower(flipped)
    left = conv(conv(left))
    right = conv(right)
    values = layers.Concatenate(name="both")([left, layers.Subtract(name="minus")([left, right])])
    values = layers.AveragePooling2D(3, strides=2, padding="same", name="pool")(values)
    values = layers.Flatten(name="flatten")(values)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(values), name="shared")


MODELS = {
    "cnn": cnn,
    "nested": nested,
    "shared": shared,
    "operations": operations,
    "convnext": convnext,
    "normalizations": normalizations,
    "vision_transformer": vision_transformer,
    "mixed_float16": mixed_float16,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "resnet50": resnet50,
    "vgg16": vgg16,
}

if __name__ == "__main__":
    main()
