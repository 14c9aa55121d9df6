#!/usr/bin/env python3
"""What one client can do to the service and to another client: see "Under attack" in bench/README.md.

    bench/hostile.py                          # every attack
    bench/hostile.py bytes tiff               # these alone
    bench/hostile.py --seconds 60 --programs target/debug

While one client attacks, another sends one small image every 200 ms. Told are each process's resident memory before
and at its peak, with the share of TensorFlow's library in it, the latency of the small image before and meanwhile, and
what both clients were answered. Ends with 1 where memory or latency is beyond what the README promises.
"""
import argparse
import collections
import contextlib
import dataclasses
import http.client
import itertools
import multiprocessing
import pathlib
import shutil
import socket
import statistics
import threading
import time
import urllib.parse

import hostile_requests as requests
import servers

ATTACKER = "attacker"
KEYS = f"attacker:{ATTACKER},visitor:{servers.KEY}"
INTERVAL = 0.2
PATIENCE = 40
"""Seconds that a small image may take until it counts as lost: longer than a request waits by default."""
SLOWER = 1.0
"""Seconds that a small image may take beyond the quiet median, unless it is refused."""
CONTAINER = 2e9
"""Bytes that a process may take."""
REFUSED = {429, 503}


@dataclasses.dataclass
class Attack:
    """What the hostile client does."""
    bodies: object
    """From its key to the requests that it sends in turn."""
    connections: int
    requests: int
    """At the most; the time may be over before."""
    package: str = "digits"
    is_for_fleet: bool = False


ATTACKS = {
    "bytes": Attack(requests.of_ten_mebibytes, 64, 1_000, is_for_fleet=True),
    "bmp": Attack(requests.of_run_lengths, 8, 10_000, is_for_fleet=True),
    "bmp-within": Attack(requests.of_run_lengths_within_the_bound, 8, 10_000, is_for_fleet=True),
    "pixels": Attack(requests.of_many_pixels, 8, 10_000, is_for_fleet=True),
    "pixels-async": Attack(requests.of_many_pixels_that_nobody_waits_for, 8, 10_000, is_for_fleet=True),
    "tiff": Attack(requests.of_strips, 8, 10_000),
    "bad-images": Attack(requests.of_bad_images, 8, 2_000, is_for_fleet=True),
    "labels": Attack(requests.of_many_labels, 8, 1_000, package="Labels20000", is_for_fleet=True),
}


def exchange(address, sent, connection=None):
    """Sends a request; the status, and the connection where it may be used again."""
    try:
        connection = connection or socket.create_connection(address, timeout=PATIENCE)
        # An answer may come before the request is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        while answer.read(1 << 20):
            pass
        if answer.will_close:
            connection.close()
            return answer.status, None
        return answer.status, connection
    except TimeoutError:
        said = "no answer"
    except (OSError, http.client.HTTPException):
        said = "cut"
    if connection:
        connection.close()
    return said, None


