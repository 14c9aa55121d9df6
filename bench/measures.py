#!/usr/bin/env python3
"""Further measurements of the service, each beside what it is told by:

    bench/measures.py latency   one image at a time, beside TensorFlow's bare run of it
    bench/measures.py fleet     a fleet on this machine beside one process
    bench/measures.py api       request bytes a second and core, from the socket to the broker and back
    bench/measures.py scaling   1 to 4 workers whose engine sleeps
    bench/measures.py swap      throughput and latency while models are swapped, beside a quiet server's
    bench/measures.py idle      memory of an API process that has nothing to do
    bench/measures.py loading   time until ResNet50 is served, beside Keras's; memory beside its weights
    bench/measures.py soak      memory over --minutes at 70 % of the load that it can bear
    bench/measures.py all       all but the soak
"""
import argparse
import base64
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import threading
import time

import driver
import servers

MIB = 2**20


def say(name, **figures):
    """Prints one line."""
    shown = ", ".join(f"{key.replace('_', ' ').strip()} {value:.3g}" if isinstance(value, float) else
                      f"{key.replace('_', ' ').strip()} {value}" for key, value in figures.items())
    print(f"{name:28} {shown}", flush=True)


def request_of(size, images):
    """A request with so many images of this many bytes, which nobody decodes."""
    encoded = base64.b64encode(os.urandom(size)).decode()
    return json.dumps({"images": [{"image_id": n, "img_base64": encoded} for n in range(images)]}).encode()


def latency(_):
    for architecture in ("MobileNetV2", "ResNet50"):
        package = servers.make_package(architecture)
        body = servers.request_body(package, 1)
        with servers.raw_limit(package) as raw, servers.one_process(package) as server:
            driver.load(server.url, body, 1, 1)
            rounds = []
            for _ in range(7):
                server.freeze()
                bare = min(raw.measure(1, 1, spread, 1.2)["p50_ms"] for spread in ("one", "all"))
                server.thaw()
                figures, _ = driver.load(server.url, body, 1, 1.5)
                rounds.append((driver.quantile(figures.milliseconds, 0.5), bare, figures.failed))
            served, bare, failed = zip(*rounds)
            ratios = sorted(a / b for a, b in zip(served, bare))
            say(f"{architecture}, one image", p50_ms=statistics.median(served), bare_ms=statistics.median(bare),
                ratio=statistics.median(ratios), from_=ratios[0], to=ratios[-1], failed=sum(failed))


def fleet(_):
    for architecture in ("MobileNetV2", "ResNet50"):
        package = servers.make_package(architecture)
        with servers.one_process(package) as alone, servers.fleet(package) as together:
            for clients, images in ((1, 1), (8, 1), (8, 8)):
                body = servers.request_body(package, images)
                rounds = []
                for turn in range(7):
                    figures = []
                    for server, begin in ((alone, alone.thaw), (together, alone.freeze)):
                        begin()
                        of_turn, before = driver.load(server.url, body, clients, 3, at_start=server.cpu_seconds)
                        spent = (server.cpu_seconds() - before) * 1e3 / of_turn.requests_to_the_end
                        figures.append((of_turn.requests, driver.quantile(of_turn.milliseconds, 0.5), spent,
                                        of_turn.failed))
                    # The first turn warms both up.
                    rounds += [figures] if turn else []
                alone.thaw()
                ratios = sorted(b[0] / a[0] for a, b in rounds)
                middle = lambda which, field: statistics.median(pair[which][field] for pair in rounds)
                say(f"{architecture}, {clients} clients x {images}",
                    throughput_to_one_process=statistics.median(ratios), from_=ratios[0], to=ratios[-1],
                    p50_added_ms=statistics.median(b[1] - a[1] for a, b in rounds),
                    cpu_ms_a_request=middle(1, 2), of_one_process=middle(0, 2),
                    failed=sum(one[3] for pair in rounds for one in pair))


def api(_):
    url = f"http://127.0.0.1:{servers.free_port()}"
    words = [servers.RELEASE / "examples" / "alone", "--listen", url.removeprefix("http://"),
             "--models-dir", servers.ROOT / "models"]
    body = request_of(200_000, 8)
    with servers.process(words, log=servers.CACHE / "alone.log") as running:
        server = servers.Server("api", url, [running])
        servers.until(url, [running], lambda: servers.call("GET", f"{url}/health/live")[0] == 200)
        servers.swap(url, "digits")
        for clients in (1, 8):
            figures, before = driver.load(url, body, clients, 5, at_start=server.cpu_seconds)
            spent = server.cpu_seconds() - before
            say(f"api alone, {clients} clients", MB_per_second=figures.requests * len(body) / 5e6,
                MB_per_CPU_second=figures.requests_to_the_end * len(body) / 1e6 / spent,
                p50_ms=driver.quantile(figures.milliseconds, 0.5), failed=figures.failed)


def scaling(_):
    # 570 images a second and worker at the most.
    settings = {"FRAGILE_IMAGE_DELAY_MS": "1.75", "WORKER_INFERENCE_THREADS": "1",
                "MODELS_DIR": str(servers.ROOT / "models")}
    file = (servers.ROOT / "demo" / "images").glob("*.png")
    encoded = base64.b64encode(next(iter(sorted(file))).read_bytes()).decode()
    body = json.dumps({"images": [{"image_id": n, "img_base64": encoded} for n in range(16)]}).encode()
    first = None
    for workers in (1, 2, 3, 4):
        program = servers.RELEASE / "examples" / "fragile_worker"
        with servers.fleet("digits", workers=workers, program=program, **settings) as server:
            figures, _ = driver.load(server.url, body, 4 * workers, 6, warm_up=2)
            rate = figures.requests * 16 / figures.seconds
            first = first or rate
            say(f"{workers} workers that sleep", images_per_second=rate, for_each_of_one=rate / first / workers,
                failed=figures.failed)


