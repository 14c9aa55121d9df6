"""Makes SavedModel folders that can be served, and some that cannot, with what TensorFlow says of them.

    python tools/parity/make_saved_models.py

Each lands in `.cache/fixtures/saved_models/NAME/` as

    model.savedmodel/   as `model.export` of Keras 3, `model.save` of Keras 2 or `tf.saved_model.save` write it
    input.npy           float32, [images, height, width, channels]
    scores.npy          float32, [images, classes], what it computes before it is saved
    scores_NAME.npy     the same of one of several outputs
    model.keras, …      the same model in other formats, where a test compares them

Those that cannot be served are a folder alone. What is made is left alone until this script changes.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "fixtures" / "saved_models"
SHAPE = (8, 8, 3)
IMAGES = 6


def main():
    mark = FOLDER / "made_by"
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        print("already made")
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    tf.random.set_seed(7)
    keras.utils.set_random_seed(7)
    for make in (keras_models, several_outputs, modules, unservable):
        make()
    mark.write_text(digest)


def images():
    """Noise of another brightness and colour in each."""
    random = np.random.default_rng(7)
    colours = random.uniform(-1, 1, (IMAGES, 1, 1, 3))
    return (random.random((IMAGES, *SHAPE)) * colours).astype(np.float32)


def folder(name):
    path = FOLDER / name
    path.mkdir(parents=True)
    return path


def put(name, scores, suffix=""):
    """Writes input and scores; scores that are alike within a hundred times the tolerance would prove nothing."""
    scores = np.asarray(scores, dtype=np.float32)
    apart = min(np.abs(one - other).max() for i, one in enumerate(scores) for other in scores[:i])
    assert np.isfinite(scores).all() and apart > 1e-3, f"{name}: two images have nearly the same scores: {apart}"
    np.save(FOLDER / name / "input.npy", images())
    np.save(FOLDER / name / f"scores{suffix}.npy", scores)


def body(k):
    """A layer of the author's own, which computes what no layer of Keras does, among others."""

    class Gate(k.layers.Layer):
        def build(self, shape):
            initializer = k.initializers.RandomNormal(0, 2)
            self.gain = self.add_weight(name="gain", shape=(shape[-1],), initializer=initializer)

        def call(self, x):
            return x * tf.sigmoid(self.gain * x) + tf.sort(x, axis=-1)

    image = k.Input(SHAPE, name="image")
    x = k.layers.Conv2D(4, 3, kernel_initializer=k.initializers.RandomNormal(0, 1))(image)
    x = k.layers.BatchNormalization(moving_mean_initializer=k.initializers.RandomNormal(0, 1))(x)
    x = Gate(name="gate")(x)
    return image, k.layers.Flatten()(x)


def dense(k, units, name, activation, spread):
    kernel = k.initializers.RandomNormal(0, spread)
    return k.layers.Dense(units, activation, name=name, kernel_initializer=kernel)


def keras_models():
    for name, k in (("keras3_export", keras), ("keras2_save", tf_keras)):
        image, x = body(k)
        model = k.Model(image, dense(k, 3, "scores", "softmax", 0.03)(x))
        path = folder(name)
        saved = str(path / "model.savedmodel")
        if name == "keras3_export":
            model.export(saved, verbose=False)
            model.save(path / "model.keras")
        else:
            model.save(saved)
        put(name, model.predict(images(), verbose=0))
        if name == "keras3_export":
            model.get_layer("scores").bias.assign([np.nan, 0, 0])
            model.export(str(folder("not_finite") / "model.savedmodel"), verbose=False)


def several_outputs():
    """One body and two heads: named by the model in Keras 3, listed in Keras 2."""
    for name, k in (("outputs_keras3", keras), ("outputs_keras2", tf_keras)):
        image = k.Input(SHAPE, name="image")
        x = k.layers.Flatten()(k.layers.Conv2D(4, 3, activation="relu")(image))
        animal = dense(k, 3, "animal", "softmax", 0.3)(x)
        colour = dense(k, 2, "colour", "sigmoid", 0.5)(dense(k, 5, "colour_before", "relu", 0.3)(x))
        path = folder(name)
        if k is keras:
            model = k.Model(image, {"kind": animal, "tint": colour})
            model.export(str(path / "model.savedmodel"), verbose=False)
            found = model.predict(images(), verbose=0)
            found = [found["kind"], found["tint"]]
        else:
            model = k.Model(image, [animal, colour])
            model.save(path / "model.savedmodel")
            found = model.predict(images(), verbose=0)
        for ending in ("keras", "hdf5"):
            model.save(path / f"model.{ending}")
        for number, scores in enumerate(found):
            put(name, scores, f"_{number}")


