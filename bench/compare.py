#!/usr/bin/env python3
"""Time the service beside other ways to serve the same model: `make bench`, or

    bench/compare.py [--quick] [--resume] [--models MobileNetV2] [--servers 'one process,LitServe']
    bench/compare.py --servers 'one process,one process before,fleet,fleet before' --apart

All servers of a model are started once and measured in turn, round after round, one cell at a time, the
others stopped by signal meanwhile: what else the machine does hits all alike. The bare run of TensorFlow,
cut into the batches and callers that are quickest, takes its turn like a server.

Every turn is written to .cache/bench/turns.jsonl as it ends; --resume goes on behind the last. The tables
go to standard output, bench/results.json, bench/results.md and bench/results.svg.
"""
import argparse
import contextlib
import json
import os
import sys
import time

import driver
import report
import servers

TURNS = servers.CACHE / "turns.jsonl"
CELLS = [(1, 1), (1, 8), (8, 1), (8, 8)]  # images a request, clients
RAW = "raw limit"


def raw_ways(images, clients):
    """Batch, callers and spread that may be the quickest for a cell: with one client no more than its images
    are there at a time."""
    cores = os.cpu_count()
    if clients > 1:
        return [(batch, callers, "one") for batch in (1, 2, 4, 8) for callers in {1, cores}] + [(8, 1, "all")]
    split = {min(2, images // cores), images // cores} - {0}
    return [(images, 1, "one"), (images, 1, "all"), *((batch, cores, "one") for batch in sorted(split))]


def best_ways(raw):
    """The quickest for each cell, after a short trial of each."""
    trials = {}
    for cell in CELLS:
        for way in raw_ways(*cell):
            if way not in trials:
                trials[way] = raw.measure(*way, 1.0)["images_per_second"]
    return {cell: max(raw_ways(*cell), key=trials.get) for cell in CELLS}


def raw_turn(raw, way, seconds):
    figures = raw.measure(*way, seconds)
    return {"images": figures["images_per_second"] * seconds, "seconds": seconds,
            "milliseconds": [figures["p50_ms"]], "way": way}


def server_turn(server, package, cell, seconds):
    images, clients = cell
    server.thaw()
    try:
        figures, before = driver.load(server.url, servers.request_body(package, images), clients, seconds,
                                      at_start=server.cpu_seconds)
        spent = server.cpu_seconds() - before
    finally:
        server.freeze()
    if figures.failed:
        raise SystemExit(f"{server.name}: {figures.failed} requests failed")
    return {"images": figures.requests * images, "seconds": figures.seconds, "milliseconds": figures.milliseconds,
            "cpu_seconds": spent, "cpu_images": figures.requests_to_the_end * images, "peak_mib": server.memory()}


def measure(architecture, names, options, done):
    """Yields the turns that are not done yet."""
    package = servers.make_package(architecture)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(servers.raw_limit(package))
        ways = best_ways(raw)
        running = None
        for round_ in range(options.rounds):
            if running is None or options.anew:
                starts = stack.enter_context(contextlib.ExitStack())
                running = start(names, package, starts)
                print(f"{architecture}: {', '.join(names)} are ready", file=sys.stderr, flush=True)
            for cell in CELLS:
                # Each round begins with another one.
                for place in range(len(running) + 1):
                    server = ([None] + running)[(place + round_) % (len(running) + 1)]
                    name = server.name if server else RAW
                    key = {"model": architecture, "server": name, "images_a_request": cell[0],
                           "clients": cell[1], "round": round_}
                    if tuple(key.values()) in done:
                        continue
                    turn = server_turn(server, package, cell, options.seconds) if server else \
                        raw_turn(raw, ways[cell], options.seconds)
                    yield key | turn
            print(f"{architecture}: round {round_ + 1} of {options.rounds} done", file=sys.stderr, flush=True)
            if options.anew:
                starts.close()


def start(names, package, stack):
    """Starts the servers one after the other, each stopped by signal until its turn."""
    running = []
    for name in names:
        entered = servers.ours(name, package) if name in servers.OURS else servers.peer(name, package)
        running.append(stack.enter_context(entered))
        running[-1].freeze()
    return running


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="MobileNetV2,ResNet50", help="of keras.applications")
    parser.add_argument("--servers", default=",".join(["one process", "fleet", *servers.PEER_NAMES])
                        .replace("FastAPI, ", "FastAPI/"), help="by name, with / for a comma inside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--anew", action="store_true",
                        help="start the servers anew for each round: two starts of one program differ by some percent")
    parser.add_argument("--quick", action="store_true", help="one round of a second and a half")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run was ended")
    parser.add_argument("--apart", action="store_true", help="print the tables, and leave bench/results.* as they are")
    parser.add_argument("--show", action="store_true", help="only the tables of the last run")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.5
    if not (options.resume or options.show):
        TURNS.unlink(missing_ok=True)
    turns = [json.loads(line) for line in TURNS.read_text().splitlines()] if TURNS.exists() else []
    names = [name.replace("/", ", ") for name in options.servers.split(",")]
    if not options.show:
        began = time.monotonic()
        done = {tuple(list(turn.values())[:5]) for turn in turns}
        with TURNS.open("a") as file:
            for architecture in options.models.split(","):
                for turn in measure(architecture, names, options, done):
                    turns.append(turn)
                    print(json.dumps(turn), file=file, flush=True)
        print(f"measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    cells = report.summarize(turns)
    if not options.apart:
        report.write(cells)
    print(report.markdown(cells))


if __name__ == "__main__":
    main()
