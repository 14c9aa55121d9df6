"""Makes packages with tools/package_model.py and keras_package, for every recipe, of both Keras and in each format.

    python tools/parity/make_packages.py FOLDER

Writes FOLDER/models/NAME/ for each case, two packages `bgr_for_rgb` and `another_resampling` whose config says something
else than what was done, and FOLDER/made.json: `right`, the packages whose config is right; `refused`, what was asked
for and could not be done, with the words of the refusal.

The models are small, with lively weights (see make_models.py), so that the images have different scores; which they
have is asserted. The images are photographs of odd sizes in several formats, grey, with a palette, or turned by a tag.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

import make_models
from make_models import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import package_model
from keras_package import reading, write_package
from keras_package.model import as_taken
from keras_package.reading import RECIPES, named, named_recipes

LABELS = ["quay", "roof", "leaf", "petal", "sky"]
# As a photographer's folder has them.
LOSSLESS = ["china.png", "grey.png", "palette.png", "turned.png", "narrow.bmp", "small.png"]
LOSSY = ["flower.jpg", "turned.jpg"]
SIZE = (40, 56)
CALIBRATING = 24

# name: Keras, ending, recipe, its settings, and what is special about the model.
CASES = {
    "dataset": (3, "keras", "image_dataset_from_directory", {}, {"rescaling": True}),
    "dataset_cropped": (2, "h5", "image_dataset_from_directory", {"crop_to_aspect_ratio": True}, {"rescaling": True}),
    "dataset_padded": (3, "h5", "image_dataset_from_directory",
                       {"pad_to_aspect_ratio": True, "interpolation": "bicubic", "rescale": 1 / 255}, {}),
    "dataset_grey": (3, "keras", "image_dataset_from_directory", {"interpolation": "area", "rescale": 1 / 255},
                     {"channels": 1}),
    "tf_antialiased": (2, "keras", "tf_image",
                       {"interpolation": "bicubic", "antialias": True, "rescale": 1 / 127.5, "mean": 1}, {}),
    "flow": (2, "hdf5", "load_img", {"rescale": 1 / 255}, {}),
    "caffe": (3, "keras", "load_img", {"interpolation": "bicubic", "preprocess_input": "caffe"}, {}),
    "torch_mode": (2, "keras", "load_img", {"interpolation": "lanczos", "preprocess_input": "torch"}, {}),
    "grey": (3, "h5", "load_img", {"interpolation": "box", "rescale": 1 / 255}, {"channels": 1, "ending": "binary"}),
    "opencv": (2, "keras", "opencv", {"rescale": 1 / 255}, {"ending": "logits"}),
    "opencv_rgb": (3, "hdf5", "opencv", {"interpolation": "area", "channel_order": "rgb", "preprocess_input": "tf"}, {}),
    "opencv_grey": (3, "keras", "opencv", {"interpolation": "cubic", "rescale": 1 / 255}, {"channels": 1}),
    "older": (2, "h5", "pad", {"rescale": 1 / 255}, {}),
    "transforms": (3, "keras", "torchvision",
                   {"resize_shorter_side": 64, "rescale": 1 / 255, "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225]}, {"any_size": True}),
    # What the models take is no image with its channels last.
    "without_channels": (2, "h5", "load_img", {"rescale": 1 / 255}, {"channels": 1, "takes": "rows"}),
    "in_a_row": (3, "keras", "load_img", {"rescale": 1 / 255}, {"channels": 1, "takes": "values"}),
    "fitted": (2, "h5", "image_ops_fit", {"interpolation": "lanczos", "preprocess_input": "tf"}, {}),
    "channels_first": (3, "h5", "load_img", {"rescale": 1 / 255}, {"takes": "channels"}),
}


def main():
    folder = Path(sys.argv[1])
    files = photographs(folder / "photographs")
    crops = calibrating_crops(folder / "crops")
    right = []
    for name, (dialect, ending, recipe, settings, special) in CASES.items():
        how = reading(recipe, **settings)
        model = lively(dialect, how, crops, **special)
        options = {"activation": "softmax"} if special.get("ending") == "logits" else {}
        if special.get("any_size") or special.get("takes") == "values":
            options["size"] = SIZE
        labels = LABELS[:2] if special.get("ending") == "binary" else LABELS
        # TensorFlow reads no grey from BMP.
        read = [file for file in files if name != "dataset_grey" or file.suffix != ".bmp"]
        examples = write_package(
            model, name, read, labels, read=how, format=ending, models_dir=folder / "models", **options
        )
        check_that_scores_tell_images_apart(name, examples)
        right.append(name)
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    by_command(folder)
    own_functions(folder, files)
    check_named_recipes()
    made = {"right": [*right, "by_command", "own"], "refused": refusals(folder)}
    (folder / "made.json").write_text(json.dumps(made, indent=1))


def check_named_recipes():
    """What a recipe's name stands for here is what it stands for in `classifier serve`."""
    for recipe in named_recipes():
        config = {key: recipe[key] for key in ("img_preproc_type", "image_preproc_config")}
        config["image_preproc_config"] = {"input_shape": [*SIZE, 3], **config["image_preproc_config"]}
        found = named(recipe["name"]).config((*SIZE, 3))
        assert found == config, f"{recipe['name']}: {found} is not {config}"