class Module(tf.Module):
    """A loop, a condition, a table that a file fills, and scores of half precision."""

    def __init__(self, file):
        super().__init__()
        key, value = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        words = tf.lookup.TextFileInitializer(file, tf.string, key, tf.int64, value)
        self.table = tf.lookup.StaticHashTable(words, -1)
        self.kernel = tf.Variable(np.random.default_rng(1).normal(0, 0.2, (192, 4)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="image")])
    def __call__(self, image):
        x = tf.reshape(image, (-1, 192)) @ self.kernel
        rounds = self.table.lookup(tf.constant("three"))
        _, x = tf.while_loop(lambda i, _: i < rounds, lambda i, x: (i + 1, tf.tanh(x + 0.1)), (tf.constant(0, tf.int64), x))
        x = tf.cond(tf.reduce_sum(image) > 1e9, lambda: -x, lambda: x)
        x = tf.map_fn(lambda row: row * tf.reduce_max(row), x)
        return {"probabilities": tf.cast(tf.nn.softmax(x), tf.float16)}


def modules():
    path = folder("module")
    file = path / "words.txt"
    file.write_text("one\ntwo\nthree\n")
    module = Module(str(file))
    tf.saved_model.save(module, str(path / "model.savedmodel"), {"predict": module.__call__})
    put("module", module(images())["probabilities"])
    file.unlink()


def saved(name, function, *specs):
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(folder(name) / "model.savedmodel"), {"serving_default": module.function})


def unservable():
    image = tf.TensorSpec((None, *SHAPE), tf.float32, name="image")

    def scores(x):
        return tf.reshape(x, (-1, 192))[:, :3] * 2.0

    saved("python", lambda x: tf.ensure_shape(tf.py_function(scores, [x], tf.float32), (None, 3)), image)

    def writes(x):
        with tf.control_dependencies([tf.io.write_file("written", "by the model")]):
            return scores(x)

    saved("writes", writes, image)

    def prints(x):
        with tf.control_dependencies([tf.print("printed", output_stream="file://printed")]):
            return scores(x)

    saved("prints", prints, image)
    # In a function that is only given to another operation.
    saved("writes_within", lambda x: tf.map_fn(lambda row: writes(row[None])[0], x, fn_output_signature=tf.float32), image)
    saved("wrong_ends", lambda x: tf.reduce_sum(tf.cast(x, tf.int64), (1, 2, 3)), tf.TensorSpec((1, 8, 9, 3), tf.uint8, "image"))
    saved("two_inputs", lambda x, y: scores(x + y), image, tf.TensorSpec((None, *SHAPE), tf.float32, name="mask"))
    saved("flat_input", lambda x: x[:, :3], tf.TensorSpec((None, 192), tf.float32, name="values"))
    # How many scores there are is not known before it runs.
    saved("late_shape", lambda x: tf.reshape(x, tf.stack([tf.shape(x)[0], tf.cast(x[0, 0, 0, 0] * 0, tf.int32) + 192])), image)

    saved("other_tags", scores, image)
    change("other_tags", lambda graph: graph.meta_info_def.tags.__setitem__(0, "train"))
    saved("unknown_operation", scores, image)
    change("unknown_operation", invent)
    saved("two_signatures", scores, image)
    change("two_signatures", split)


def change(name, what):
    path = FOLDER / name / "model.savedmodel" / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    what(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def invent(graph):
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            if node.op == "Mul":
                node.op = "MulOfAnotherLibrary"


def split(graph):
    signature = graph.signature_def.pop("serving_default")
    for name in ("first", "second"):
        graph.signature_def[name].CopyFrom(signature)


if __name__ == "__main__":
    sys.exit(main())