def attack(address, bodies, connections, most, seconds, told):
    """The hostile client, in a process of its own: puts what it was answered into `told`."""
    statuses, numbers, ends = collections.Counter(), itertools.count(), time.monotonic() + seconds

    def client():
        connection = None
        while (number := next(numbers)) < most and time.monotonic() < ends:
            status, connection = exchange(address, bodies[number % len(bodies)], connection)
            statuses[status] += 1

    threads = [threading.Thread(target=client, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    told.put(dict(statuses))


class Visitor:
    """The other client: a small image at each interval, whether or not the one before was answered."""

    def __init__(self, address, sent):
        self.address, self.sent = address, sent
        self.answers, self.threads = [], []

    def ask(self):
        began = time.monotonic()
        status, connection = exchange(self.address, self.sent)
        self.answers.append((status, time.monotonic() - began))
        if connection:
            connection.close()

    def visit(self, goes_on):
        while goes_on():
            thread = threading.Thread(target=self.ask, daemon=True)
            thread.start()
            self.threads.append(thread)
            time.sleep(INTERVAL)
        for thread in self.threads:
            thread.join()
        return self.answers


class Memory:
    """Of one process, in bytes."""

    def __init__(self, process):
        self.process, self.name = process, process.name()
        self.before, self.library = self.now(), self.of_library()
        # The peak so far is that of loading.
        with contextlib.suppress(OSError):
            self.file("clear_refs").write_text("5")

    def file(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}")

    def field(self, name):
        lines = self.file("status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    def now(self):
        return self.field("VmRSS")

    def peak(self):
        return self.field("VmHWM")

    def of_library(self):
        """What of TensorFlow's files is resident."""
        total, is_library = 0, False
        for line in self.file("smaps").read_text().splitlines():
            if "-" in line.split()[0]:
                is_library = "tensorflow" in line
            elif is_library and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
        return total


def shown(statuses):
    return ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items(), key=str)) or "nothing"


def milliseconds(answers):
    """Median and maximum of those that were not refused."""
    times = [took * 1e3 for status, took in answers if status not in REFUSED]
    return (statistics.median(times), max(times)) if times else (float("nan"), float("nan"))


def measure(name, server, hostile, bodies, seconds):
    """Attacks a server and tells of it; what is beyond the bounds."""
    parts = urllib.parse.urlsplit(server.url)
    address = (parts.hostname, parts.port)
    digit = (servers.ROOT / "demo" / "images" / "04_is_4.png").read_bytes()
    small = requests.request(servers.KEY, digit, "image/png")
    ends = time.monotonic() + 4
    quiet, quiet_most = milliseconds(Visitor(address, small).visit(lambda: time.monotonic() < ends))
    memories = [Memory(one) for one in servers.tree(server.serving + server.behind)
                if one.name() in ("classifier", "classifier-api", "classifier-worker", "beam.smp", "redis-server")]
    told = multiprocessing.Queue()
    attacker = multiprocessing.Process(
        target=attack, args=(address, bodies, hostile.connections, hostile.requests, seconds, told), daemon=True)
    began = time.monotonic()
    attacker.start()
    answers = Visitor(address, small).visit(attacker.is_alive)
    statuses, took = told.get(), time.monotonic() - began
    median, most = milliseconds(answers)
    visits = collections.Counter(status for status, _ in answers)
    print(f"{name}: {sum(statuses.values())} requests answered ({shown(statuses)}) in {took:.0f} s")
    print(f"    small image: median {quiet:.0f} ms, maximum {quiet_most:.0f} before; "
          f"{median:.0f} and {most:.0f} meanwhile ({shown(visits)})")
    beyond = []
    for memory in memories:
        peak = memory.peak()
        print(f"    {memory.name}: {memory.before / 2**20:.0f} MiB before, {peak / 2**20:.0f} at the peak, "
              f"{memory.now() / 2**20:.0f} after; TensorFlow's library {memory.library / 2**20:.0f}", flush=True)
        if peak > CONTAINER and memory.name.startswith("classifier"):
            beyond.append(f"{name}: {memory.name} took {peak / 2**20:.0f} MiB")
    slow = [took for status, took in answers if status not in REFUSED and took > quiet / 1e3 + SLOWER]
    lost = [status for status, _ in answers if status != 200 and status not in REFUSED]
    if slow or lost:
        beyond.append(f"{name}: of {len(answers)} small images {len(slow)} took longer than {SLOWER:.0f} s more, "
                      f"{len(lost)} had no label")
    return beyond


def package(name):
    """The name of a package that is in the folder of the measurements' packages now."""
    if name != "digits":
        return servers.make_package(name)
    shutil.copytree(servers.ROOT / "models" / name, servers.PACKAGES / name, dirs_exist_ok=True)
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=30, help="longest time for one attack")
    parser.add_argument("--programs", type=pathlib.Path, default=servers.RELEASE)
    parser.add_argument("--servers", default="one process,fleet")
    options = parser.parse_args()
    if unknown := set(options.attacks) - set(ATTACKS):
        parser.error(f"no attack is called {', '.join(sorted(unknown))}, expected {', '.join(ATTACKS)}")
    starts = {"one process": servers.one_process, "fleet": servers.fleet}
    servers.RELEASE = options.programs.resolve()
    beyond = []
    for where in options.servers.split(","):
        for name in options.attacks or ATTACKS:
            hostile = ATTACKS[name]
            if where == "fleet" and not hostile.is_for_fleet:
                continue
            bodies = hostile.bodies(ATTACKER)
            with starts[where](package(hostile.package), programs=servers.RELEASE, X_API_KEY=KEYS) as server:
                beyond += measure(f"{where}, {name}", server, hostile, bodies, options.seconds)
    for one in beyond:
        print(f"beyond the bound: {one}")
    raise SystemExit(bool(beyond))


if __name__ == "__main__":
    main()