def swap(_):
    package = servers.make_package("MobileNetV2")
    twin = f"{package}_twin"
    folder = servers.PACKAGES / twin
    if not folder.is_dir():
        folder.mkdir()
        shutil.copy(servers.PACKAGES / package / f"{package}.hdf5", folder / f"{twin}.hdf5")
        config = json.loads((servers.PACKAGES / package / f"{package}_config.json").read_text())
        (folder / f"{twin}_config.json").write_text(json.dumps(config | {"model_name": twin}))
    body = servers.request_body(package, 1)
    # What was swapped out goes soon, so that every swap loads its model.
    with servers.one_process(package, WORKER_MODEL_DRAIN="1") as server:
        quiet, _ = driver.load(server.url, body, 4, 10)
        took, ended = [], threading.Event()

        def swaps():
            for name in [twin, package] * 20:
                if ended.is_set():
                    return
                began = time.monotonic()
                servers.swap(server.url, name)
                took.append(time.monotonic() - began)
                time.sleep(1.5)

        thread = threading.Thread(target=swaps)
        busy, _ = driver.load(server.url, body, 4, 10, at_start=thread.start)
        ended.set()
        thread.join()
        p99 = [driver.quantile(figures.milliseconds, 0.99) for figures in (quiet, busy)]
        say("swap after swap, under load", swaps=len(took), seconds_each=statistics.median(took),
            throughput_to_quiet=busy.requests / quiet.requests, p99_ms=p99[1], p99_to_quiet=p99[1] / p99[0],
            failed=quiet.failed + busy.failed)


def idle(_):
    with servers.fleet("digits", MODELS_DIR=str(servers.ROOT / "models")) as server:
        time.sleep(3)
        for one in server.serving:
            alone = servers.Server("", "", [one])
            say(f"idle {one.name()}", MiB=alone.memory("VmRSS"), peak_MiB=alone.memory())


KERAS = """
import sys, time
import keras, numpy
began = time.monotonic()
model = keras.models.load_model(sys.argv[1], compile=False)
model.predict(numpy.zeros((1, 224, 224, 3), "float32"), verbose=0)
print(time.monotonic() - began)
"""

LIBRARY = """
import ctypes, sys

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

before = resident()
for name in ("libtensorflow_framework.so.2", "libtensorflow.so"):
    ctypes.CDLL(f"{sys.argv[1]}/{name}", ctypes.RTLD_GLOBAL)
print(resident() - before)
"""


def loading(_):
    package = servers.make_package("ResNet50")
    file = servers.PACKAGES / package / f"{package}.hdf5"
    weights = file.stat().st_size / MIB
    body = servers.request_body(package, 1)
    shutil.copytree(servers.ROOT / "models" / "digits", servers.PACKAGES / "digits", dirs_exist_ok=True)
    # What opening the library alone makes resident; a worker gives most of it back.
    itself = float(subprocess.run([servers.PYTHON / "python", "-c", LIBRARY, servers.ROOT / ".cache" / "tensorflow"],
                                  capture_output=True, text=True, check=True).stdout)
    ours, keras, rows = [], [], []
    for _ in range(3):
        out = subprocess.run([servers.PYTHON / "python", "-c", KERAS, file], capture_output=True, text=True,
                             env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, check=True).stdout
        keras.append(float(out.split()[-1]))
        with servers.one_process("digits") as server:
            before = server.memory("VmRSS")
            began = time.monotonic()
            servers.swap(server.url, package)
            servers.call("POST", f"{server.url}/classifier/predictions", body)
            ours.append(time.monotonic() - began)
            rows.append((server.memory("VmRSS"), server.memory(), before))
    resident, peak, before = (statistics.median(column) for column in zip(*rows))
    say("ResNet50 ready to serve", seconds=statistics.median(ours), Keras_seconds=statistics.median(keras),
        ratio=statistics.median(a / b for a, b in zip(ours, keras)))
    say("memory with it", MiB=resident, before_it=before, peak_MiB=peak, weights=weights, library_itself=itself,
        beyond_the_library_to_weights=(resident - itself) / weights)


def soak(options):
    package = servers.make_package("MobileNetV2")
    with servers.one_process(package) as server:
        most, _ = driver.load(server.url, servers.request_body(package, 1), 8, 10)
        rate = 0.7 * most.requests / most.seconds
        words = [servers.RELEASE / "classifier", "load", servers.PACKAGES / f"{package}.jpg", "--json",
                 "--url", server.url, "--rate", f"{rate:.1f}", "--duration", str(options.minutes * 60)]
        samples = []
        with servers.process(words, talks=True) as running:
            while running.poll() is None:
                time.sleep(5)
                samples.append(server.memory("VmRSS"))
            report = json.loads(running.stdout.read())
        third = max(1, len(samples) // 3)
        first, last = (statistics.median(part) for part in (samples[third:2 * third], samples[-third:]))
        say(f"soak, {options.minutes} minutes", requests_per_second=rate, answered=report["answered"],
            not_answered=report["sent"] - report["answered"], middle_MiB=first, last_MiB=last, growth=last / first)


MEASURES = {one.__name__: one for one in (latency, fleet, api, scaling, swap, idle, loading, soak)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=[*MEASURES, "all"])
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    names = [name for name in MEASURES if name != "soak"] if "all" in options.what else options.what
    for name in names:
        with contextlib.suppress(KeyboardInterrupt):
            MEASURES[name](options)


if __name__ == "__main__":
    main()
