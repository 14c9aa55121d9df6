#!/usr/bin/env python3
"""Serves the demo model and classifies a dozen handwritten digits with it.

    demo/run.py target/release/classifier

Starts the server on a free port with a random key, swaps the model in, classifies demo/images, prints
each image, its label, its score and whether that is right, and stops the server. Exits with 0 if at most
one label is wrong. Needs Python's standard library only.
"""

import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES = pathlib.Path("demo/images")
START_LIMIT = 60


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: demo/run.py CLASSIFIER, for example target/release/classifier")
    classifier = str(pathlib.Path(sys.argv[1]).resolve())
    os.chdir(ROOT)
    environment = {name: value for name, value in os.environ.items() if name != "X_ADMIN_API_KEY"}
    environment["X_API_KEY"] = secrets.token_hex(16)
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            [classifier, "serve", "--listen", "127.0.0.1:0", "--models-dir", "models"],
            env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )
        try:
            url = address(server, log)
            print(f"the server is ready at {url}")
            environment["CLASSIFIER_URL"] = url
            subprocess.run([classifier, "swap", "digits"], env=environment, check=True)
            wrong = classify(classifier, environment)
        finally:
            server.terminate()
            server.wait()
    sys.exit(0 if wrong <= 1 else f"{wrong} of the demo's labels are wrong, expected at most 1")


def address(server, log):
    """The URL that the server prints once it listens, when it has said that it is ready."""
    url = re.search(r"http://\S+", server.stdout.readline())
    until = time.monotonic() + START_LIMIT
    while url and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url[0]}/health/ready", timeout=5):
                return url[0]
        except urllib.error.URLError:
            time.sleep(0.05)
    server.kill()
    log.seek(0)
    sys.exit(f"the server did not get ready, it said:\n{log.read()}")


def classify(classifier, environment):
    """Prints a row for each image; how many labels are wrong."""
    command = [classifier, "predict", str(IMAGES), "--json"]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if answer.returncode not in (0, 1):
        sys.exit(f"`classifier predict` failed with exit code {answer.returncode}")
    rows = json.loads(answer.stdout)
    print(f"{'image':<26}{'label':<7}{'score':<8}")
    wrong = 0
    for row in rows:
        # 07_is_4.png shows a 4.
        expected = pathlib.Path(row["image"]).stem.rsplit("_", 1)[1]
        right = row.get("label") == expected
        wrong += not right
        verdict = "right" if right else f"WRONG, it is {expected}: {row.get('error', '')}"
        print(f"{row['image']:<26}{row.get('label', '-'):<7}{row.get('max_score', 0):<8.4f}{verdict}")
    print(f"{len(rows) - wrong} of {len(rows)} right")
    if not rows:
        sys.exit(f"there are no images in {IMAGES}")
    return wrong


if __name__ == "__main__":
    main()
