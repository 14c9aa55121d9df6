"""Write a model package with random weights, for timing: make_package.py ARCHITECTURE MODELS_DIR

ARCHITECTURE is the name of a function in keras.applications, e.g. MobileNetV2, or Labels20000, a tiny model with so many
labels. The package gets the architecture's name in lower case. Beside it is written NAME.jpg, a photograph-like image of the
input's size, and bodies NAME_1.json and NAME_8.json for the API with 1 and 8 such images.
"""
import base64
import json
import pathlib
import sys

import cv2
import keras
import numpy as np


def photograph(height, width, seed):
    """Smooth colour fields with edges and some noise, as JPEG bytes."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(0, 255, (7, 7, 3)).astype(np.float32), (width, height),
                       interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = tuple(int(v) for v in rng.uniform(0, min(height, width), 2))
        colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
        cv2.circle(image, centre, int(rng.uniform(5, 40)), colour, -1, cv2.LINE_AA)
    image += rng.normal(0, 4, image.shape)
    return cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8))[1].tobytes()


def tiny(labels):
    return keras.Sequential([keras.layers.Input((28, 28, 3)), keras.layers.GlobalAveragePooling2D(),
                             keras.layers.Dense(labels, activation="softmax")])


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    architecture, models = sys.argv[1], pathlib.Path(sys.argv[2])
    name = architecture.lower()
    folder = models / name
    keras.utils.set_random_seed(1)
    if architecture.startswith("Labels"):
        model = tiny(int(architecture.removeprefix("Labels")))
    else:
        model = getattr(keras.applications, architecture)(weights=None)
    height, width, channels = model.input_shape[1:]
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{name}.hdf5")
    (folder / f"{name}_config.json").write_text(json.dumps({
        "model_name": name,
        "img_preproc_type": "normalize_and_pad",
        "image_preproc_config": {"input_shape": [height, width, channels], "normalization_factor": 255},
        "output_postproc_type": "argmax",
        "output_config": {"output_classes": [f"class_{i}" for i in range(model.output_shape[-1])]},
        "comments": "random weights, for timing only",
    }, indent=1))
    images = [photograph(height, width, seed) for seed in range(8)]
    (models / f"{name}.jpg").write_bytes(images[0])
    for count in (1, 8):
        body = {"images": [{"image_id": i, "img_base64": base64.b64encode(images[i]).decode()}
                           for i in range(count)]}
        (models / f"{name}_{count}.json").write_text(json.dumps(body))
    print(f"{folder}: {model.count_params():,} parameters, input {height}x{width}x{channels}")


if __name__ == "__main__":
    main()