def photographs(folder):
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    china, flower = [Image.fromarray(image) for image in load_sample_images().images]
    turn = china.getexif()
    turn[0x0112] = 6
    china.crop((40, 60, 341, 260)).save(folder / "china.png")
    flower.crop((100, 20, 271, 277)).convert("L").save(folder / "grey.png")
    flower.crop((150, 60, 403, 220)).quantize(64).save(folder / "palette.png")
    china.crop((300, 30, 531, 190)).save(folder / "turned.png", exif=turn)
    china.crop((10, 100, 87, 411)).save(folder / "narrow.bmp")
    flower.crop((280, 180, 313, 207)).save(folder / "small.png")
    flower.crop((90, 40, 511, 377)).save(folder / "flower.jpg", quality=90)
    china.crop((200, 100, 639, 389)).save(folder / "turned.jpg", quality=85, exif=turn)
    return [folder / name for name in LOSSLESS + LOSSY]


def calibrating_crops(folder):
    from PIL import Image

    folder.mkdir()
    crops = make_models.crops_of_photographs(CALIBRATING, 60, 70)
    for index, crop in enumerate(crops):
        Image.fromarray((crop * 255).round().astype(np.uint8)).save(folder / f"{index:02}.png")
    return sorted(folder.iterdir())


def lively(dialect, how, crops, channels=3, rescaling=False, any_size=False, ending="softmax", takes="image", units=None):
    """A model whose scores differ from image to image, when they are read like this."""
    keras = make_models.import_keras(dialect)
    keras.utils.set_random_seed(7)
    layers = keras.layers
    units = 1 if ending == "binary" else units or len(LABELS)
    shapes = {"image": (*((None, None) if any_size else SIZE), channels), "rows": SIZE, "values": (SIZE[0] * SIZE[1],),
              "channels": (channels, *SIZE)}
    image = values = layers.Input(shapes[takes])
    if takes in ("rows", "values"):
        values = layers.Reshape((*SIZE, 1))(image)
    if takes == "channels":
        values = layers.Permute((2, 3, 1))(image)
    values = layers.Rescaling(1 / 255)(values) if rescaling else values
    values = layers.Conv2D(8, 5, strides=2, activation="relu")(values)
    values = layers.Conv2D(12, 3, strides=2, activation="tanh")(values)
    values = layers.GlobalAveragePooling2D()(values) if any_size else layers.Flatten()(values)
    function = {"binary": "sigmoid", "softmax": "softmax", "logits": None}[ending]
    model = keras.Model(image, layers.Dense(units, activation=function)(values))
    make_models.make_lively(keras, model, as_taken(model, how.inputs(crops, (*SIZE, channels), keras)))
    # Where every score is 0 or 1, other pixels change none.
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 0.4, bias])
    return model


def check_that_scores_tell_images_apart(name, examples):
    scores = np.array([example["scores"] for example in examples])
    if scores.shape[1] == 1:
        apart = np.ptp(scores) / 50
    else:
        apart = min(np.abs(one - other).max() for index, one in enumerate(scores) for other in scores[:index])
    # Five times the tolerance.
    assert apart > 0.005 * np.abs(scores).max(), f"{name}: two images are scored nearly alike: {apart}"


