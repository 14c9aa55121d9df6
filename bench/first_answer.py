#!/usr/bin/env python3
"""How long it takes from a model's file and the command to the first answer.

    .cache/python/bin/python bench/first_answer.py [target/release/classifier]

Makes MobileNetV2 with a `Rescaling` of its own, starts `classifier serve MODEL`, and runs the `curl` that it prints with a
photograph, five times. Prints the median and the range of both moments.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TURNS = 5


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "release" / "classifier"
    with tempfile.TemporaryDirectory() as folder:
        model, photograph = Path(folder) / "mobilenet.keras", Path(folder) / "photo.jpg"
        make(model, photograph)
        turns = [turn(command, model, folder) for _ in range(TURNS)]
    for what, seconds in zip(("address printed", "first answer"), zip(*turns)):
        print(f"{what}: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def make(model, photograph):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from PIL import Image
    from sklearn.datasets import load_sample_images

    inputs = keras.Input((224, 224, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    keras.Model(inputs, keras.applications.MobileNetV2(weights=None)(scaled)).save(model)
    Image.fromarray(load_sample_images().images[0]).save(photograph)


def turn(command, model, folder):
    """Seconds until the address is printed, and until the answer is there."""
    began = time.monotonic()
    server = subprocess.Popen(
        [command, "serve", model, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "LOG_FILTER": "error", "TENSORFLOW_DIR": os.environ.get("TENSORFLOW_DIR", f"{ROOT}/.cache/tensorflow")},
    )
    try:
        curl = next(line for line in server.stdout if line.startswith("curl "))
        printed = time.monotonic() - began
        subprocess.run(f"{curl.strip()} --noproxy '*' --fail -sS", shell=True, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        return printed, time.monotonic() - began
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
