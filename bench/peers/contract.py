"""What every peer does alike, so that the difference between two of them is the serving: base64 and JPEG
to pixels as a package's `normalize_and_pad` wants them, and scores to the answer of the contract."""
import base64
import json
import os
import pathlib

import cv2
import numpy as np

FOLDER = pathlib.Path(os.environ["PACKAGE"])
CONFIG = json.loads((FOLDER / f"{FOLDER.name}_config.json").read_text())
SHAPE = tuple(CONFIG["image_preproc_config"]["input_shape"])
FACTOR = np.float32(CONFIG["image_preproc_config"]["normalization_factor"])
LABELS = CONFIG["output_config"]["output_classes"]
PATH = "/classifier/predictions"


def keras_model():
    """The package's model, as Keras loads it."""
    import keras

    return keras.models.load_model(FOLDER / f"{FOLDER.name}.hdf5", compile=False)


def frozen_function():
    """A function from a float32 batch to scores: the model as one graph, its weights constants, through
    TensorFlow's graph optimizer once. Keras's own model is let go."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = keras_model()
    signature = tf.TensorSpec([None, *SHAPE], tf.float32)
    traced = tf.function(lambda batch: model(batch, training=False)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(traced)
    del model, traced
    return lambda batch: frozen(tf.constant(batch))[0].numpy()


def pixels(encoded):
    """One image in the middle of a black canvas, values divided by the factor: float32, BGR."""
    file = np.frombuffer(base64.b64decode(encoded), np.uint8)
    image = cv2.imdecode(file, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("these bytes are no image")
    height, width = SHAPE[:2]
    factor = min(height / image.shape[0], width / image.shape[1])
    if factor < 1:
        smaller = [max(1, int(side * factor)) for side in image.shape[:2]]
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    rows, columns = image.shape[:2]
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros(SHAPE, np.float32)
    np.divide(image, FACTOR, out=canvas[top:top + rows, left:left + columns])
    return canvas


def batch_of(encoded_images):
    """Several images, one after the other: float32 (images, height, width, 3)."""
    return np.stack([pixels(encoded) for encoded in encoded_images])


def answer(ids, scores):
    """The body of the answer for a request with these image ids."""
    best = scores.argmax(axis=1)
    results = [{"image_id": image_id, "max_score": float(row[index]), "label": LABELS[index]}
               for image_id, row, index in zip(ids, scores, best)]
    return {"code": 200, "response": {"model": FOLDER.name, "results": results}}