def by_command(folder):
    """From the command line: a saved model, a file of labels, a folder of images; the second time over the first."""
    words = [*words_for(folder, "by_command", read="load_img"), "--rescale", "1/255.0"]
    package_model.main([*words, "--comments", "to be replaced"])
    package_model.main([*words, "--overwrite"])


def words_for(folder, name, model="flow/flow.hdf5", read="load_img", images="photographs", labels="labels.txt"):
    return [
        name, "--model", f"{folder}/models/{model}", "--labels", f"{folder}/{labels}", "--images", f"{folder}/{images}",
        "--read", read, "--rescale", "1/255", "--models-dir", f"{folder}/models",
    ]


def own_functions(folder, files):
    """Scores of functions that somebody wrote, beside a config that says the same, or something else."""
    import cv2

    keras = make_models.import_keras(2)
    model = keras.models.load_model(folder / "models" / "opencv" / "opencv.keras", compile=False)

    def scores(path, interpolation=cv2.INTER_LINEAR, flip=False):
        image = cv2.resize(cv2.imread(path), (SIZE[1], SIZE[0]), interpolation=interpolation)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if flip else image
        return model(image[None] / np.float32(255))

    for name, predict in (
        ("own", scores),
        ("bgr_for_rgb", lambda path: scores(path, flip=True)),
        ("another_resampling", lambda path: scores(path, interpolation=cv2.INTER_NEAREST)),
    ):
        write_package(
            model, name, files, LABELS, read=reading("opencv", rescale=1 / 255), predict=predict, activation="softmax",
            models_dir=folder / "models",
        )


def refusals(folder):
    (folder / "broken.png").write_text("no image")
    (folder / "text.h5").write_text("no model")
    shutil.copy(folder / "photographs" / "flower.jpg", folder / "flower.jpg_large")
    (folder / "two.txt").write_text("one\ntwo\n")
    (folder / "doubled.txt").write_text("\n".join([*LABELS[:-1], LABELS[0]]))
    (folder / "blank.txt").write_text("\n".join([LABELS[0], "", *LABELS[2:]]))
    asked = {
        "exists": words_for(folder, "flow"),
        "recipe": words_for(folder, "new", read="imread"),
        "setting": [*words_for(folder, "new"), "--crop-to-aspect-ratio"],
        "interpolation": [*words_for(folder, "new"), "--interpolation", "hamming"],
        "keras": [*words_for(folder, "new", read="image_dataset_from_directory"), "--pad-to-aspect-ratio"],
        "labels": words_for(folder, "new", labels="two.txt"),
        "doubled": words_for(folder, "new", labels="doubled.txt"),
        "blank": words_for(folder, "new", labels="blank.txt"),
        "values in a row": words_for(folder, "new", model="in_a_row/in_a_row.keras"),
        "logits": words_for(folder, "new", model="opencv/opencv.keras"),
        "twice": [*words_for(folder, "new"), "--activation", "softmax"],
        "size": words_for(folder, "new", model="transforms/transforms.keras"),
        "model": words_for(folder, "new", model="../text.h5"),
        "name": words_for(folder, ".new"),
        "ending": words_for(folder, "new", read="image_dataset_from_directory", images="flower.jpg_large"),
        "named": [*words_for(folder, "new")[:-6], "--recipe", "load_img-256", "--models-dir", f"{folder}/models"],
        "count": [*words_for(folder, "new"), "--images", *[f"{folder}/photographs/china.png"] * 65],
        **{f"broken {recipe}": words_for(folder, "new", read=recipe, images="broken.png") for recipe in RECIPES},
    }
    refused = {what: refusal(words) for what, words in asked.items()}
    left = sorted(path.name for path in (folder / "models").iterdir() if "new" in path.name)
    assert not left, f"what was refused left {left}"
    return refused


def refusal(words):
    try:
        package_model.main(words)
    except SystemExit as ended:
        return ended.code
    return "it was done"


if __name__ == "__main__":
    main()
