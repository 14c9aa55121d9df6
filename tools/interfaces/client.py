"""A client generated from /openapi.json, used as its README says."""

import base64
import importlib
import io
import json
import subprocess
import sys

import service
from findings import expect, say

PACKAGE = "image_classification_service_client"
# The generator has no way to write a content type with a wildcard. It says so and leaves that body out; the same bytes go
# as application/octet-stream.
KNOWN_WARNING = "Unsupported content type image/*"


def check(options, folder):
    with service.one_process(options.programs, folder) as server:
        document = folder / "openapi.json"
        document.write_text(server.get("/openapi.json")[1])
        generate(document, folder / "client")
        sys.path.insert(0, str(folder / "client"))
        use(server)


def generate(document, folder):
    # It formats what it writes with ruff, which stands beside it.
    words = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--output-path", folder,
             "--config", folder.parent / "config.json", "--meta", "none"]
    (folder.parent / "config.json").write_text(json.dumps({"post_hooks": []}))
    words[words.index("--output-path") + 1] = folder / PACKAGE
    folder.mkdir()
    ran = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(ran.returncode == 0, f"openapi-python-client failed: {ran.stdout}")
    warnings = [line for line in ran.stdout.splitlines() if line.startswith(("Unsupported", "Cannot", "ERROR", "WARNING"))]
    others = [line for line in warnings if line != KNOWN_WARNING and "POST /classifier/predictions" not in line]
    expect(not others and len(warnings) <= 2, f"openapi-python-client warns: {ran.stdout}")
    say(f"openapi-python-client: made {PACKAGE}; without a body of type image/*, which it does not know")


def use(server):
    """Swaps, classifies all images of the demo in each way, asks again, forgets."""
    root = importlib.import_module(PACKAGE)
    models, types = (importlib.import_module(f"{PACKAGE}.{name}") for name in ("models", "types"))
    call = lambda tag, name: importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")  # noqa: E731
    create, read = call("predictions", "create_prediction"), call("predictions", "read_prediction")

    def client(key):
        return root.AuthenticatedClient(base_url=server.url, token=key, prefix="", auth_header_name="X-API-Key",
                                        raise_on_unexpected_status=True)

    own, admin = client(server.key), client(server.admin_key)
    swapped = call("fleet", "swap_model").sync("digits", client=admin)
    expect(swapped.response == "Changed model to digits", f"the swap answered {swapped}")
    right = 0
    files = sorted(service.IMAGES.glob("*.png"))
    for path in files:
        content = path.read_bytes()
        file = types.File(payload=io.BytesIO(content), file_name=path.name, mime_type="image/png")
        text = base64.b64encode(content).decode()
        bodies = {
            "JSON": models.PredictionRequest(images=[models.PredictionImage(image_id=7, img_base64=text)]),
            "octet-stream": types.File(payload=io.BytesIO(content)),
            "multipart": models.CreatePredictionFilesBody(images=[file]),
        }
        labels = set()
        for kind, body in bodies.items():
            made = create.sync_detailed(client=own, body=body, top_k=3)
            expect(isinstance(made.parsed, models.PredictionAnswer), f"{kind} of {path.name}: {made.content}")
            result = made.parsed.response.results[0]
            expect(len(result.scores) == 3, f"{kind} of {path.name}: {len(result.scores)} scores, expected 3")
            again = read.sync(made.headers["X-Prediction-Id"], client=own)
            expect(again == made.parsed, f"{kind} of {path.name}: asked by its id, the prediction is {again}")
            labels.add((result.label, result.max_score))
        expect(len(labels) == 1, f"{path.name}: the bodies give {labels}")
        right += labels.pop()[0] == path.stem.rsplit("_", 1)[1]
    say(f"the client: {right} of {len(files)} images right in three ways each, and again by their ids")
    expect(files and right >= len(files) - 1, f"{right} of {len(files)} images are right, expected all but one")

    later = create.sync_detailed(client=own, body=types.File(payload=io.BytesIO(content)), prefer="respond-async")
    expect(isinstance(later.parsed, models.PendingAnswer), f"`respond-async` answered {later.content}")
    done = read.sync(later.parsed.response.prediction_id, client=own, wait=30)
    expect(isinstance(done, models.PredictionAnswer), f"after `respond-async` the prediction is {done}")
    gone = call("predictions", "delete_prediction").sync_detailed(later.parsed.response.prediction_id, client=own)
    expect(gone.status_code == 204, f"forgetting answered {gone.content}")
    refused = create.sync(client=client("wrong"), body=types.File(payload=io.BytesIO(content)))
    expect(isinstance(refused, models.Problem) and refused.code == "wrong_api_key", f"a wrong key answered {refused}")
    open_client = root.Client(base_url=server.url, raise_on_unexpected_status=True)
    for tag, name, who in [("fleet", "read_fleet", own), ("fleet", "list_models", own),
                           ("fleet", "list_dead_letters", admin), ("operations", "read_readiness", open_client),
                           ("operations", "read_liveness", open_client)]:
        answer = call(tag, name).sync_detailed(client=who)
        expect(answer.status_code == 200 and answer.parsed, f"{name} answered {answer.content}")
    say("the client: later answers, forgetting, a wrong key, and what tells of fleet and models are as described")
