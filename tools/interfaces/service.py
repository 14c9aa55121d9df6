"""Starts the service for the checks, on free ports of the loopback and with its own copy of the models, and ends it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "demo" / "images"
START_LIMIT = 120


@dataclasses.dataclass
class Service:
    """A service with an active model."""
    url: str
    key: str
    admin_key: str
    worker_metrics: str = ""
    """Where its worker shows metrics, if that is another process."""

    def get(self, path):
        """Status and text of an answer that needs no key."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.status, answer.read().decode()


@contextlib.contextmanager
def one_process(programs, folder, *words):
    """`classifier serve` with more words on its command line."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = keys_and_models(folder)
    command = [programs / "classifier", "serve", "--listen", url.removeprefix("http://"), *words]
    with process(command, folder / "serve.log", environment) as serve:
        found = Service(url, environment["X_API_KEY"], environment["X_ADMIN_API_KEY"])
        activate(found, [serve])
        yield found


@contextlib.contextmanager
def fleet(programs, folder):
    """An API process and a worker with a RabbitMQ and a Redis."""
    url, worker_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    environment = keys_and_models(folder)
    with contextlib.ExitStack() as stack:
        servers = process([programs / "examples" / "servers"], folder / "servers.log", environment, talks=True)
        addresses = json.loads(stack.enter_context(servers).stdout.readline())
        environment |= {"RABBITMQ_URL": addresses["rabbitmq"], "REDIS_URL": addresses["redis"],
                        "WORKER_LISTEN": worker_url.removeprefix("http://")}
        worker = process([programs / "classifier-worker"], folder / "worker.log", environment)
        api_words = [programs / "classifier-api", "--listen", url.removeprefix("http://")]
        api = process(api_words, folder / "api.log", environment)
        running = [stack.enter_context(one) for one in (worker, api)]
        found = Service(url, environment["X_API_KEY"], environment["X_ADMIN_API_KEY"], worker_url)
        activate(found, running)
        yield found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def keys_and_models(folder):
    """Settings of a service whose models are a copy."""
    models = folder / "models"
    shutil.copytree(ROOT / "models", models, dirs_exist_ok=True)
    return {"X_API_KEY": secrets.token_hex(16), "X_ADMIN_API_KEY": secrets.token_hex(16), "MODELS_DIR": str(models)}


@contextlib.contextmanager
def process(words, log, environment, talks=False):
    """A program that runs for as long as the block; `talks` gives its standard input and output."""
    pipe = subprocess.PIPE if talks else subprocess.DEVNULL
    with open(log, "ab") as errors:
        running = subprocess.Popen([str(word) for word in words], env=os.environ | environment, cwd=ROOT,
                                   stdin=pipe, stdout=pipe, stderr=errors, text=True)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def activate(service, running):
    """Waits until a worker takes jobs, and makes the model `digits` active, after another to roll back to."""
    until = time.monotonic() + START_LIMIT
    while True:
        with contextlib.suppress(OSError):
            service.get("/health/ready?strict")
            break
        if time.monotonic() > until or any(one.poll() is not None for one in running):
            raise SystemExit(f"the service at {service.url} did not get ready, its logs are below .cache/interfaces")
        time.sleep(0.1)
    for model in ["digits_small", "digits"]:
        swap = urllib.request.Request(f"{service.url}/classifier/prediction-service/{model}", method="PUT",
                                      headers={"X-API-Key": service.admin_key})
        with urllib.request.urlopen(swap, timeout=150) as answer:
            if answer.status != 200:
                raise SystemExit(f"the swap to `{model}` answered {answer.status}")
