"""A model as Teachable Machine makes it, the file as its exports of 2019 to 2021 have it, and its site's sample code.

    python tools/parity/teachable_machine.py FOLDER

writes FOLDER/converted_keras.zip (keras_model.h5 and labels.txt, as the site gives them), the same in
FOLDER/converted_keras/, its export as a SavedModel in FOLDER/converted_savedmodel/, 30 photographs of odd and even sides, and scores.json: what the sample code says of each.

Sources: `libraries/image/src/custom-mobilenet.ts` and `teachable-mobilenet.ts` for the model,
`snippets/markdown/image/tensorflow/keras.md` for the sample code, of
https://github.com/googlecreativelab/teachablemachine-community. The weights are made up.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

import make_models

LABELS = ["Banana", "Red apple", "Nothing at all"]


def teachable_machine(keras, labels, images, version=2):
    """A truncated MobileNet, and what the site trains on top of it, with weights that tell these images apart."""
    L = keras.layers
    if version == 2:
        base = keras.applications.MobileNetV2((224, 224, 3), alpha=0.35, include_top=False, weights=None)
        end, pool, width = "out_relu", L.GlobalAveragePooling2D(name="global_average_pooling2d_GlobalAveragePooling2D1"), 1280
    else:
        base = keras.applications.MobileNet((224, 224, 3), alpha=0.25, include_top=False, weights=None)
        end, pool, width = "conv_pw_13_relu", L.Flatten(name="flatten_Flatten1"), 7 * 7 * 256
    truncated = keras.Model(base.input, base.get_layer(end).output, name="model1")
    hidden = L.Dense(100, activation="relu", input_shape=(width,), name="dense_Dense1")
    scores = L.Dense(labels, activation="softmax", use_bias=False, name="dense_Dense2")
    values = hidden(pool(base.get_layer(end).output))
    biased = L.Dense(labels, activation="softmax")
    make_models.make_lively(keras, keras.Model(base.input, biased(values)), images)
    mean = np.asarray(keras.Model(base.input, values)(images, training=False)).mean(0)
    features = keras.Sequential([truncated, pool], name="sequential_1")
    head = keras.Sequential([hidden, scores], name="sequential_3")
    model = keras.Sequential([features, head], name="sequential_4")
    kernel = biased.get_weights()[0]
    # Without a bias the mean has to give nothing by itself.
    scores.set_weights([0.5 * (kernel - np.outer(mean, mean @ kernel) / (mean @ mean))])
    return model


def written_as_then(file):
    """Changes a file to the keys that the TensorFlow of 2019 to early 2021 wrote."""
    import h5py

    with h5py.File(file, "r+") as stored:
        config = json.loads(stored.attrs["model_config"])
        stored.attrs["model_config"] = json.dumps(older(config))
        stored.attrs["keras_version"] = "2.3.0-tf"
        if "training_config" in stored.attrs:
            del stored.attrs["training_config"]


def older(layer):
    if not isinstance(layer, dict):
        return [older(item) for item in layer] if isinstance(layer, list) else layer
    kept = {key: older(value) for key, value in layer.items() if key not in ("module", "registered_name", "build_config")}
    if kept.get("class_name") == "Functional":
        kept["class_name"] = "Model"
    if kept.get("class_name") == "InputLayer":
        kept["config"].pop("optional", None)
    if kept.get("class_name") == "Sequential":
        # The shape stands in the first layer, and in the model's own config.
        first, *others = kept["config"]["layers"]
        if first["class_name"] == "InputLayer":
            shape = first["config"]["batch_input_shape"]
            kept["config"]["layers"] = others
            kept["config"]["batch_input_shape"] = shape
            others[0]["config"]["batch_input_shape"] = shape
        kept["config"].pop("build_input_shape", None)
    return kept


def sample_code(path):
    """The site's sample code from a file to the model's input."""
    from PIL import Image, ImageOps

    image = Image.open(path).convert("RGB")
    image = ImageOps.fit(image, (224, 224), Image.Resampling.LANCZOS)
    return (np.asarray(image).astype(np.float32) / 127.5) - 1


def photographs(folder):
    """30, of every parity of sides, larger and smaller than the input; a third as JPEG."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder.mkdir()
    random = np.random.default_rng(4)
    files = []
    for index in range(30):
        photograph = Image.fromarray(load_sample_images().images[index % 2])
        is_small = index % 3 == 2
        width, height = (int(random.integers(80, 190 if is_small else 420)) for _ in range(2))
        # Each parity of both sides.
        width, height = width // 2 * 2 + index % 2, height // 2 * 2 + index // 2 % 2
        left, top = int(random.integers(0, 640 - width)), int(random.integers(0, 427 - height))
        file = folder / f"{index:02}_{width}x{height}.{'jpg' if is_small else 'png'}"
        photograph.crop((left, top, left + width, top + height)).save(file, **({"quality": 92} if is_small else {}))
        files.append(file)
    return files


def main():
    folder = Path(sys.argv[1])
    keras = make_models.import_keras(2)
    keras.utils.set_random_seed(7)
    export = folder / "converted_keras"
    export.mkdir(parents=True)
    files = photographs(folder / "photographs")
    model = teachable_machine(keras, len(LABELS), np.stack([sample_code(file) for file in files[:24]]))
    model.save(export / "keras_model.h5", include_optimizer=False)
    written_as_then(export / "keras_model.h5")
    (export / "labels.txt").write_text("".join(f"{index} {label}\n" for index, label in enumerate(LABELS)))
    with zipfile.ZipFile(folder / "converted_keras.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("keras_model.h5", "labels.txt"):
            archive.write(export / name, name)
    # What the sample code loads, and what the site's converter makes a SavedModel of.
    model = keras.models.load_model(export / "keras_model.h5", compile=False)
    saved = folder / "converted_savedmodel"
    model.save(saved / "model.savedmodel", save_format="tf")
    (saved / "labels.txt").write_text((export / "labels.txt").read_text())
    scores = [model.predict(sample_code(file)[None], verbose=0)[0].tolist() for file in files]
    (folder / "scores.json").write_text(json.dumps({file.name: row for file, row in zip(files, scores)}, indent=1))


if __name__ == "__main__":
    main()
