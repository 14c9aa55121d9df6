#!/usr/bin/env python3
"""Install the wheel into a clean virtual environment and ask it for one prediction:

    tools/try_wheel.py [dist/classifier_serving-*.whl]

Prints how long the installation takes, and how long from the start of `classifier serve` to the first answer.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = "my-key"
LIMIT = 120  # seconds, for the first answer


def main():
    wheels = [Path(sys.argv[1])] if len(sys.argv) > 1 else sorted((ROOT / "dist").glob("*.whl"))
    if not wheels:
        sys.exit("try_wheel: dist/ has no wheel: run `make dist`")
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin/pip", "install", "--quiet", wheels[-1].resolve()], check=True)
        print(f"installed {wheels[-1].name} with what it needs in {time.monotonic() - began:.0f} s")
        shutil.copytree(ROOT / "models/digits", Path(folder) / "models/digits")
        first_prediction(environment / "bin/classifier", Path(folder))


def first_prediction(program, folder):
    # Nothing of this checkout: no library beside it, no setting from outside.
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder), "X_API_KEY": KEY, "LOG_FILTER": "warn"}
    began = time.monotonic()
    server = subprocess.Popen([program, "serve", "--model", "digits", "--listen", "127.0.0.1:0"], cwd=folder,
                              env=settings, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in server.stdout if "http://" in line)
        url = re.search(r"http://\S+?:\d+", line).group(0)
        answer = ask(url)
        print(f"first answer {time.monotonic() - began:.2f} s after the start: {answer}")
        if '"label":"4"' not in answer:
            sys.exit("try_wheel: the answer is not the digit 4")
    finally:
        server.terminate()
        server.wait(30)


def ask(url):
    image = (ROOT / "demo/images/04_is_4.png").read_bytes()
    request = urllib.request.Request(f"{url}/classifier/predictions", image,
                                     {"X-API-Key": KEY, "Content-Type": "image/png"})
    until = time.monotonic() + LIMIT
    while True:
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            # The model is still being loaded.
            if error.code != 503 or time.monotonic() > until:
                sys.exit(f"try_wheel: {error.code} {error.read().decode()}")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
