"""/openapi.json as a validator and a generator of requests take it."""

import json
import os
import pathlib
import subprocess
import sys

import service
from findings import expect, say

HERE = pathlib.Path(__file__).resolve().parent
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"


def check(options, folder):
    with service.one_process(options.programs, folder) as server:
        document = folder / "openapi.json"
        document.write_text(json.dumps(json.loads(server.get("/openapi.json")[1]), indent=1))
        validated = subprocess.run([sys.executable, "-m", "openapi_spec_validator", document], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        say(f"openapi-spec-validator: {validated.stdout.strip()}")
        expect(validated.returncode == 0, "openapi-spec-validator refuses the document")
        # Where the description says `an image`, images are sent: none of them may be refused.
        schemathesis(options, server, server.admin_key, folder / "images.log", "hooks_images.py")
        # Then any bytes; that they are no image is no fault of the description, which has no words for it. With a client's
        # key, for which warnings tell only that it may not make a rollout, nor read one.
        schemathesis(options, server, server.key, folder / "any-bytes.log", "hooks_any_bytes.py", "--warnings", "off")


def schemathesis(options, server, key, log, hooks, *more):
    """Runs schemathesis with every check and phase, and the same requests each time."""
    words = [SCHEMATHESIS, "run", f"{server.url}/openapi.json",
             "--header", f"X-API-Key: {key}", "--phases", "examples,coverage,fuzzing,stateful", "--checks", "all",
             "--mode", "all", "--max-examples", options.examples, "--seed", options.seed,
             "--generation-database", "none", "--continue-on-failure", "--no-color", *more]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / hooks), "PYTHONPATH": str(HERE)}
    # It keeps files beside itself.
    with open(log, "w") as written:
        ran = subprocess.run([str(word) for word in words], cwd=log.parent, env=environment, stdout=written,
                             stderr=subprocess.STDOUT)
    said = log.read_text()
    summary = said[said.rfind("SUMMARY"):].splitlines()[1:]
    for line in summary:
        if line.strip() and "=====" not in line:
            say(f"schemathesis, {log.stem}: {line.strip()}")
    expect(ran.returncode == 0, f"schemathesis found faults, {log} has them")
    expect("WARNINGS" not in said, f"schemathesis warns, {log} says of what")
    status, _ = server.get("/health/ready?strict")
    expect(status == 200, f"the service is not ready after schemathesis: {status}")
