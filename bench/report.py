"""Turns of bench/compare.py become tables, JSON and a picture."""
import collections
import json
import pathlib
import statistics

import driver
import servers

FOLDER = pathlib.Path(__file__).resolve().parent
OURS = servers.OURS
BEFORE = " before"
"""Ends the name of a server of the release before."""
RAW = "raw limit"


def summarize(turns):
    """A list of dictionaries, one for each model, cell and server."""
    groups = collections.defaultdict(list)
    for turn in turns:
        groups[turn["model"], turn["images_a_request"], turn["clients"], turn["server"]].append(turn)
    cells = []
    for (model, images, clients, server), group in groups.items():
        pooled = [value for turn in group for value in turn["milliseconds"]]
        cell = {
            "model": model, "images_a_request": images, "clients": clients, "server": server,
            "images_per_second": statistics.median(turn["images"] / turn["seconds"] for turn in group),
            "p50_ms": driver.quantile(pooled, 0.5),
        }
        if server != RAW:
            cpu, counted = (sum(turn[key] for turn in group) for key in ("cpu_seconds", "cpu_images"))
            cell |= {"p99_ms": driver.quantile(pooled, 0.99), "cpu_seconds_per_1000_images": cpu / counted * 1e3,
                     "peak_mib": max(turn["peak_mib"] for turn in group)}
        else:
            batch, callers, spread = group[0]["way"]
            cell["way"] = f"{callers}×{batch}, {spread} core{'s' * (spread == 'all')}"
        cells.append(cell)
    for cell in cells:
        ratio(cell, group_of(cells, cell), turns)
    return cells


def group_of(cells, cell):
    """The same model and load on all servers."""
    return [other for other in cells if all(other[key] == cell[key] for key in ("model", "images_a_request", "clients"))]


def ratio(cell, group, turns):
    """To the best peer and to the bare run, each the median of the rounds' ratios: the two were measured one
    after the other in every round."""
    peers = [other for other in group if other["server"] not in (*OURS, RAW)]
    if peers:
        best = max(peers, key=lambda other: other["images_per_second"])["server"]
        cell["to_best_peer"] = over(cell, best, turns)
    if any(other["server"] == cell["server"] + BEFORE for other in group):
        cell["to_before"] = over(cell, cell["server"] + BEFORE, turns)
    if any(other["server"] == RAW for other in group):
        cell["to_raw_limit"] = over(cell, RAW, turns)


def over(cell, name, turns):
    rates = collections.defaultdict(dict)
    for turn in turns:
        if all(turn[key] == cell[key] for key in ("model", "images_a_request", "clients")):
            rates[turn["round"]][turn["server"]] = turn["images"] / turn["seconds"]
    both = [rate[cell["server"]] / rate[name] for rate in rates.values() if cell["server"] in rate and name in rate]
    return statistics.median(both) if both else None


def markdown(cells):
    """A table for each model and load."""
    lines, seen = [], []
    for cell in cells:
        key = (cell["model"], cell["images_a_request"], cell["clients"])
        if key in seen:
            continue
        seen.append(key)
        model, images, clients = key
        lines += ["", f"**{model}, {images} image{'s' * (images > 1)} a request, {clients} client{'s' * (clients > 1)}**",
                  "", "| | images/s | to before | to best peer | to raw limit | p50 ms | p99 ms | CPU s / 1,000 images | peak MiB |",
                  "| --- | --: | --: | --: | --: | --: | --: | --: | --: |"]
        for row in sorted(group_of(cells, cell), key=lambda row: -row["images_per_second"]):
            name = f"{row['server']} ({row['way']})" if "way" in row else row["server"]
            name = f"**{name}**" if row["server"] in OURS else name
            numbers = [row["images_per_second"], row.get("to_before"), row.get("to_best_peer"), row.get("to_raw_limit"), row["p50_ms"],
                       row.get("p99_ms"), row.get("cpu_seconds_per_1000_images"), row.get("peak_mib")]
            shown = ["" if number is None else f"{number:.{digits}f}"
                     for number, digits in zip(numbers, (1, 2, 2, 2, 1, 1, 1, 0))]
            lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines[1:])


def write(cells):
    """bench/results.json, .md and .svg."""
    rounded = [{key: round(value, 3) if isinstance(value, float) else value for key, value in cell.items()}
               for cell in cells]
    rows = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in rounded)
    (FOLDER / "results.json").write_text(f"[\n{rows}\n]\n")
    (FOLDER / "results.md").write_text(f"# Results of bench/compare.py\n\n{machine()}\n\n{markdown(cells)}\n")
    plot(cells)


def machine():
    """What it was measured on, in a sentence."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    fields = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{len(fields)} cores of {fields[0] if fields else 'an unknown processor'}; 224×224 JPEG images."


def plot(cells):
    """Images a second of every server, a panel for each model and load."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 7, "svg.fonttype": "none", "svg.hashsalt": "bench"})
    models = list(dict.fromkeys(cell["model"] for cell in cells))
    loads = list(dict.fromkeys((cell["images_a_request"], cell["clients"]) for cell in cells))
    names = [RAW, *OURS[:2], *servers.PEER_NAMES]
    colours = ["#bbbbbb", "#c0392b", "#e08a7d", "#2c5f8a", "#5b8db8", "#8fb3d1", "#c3d7e6"]
    figure, panels = plt.subplots(len(models), len(loads), figsize=(10, 2.2 * len(models)), squeeze=False)
    for row, model in zip(panels, models):
        for panel, (images, clients) in zip(row, loads):
            rates = {cell["server"]: cell["images_per_second"] for cell in cells
                     if (cell["model"], cell["images_a_request"], cell["clients"]) == (model, images, clients)}
            shown = [name for name in reversed(names) if name in rates]
            panel.barh(shown, [rates[name] for name in shown], color=[colours[names.index(name)] for name in shown])
            panel.set_title(f"{model}: {images} a request, {clients} client{'s' * (clients > 1)}")
            if panel is not row[0]:
                panel.set_yticklabels([])
    figure.supxlabel("images a second")
    figure.tight_layout()
    figure.savefig(FOLDER / "results.svg", metadata={"Date": None})
