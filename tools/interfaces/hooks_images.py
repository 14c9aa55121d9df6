"""Tells schemathesis what an image is: where the description says so, it sends images, and then `422` is a finding."""

import base64
import io

import schemathesis
from hypothesis import strategies
from PIL import Image

from false_alarms import refused_with, told_in_its_place

MODES = {"PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"], "JPEG": ["L", "RGB", "CMYK"], "BMP": ["L", "RGB"],
         "GIF": ["L", "P"], "WEBP": ["RGB", "RGBA"], "TIFF": ["L", "RGB"]}
FORMAT = "image_in_base64"


def image(kind, mode, width, height, colour):
    """A file with an image of one colour."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), colour).convert(mode if mode != "I;16" else "L").convert(mode).save(written, kind)
    return written.getvalue()


SIDES = strategies.integers(1, 40)
COLOURS = strategies.tuples(*[strategies.integers(0, 255)] * 3)
IMAGES = strategies.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes]).flatmap(
    lambda pair: strategies.builds(image, strategies.just(pair[0]), strategies.just(pair[1]), SIDES, SIDES, COLOURS))

schemathesis.openapi.format("binary", IMAGES)
schemathesis.openapi.format(FORMAT, IMAGES.map(lambda content: base64.b64encode(content).decode()))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Gives the text in which JSON holds an image its format."""
    raw_schema["components"]["schemas"]["PredictionImage"]["properties"]["img_base64"]["format"] = FORMAT


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps what is a finding."""
    # The generator draws the same short key for two requests.
    return not refused_with(failure, response, {"idempotency_key_reused"}) and not told_in_its_place(failure, response)
