"""Starts what is measured: the service in one process, as a fleet, and its peers."""
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import psutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
BEFORE = ROOT / ".cache" / "release-before" / "release"
"""The programs of the release before: `tools/release_before.sh --release`."""
CACHE = ROOT / ".cache" / "bench"
PACKAGES = CACHE / "models"
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
PYTHON = CACHE / "python" / "bin"
KEY = "bench"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(words, folder=ROOT, log=None, talks=False, **environment):
    """A program that runs for as long as the block, with all that it starts; `talks` gives its standard
    input and output."""
    env = os.environ | {"X_API_KEY": KEY, "MODELS_DIR": str(PACKAGES), "LOG_FILTER": "warn",
                        "TF_CPP_MIN_LOG_LEVEL": "2"} | environment
    CACHE.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE if talks else subprocess.DEVNULL
    with open(log or os.devnull, "ab") as errors:
        running = psutil.Popen([str(word) for word in words], env=env, cwd=folder, stderr=errors,
                               stdin=pipe, stdout=pipe, text=True)
    try:
        yield running
    finally:
        descendants = tree([running])
        for one in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)
        with contextlib.suppress(psutil.NoSuchProcess):
            running.terminate()
        _, alive = psutil.wait_procs(descendants, timeout=20)
        for one in alive:
            one.kill()


def tree(roots):
    """The processes and all that they started."""
    found = []
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [root, *root.children(recursive=True)]
    return found


@dataclasses.dataclass
class Server:
    """Something that answers predictions."""
    name: str
    url: str
    serving: list
    """Its processes: these and their children are what its memory is counted from."""
    behind: list = dataclasses.field(default_factory=list)
    """Processes that it needs beside these; their CPU time counts too."""
    may_be_frozen: bool = True

    def cpu_seconds(self):
        """Spent so far."""
        total = 0.0
        for one in tree(self.serving + self.behind):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
        return total

    def memory(self, field="VmHWM"):
        """MiB resident: at its peak, or with `VmRSS` now; the sum over its processes."""
        total = 0
        for one in tree(self.serving):
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{one.pid}/status").read_text()
                total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith(field)), 0)
        return total / 1024

    def freeze(self):
        """Takes its processes off the processor, so that they do not disturb another's measurement."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        if self.may_be_frozen:
            for one in tree(self.serving):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)


def call(method, url, body=None):
    request = urllib.request.Request(url, data=body, method=method,
                                     headers={"X-API-Key": KEY, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        return response.status, response.read()


def until(what, running, condition, seconds=300):
    """Waits for `condition`, unless one of the processes ends before."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        ended = [one for one in running if one.poll() is not None]
        if ended or time.monotonic() > end:
            raise SystemExit(f"{what} did not get ready{': it ended' if ended else ''}; see {CACHE}/*.log")
        time.sleep(0.05)


def swap(url, package):
    call("PUT", f"{url}/classifier/prediction-service/{package}")


@contextlib.contextmanager
def one_process(package, name="one process", programs=RELEASE, **environment):
    """API and worker in one process."""
    url = f"http://127.0.0.1:{free_port()}"
    words = [programs / "classifier", "serve", "--listen", url.removeprefix("http://")]
    with process(words, log=CACHE / "one-process.log", **environment) as server:
        until(url, [server], lambda: call("GET", f"{url}/health/ready")[0] == 200)
        swap(url, package)
        yield Server(name, url, [server])


@contextlib.contextmanager
def fleet(package, workers=1, program=None, name="fleet", programs=RELEASE, **environment):
    """An API process, workers, RabbitMQ and Redis; the environment is that of API and workers."""
    url = f"http://127.0.0.1:{free_port()}"
    log = CACHE / "fleet.log"
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(process([RELEASE / "examples" / "servers"], log=log, talks=True))
        addresses = json.loads(servers.stdout.readline())
        where = {"RABBITMQ_URL": addresses["rabbitmq"], "REDIS_URL": addresses["redis"]} | environment
        ours = [stack.enter_context(process([program or programs / "classifier-worker"], log=log, **where))
                for _ in range(workers)]
        words = [programs / "classifier-api", "--listen", url.removeprefix("http://")]
        ours.append(stack.enter_context(process(words, log=log, **where)))
        until(url, ours, lambda: call("GET", f"{url}/health/ready?strict")[0] == 200)
        swap(url, package)
        # A frozen worker would be taken for dead by the fleet.
        yield Server(name, url, ours, [servers], may_be_frozen=False)


@contextlib.contextmanager
def peer(name, package):
    """One of bench/peers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = {
        "FastAPI, Keras": [PYTHON / "python", "fastapi_keras.py"],
        "FastAPI, graph": [PYTHON / "python", "fastapi_graph.py"],
        "LitServe": [PYTHON / "python", "litserve_graph.py"],
        "BentoML": [PYTHON / "bentoml", "serve", "bentoml_graph:Classifier", "--host", "127.0.0.1",
                    "--port", str(port)],
    }[name]
    log = CACHE / f"{pathlib.Path(words[1]).stem if words[1] != 'serve' else 'bentoml'}.log"
    body = request_body(package, 1)
    environment = {"PACKAGE": str(PACKAGES / package), "PORT": str(port), "BENTOML_DO_NOT_TRACK": "true"}
    with process(words, folder=PEERS, log=log, **environment) as server:
        until(name, [server],
              lambda: b"max_score" in call("POST", f"{url}/classifier/predictions", body)[1])
        yield Server(name, url, [server])


def ours(name, package):
    """The service in one process or as a fleet, of this release or the one before."""
    start = one_process if name.startswith("one process") else fleet
    return start(package, name=name, programs=BEFORE if name.endswith("before") else RELEASE)


OURS = ["one process", "fleet", "one process before", "fleet before"]
PEER_NAMES = ["FastAPI, Keras", "FastAPI, graph", "LitServe", "BentoML"]


class RawLimit:
    """The bare runs of a package's model in a process of their own."""

    def __init__(self, running):
        self.running = running
        self.loading = json.loads(running.stdout.readline())

    def measure(self, images, callers, spread, seconds):
        """images_per_second, p50_ms and p99_ms of runs of so many images, on `one` core each or on `all`."""
        print(images, callers, spread, seconds, file=self.running.stdin, flush=True)
        return json.loads(self.running.stdout.readline())


@contextlib.contextmanager
def raw_limit(package):
    words = [RELEASE / "examples" / "raw_limit", PACKAGES / package / f"{package}.hdf5"]
    with process(words, log=CACHE / "raw-limit.log", talks=True) as running:
        yield RawLimit(running)


def request_body(package, images):
    """A request with so many JPEG images of the model's size."""
    return (PACKAGES / f"{package}_{images}.json").read_bytes()


def make_package(architecture):
    """The name of a package of this architecture of keras.applications, made where it is missing."""
    name = architecture.lower()
    if not (PACKAGES / f"{name}_8.json").is_file():
        subprocess.run([PYTHON / "python", ROOT / "bench" / "make_package.py", architecture, PACKAGES],
                       check=True)
    return name
