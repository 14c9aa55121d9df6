#!/usr/bin/env python3
"""Checks what the service shows to others with the tools that others use.

    tools/interfaces/check.py [--programs target/debug] [--only document,client] [--examples 300] [--seed 1]

Starts `classifier serve` on a free port with a copy of the models, then

    document   openapi-spec-validator reads /openapi.json, schemathesis sends what it describes and what it excludes
    client     openapi-python-client makes a client of it, which classifies the demo's images
    metrics    promtool reads /metrics of one process and of a fleet
    page       Chromium opens /docs, tries the API out with the example of the page, and reads /redoc; also on a phone's
               screen and behind a path prefix

Logs and the client are left in .cache/interfaces. Exits with 0 if nothing was found.
"""

import argparse
import pathlib
import shutil
import sys
import time
import traceback

import client
import document
import metrics
import page
import service
from findings import Finding, Skipped, say

FOLDER = service.ROOT / ".cache" / "interfaces" / "run"
PARTS = {"document": document.check, "client": client.check, "metrics": metrics.check, "page": page.check}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=service.ROOT / "target" / "debug",
                        help="folder with the programs and examples/servers")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run, separated by commas")
    parser.add_argument("--examples", type=int, default=300, help="schemathesis's examples an operation")
    parser.add_argument("--seed", type=int, default=1, help="schemathesis's seed")
    options = parser.parse_args()
    parts = options.only.split(",")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}, expected some of {', '.join(PARTS)}")
    options.programs = options.programs.resolve()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    verdicts = {name: run(name, options) for name in parts}
    for name, verdict in verdicts.items():
        say(f"{name:<10}{verdict}")
    sys.exit(any(verdict.startswith("FAILED") for verdict in verdicts.values()))


def run(name, options):
    """Runs one part; what became of it, in words."""
    folder = FOLDER / name
    folder.mkdir()
    start = time.monotonic()
    say(f"--- {name}")
    try:
        PARTS[name](options, folder)
    except Finding as finding:
        return f"FAILED: {finding}"
    except Skipped as skipped:
        return f"SKIPPED: {skipped}"
    except Exception as error:
        # The other parts are run all the same.
        traceback.print_exc()
        return f"FAILED: {type(error).__name__}"
    return f"nothing found, {time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    main()
