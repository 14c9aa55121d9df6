"""Time the service beside the bare TensorFlow run of the same model, and the fleet beside one process.

    bench/serving.py raw    latency of a single-image request / latency of the bare run
    bench/serving.py fleet  one process / API, worker, RabbitMQ and Redis on one machine

Both sides of a ratio are measured in turn, round after round, so that a change of the machine's
speed touches both alike; the medians over the rounds are printed. Needs wrk (apt-get install wrk),
release builds of the programs (make release) and, for the fleet, RabbitMQ and Redis.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
PACKAGES = ROOT / ".cache" / "bench" / "models"
KEY = "bench"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(words, **environment):
    """A program that runs for as long as the block."""
    env = os.environ | {"X_API_KEY": KEY, "MODELS_DIR": str(PACKAGES), "LOG_FILTER": "warn"} | environment
    with subprocess.Popen([str(w) for w in words], env=env, stdout=subprocess.PIPE, stdin=subprocess.PIPE,
                          text=True, cwd=ROOT) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(40)
            except subprocess.TimeoutExpired:
                running.kill()


def call(method, url):
    request = urllib.request.Request(url, method=method, headers={"X-API-Key": KEY})
    with urllib.request.urlopen(request, timeout=180) as response:
        return response.status


def until_ready(url, running, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            if call("GET", f"{url}/health/ready") == 200:
                return
        except OSError:
            pass
        if time.monotonic() > end or any(p.poll() is not None for p in running):
            raise SystemExit(f"{url} did not get ready")
        time.sleep(0.1)


@contextlib.contextmanager
def one_process(package):
    url = f"http://127.0.0.1:{free_port()}"
    with process([RELEASE / "classifier", "serve", "--listen", url.removeprefix("http://")]) as server:
        until_ready(url, [server])
        call("PUT", f"{url}/classifier/prediction-service/{package}")
        yield url


@contextlib.contextmanager
def fleet(package):
    url = f"http://127.0.0.1:{free_port()}"
    with process([RELEASE / "examples" / "servers"]) as servers:
        addresses = json.loads(servers.stdout.readline())
        environment = {"RABBITMQ_URL": addresses["rabbitmq"], "REDIS_URL": addresses["redis"]}
        with process([RELEASE / "classifier-worker"], **environment) as worker, \
                process([RELEASE / "classifier-api", "--listen", url.removeprefix("http://")],
                        **environment) as api:
            until_ready(url, [worker, api])
            call("PUT", f"{url}/classifier/prediction-service/{package}")
            yield url


def load(url, body, clients, seconds):
    """Figures of one run of wrk: requests, seconds, failed, p50_ms, p99_ms."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", ROOT / "bench" / "post.lua",
         f"{url}/classifier/predictions"],
        env=os.environ | {"BODY": str(body), "X_API_KEY": KEY}, capture_output=True, text=True, check=True).stdout
    figures = json.loads(re.search(r"FIGURES (.*)", out)[1])
    if figures["failed"]:
        raise SystemExit(f"{figures['failed']} of {figures['requests']} requests failed")
    return figures


def bare_run(package, seconds):
    """Median milliseconds of TensorFlow's run of one image, all else prepared: on one core or on all,
    whichever is quicker."""
    out = subprocess.run([RELEASE / "examples" / "raw_limit", PACKAGES / package / f"{package}.hdf5", "1",
                          str(seconds)], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return min(float(found) for found in re.findall(r"bare run.*?median ([\d.]+) ms", out))


def median(values):
    return statistics.median(values)


def raw(options):
    body = PACKAGES / f"{options.package}_1.json"
    bare, served = [], []
    with one_process(options.package) as url:
        load(url, body, 1, 2)
        for _ in range(options.rounds):
            bare.append(bare_run(options.package, options.seconds))
            served.append(load(url, body, 1, options.seconds)["p50_ms"])
    print(f"{options.package}, one image, one client, medians of {options.rounds} rounds")
    print(f"bare run of TensorFlow  {median(bare):7.2f} ms")
    print(f"request, from the client {median(served):6.2f} ms")
    print(f"ratio                   {median(s / b for s, b in zip(served, bare)):7.2f}")


def compare_fleet(options):
    one_body, eight_body = PACKAGES / f"{options.package}_1.json", PACKAGES / f"{options.package}_8.json"
    rows = {"one process": [], "fleet": []}
    for _ in range(options.rounds):
        for name, serve in (("one process", one_process), ("fleet", fleet)):
            with serve(options.package) as url:
                load(url, one_body, 1, 2)
                single = load(url, one_body, 1, options.seconds)
                busy = load(url, one_body, 8, options.seconds)
                batches = load(url, eight_body, 8, options.seconds)
                rows[name].append((single["p50_ms"], busy["requests"] / busy["seconds"],
                                   8 * batches["requests"] / batches["seconds"]))
    print(f"{options.package}, medians of {options.rounds} rounds")
    print(f"{'':14}{'p50, 1 client':>16}{'images/s, 8×1':>16}{'images/s, 8×8':>16}")
    medians = {name: [median(column) for column in zip(*list_)] for name, list_ in rows.items()}
    for name, (latency, busy, batches) in medians.items():
        print(f"{name:14}{latency:13.2f} ms{busy:16.1f}{batches:16.1f}")
    alone, together = medians["one process"], medians["fleet"]
    print(f"{'fleet − one':14}{together[0] - alone[0]:13.2f} ms")
    print(f"{'fleet / one':14}{'':16}{together[1] / alone[1]:16.2f}{together[2] / alone[2]:16.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["raw", "fleet"])
    parser.add_argument("--package", default="mobilenetv2")
    parser.add_argument("--architecture", default="MobileNetV2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    options = parser.parse_args()
    if not (PACKAGES / options.package).is_dir():
        python = ROOT / ".cache" / "python" / "bin" / "python"
        subprocess.run([python, ROOT / "bench" / "make_package.py", options.architecture, PACKAGES], check=True)
    {"raw": raw, "fleet": compare_fleet}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
