"""Fills the corpus of each fuzz target with what the repository has of its kind: python3 fuzz/seeds.py FOLDER."""

import base64
import io
import json
import pathlib
import struct
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERAS = ROOT / "engine/keras/tests/fixtures/keras"
PIXELS = ROOT / "engine/images/tests/fixtures/pixels/files"

# Larger ones would make the fuzzer slow, in bytes.
LARGEST = 120_000

CONFIGS = [
    {"img_preproc_type": "center_crop", "output_postproc_type": "multi_label",
     "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "pillow_bicubic", "resize_shorter_side": 40,
                              "channel_order": "rgb", "exif_orientation": True, "reducing_gap": 2.0,
                              "normalization_factor": 255, "mean": [0.4, 0.5, 0.6], "std": 0.2},
     "output_config": {"output_classes": ["a", "b"], "threshold": [0.5, 0.25]}},
    {"img_preproc_type": "letterbox", "output_postproc_type": "binary",
     "image_preproc_config": {"input_shape": [24, 31, 1], "padding_value": 114, "resampling": "opencv_area"},
     "output_config": {"output_classes": ["no", "yes"], "threshold": 0.5, "activation": "sigmoid"}},
    {"img_preproc_type": "stretch", "output_postproc_type": "top_k",
     "image_preproc_config": {"input_shape": [24, 31, 3], "preprocess_input": "caffe",
                              "resampling": "tensorflow_bilinear_antialias"},
     "output_config": {"output_classes_file": "labels.txt", "k": 2, "activation": "softmax"}},
]


def main():
    corpus = pathlib.Path(sys.argv[1])
    contents = lambda files: {path.name: path.read_bytes() for path in files}
    models = [*KERAS.iterdir(), *ROOT.glob("models/*/*.hdf5")]
    small = [path for path in models if path.stat().st_size <= LARGEST]
    fill(corpus / "hdf5", contents(path for path in small if path.suffix == ".hdf5"))
    fill(corpus / "archive", contents(path for path in small if path.suffix == ".keras"))
    fill(corpus / "bundle", {path.name: zipped(path) for path in small if path.suffix == ".hdf5"})
    images = contents(path for path in PIXELS.iterdir() if path.stat().st_size <= LARGEST)
    fill(corpus / "image", images)
    configs = {str(place): json.dumps(config).encode() for place, config in enumerate(CONFIGS)}
    fill(corpus / "config", configs | contents(ROOT.glob("models/*/*_config.json")))
    smallest = min(images.values(), key=len)
    fill(corpus / "json", requests(smallest))
    fill(corpus / "multipart", forms(smallest))
    fill(corpus / "message", {"part": packed(part(smallest)), "hint": b'{"fleet_changed": 3}'})


def fill(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def zipped(model):
    """As Teachable Machine gives it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keras_model.h5", model.read_bytes())
        archive.writestr("labels.txt", "0 cat\n1 dog\n")
    return stream.getvalue()


def requests(image):
    text = base64.b64encode(image).decode()
    documents = [
        {"images": [{"image_id": 0, "img_base64": text}]},
        {"note": [1, {"a": None}], "images": [{"img_base64": "data:image/png;base64," + text, "image_id": -7, "x": 1.5},
                                              {"image_id": 2**63 - 1, "img_base64": ""}]},
    ]
    return {str(place): json.dumps(document).encode() for place, document in enumerate(documents)}


def forms(image):
    head = b'; boundary=x\n--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n'
    return {
        "file": head + b"Content-Type: image/png\r\n\r\n" + image + b"\r\n--x--\r\n",
        "field": head.replace(b'; filename="a.png"', b"") + b"\r\n5\r\n--x\r\n\r\n\r\n--x--",
        "quoted": head.replace(b"boundary=x", b'boundary="x"') + b"\r\n" + image + b"\r\n--x--\r\n",
    }


def part(image):
    """A part of a job, as `common/src/messages.rs` has it."""
    return {
        "wire": 1,
        "id": {"job": bytes(range(16)), "index": 0},
        "model": {"name": "digits", "version": "ab" * 32, "generation": 3},
        "accepted_at": 1_700_000_000_000,
        "deadline": 1_700_000_060_000,
        "top_k": 5,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "request_id": None,
        "images": [{"position": 0, "bytes": image}, {"position": 1, "bytes": b"\x07\x00\xff"}],
    }


def packed(value):
    """MessagePack, as much of it as `part` needs."""
    match value:
        case None:
            return b"\xc0"
        case int():
            return b"\xcf" + struct.pack(">Q", value)
        case str():
            return b"\xdb" + struct.pack(">I", len(value)) + value.encode()
        case bytes():
            return b"\xc6" + struct.pack(">I", len(value)) + value
        case list():
            return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
        case dict():
            pairs = b"".join(packed(key) + packed(inner) for key, inner in value.items())
            return b"\xdf" + struct.pack(">I", len(value)) + pairs


main()
