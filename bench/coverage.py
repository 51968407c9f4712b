"""Quantize torchvision's and timm's networks the three ways that a PyTorch user has.

    torch     spiq.torch.quantize(module, example), all on integers that can be
    shipped   the same with its defaults: what is faster in float here stays there
    default   torch.onnx.export with its defaults, which fold BatchNorm
    readme    torch.onnx.export with optimize=False, which keeps it
    static    onnxruntime's quantize_static of the default file, 32 pictures, for comparison

default and readme are left out where there is no BatchNorm; of each of torchvision's families
one member is measured every way, the others by the module alone.

Per network and way: kernels and share of multiply-accumulates on integers, as the runtime's
profile has them; signal-to-noise ratio of the worst output on 16 pictures that nothing was chosen
by, the mean over pictures removed; seconds of CPU; peak memory of the process; or what it ended
in. coverage_networks.py has the networks. One process per network, whose crash is a result.

Needs the extra `coverage` (PyTorch, torchvision, timm).

Usage: python bench/coverage.py [NETWORK...] [--again] [--ways torch shipped default ...]
           [--latency] [--jobs N] [--models FOLDER] [--discard]

Results go to bench/results/coverage.json, or to the folder that SPIQ_BENCH_RESULTS names, after
each network; ways that are there already are left out without --again. Each has the git tree of
src/spiq that it was measured with. --latency times float, spiq and `quantize_static`, interleaved,
from what was made (in --models, where --discard leaves nothing). --jobs measures several networks
at once, in the order in which they are named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import common
import coverage_networks
from coverage_networks import Network
from coverage_ways import LATENCY, WAYS, Row

NAME = "coverage"
OF_ALL = ("torch", "shipped", "static")
"""Ways by which networks are measured that are not measured every way."""

CHILD = Path(__file__).with_name("coverage_ways.py")
PATIENCE = 420.0
"""Seconds that a network may take."""

_RECORDING = threading.Lock()


def measure(network: Network, models: Path, ways: Iterable[str]) -> Row:
    """Measure a network in a process of its own; the network's entry in the results."""
    folder = models / network.key.replace("/", ".")
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "entry.json"
    stored.unlink(missing_ok=True)
    command = [sys.executable, str(CHILD), network.key, str(folder), *ways]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(
            command, env=environment, timeout=PATIENCE, capture_output=True, text=True
        )
        reason = f"the process ended with {ended.returncode}: {ended.stderr.strip()[-200:]}"
    except subprocess.TimeoutExpired:
        reason = f"more than {PATIENCE:.0f} s"
    entry = json.loads(stored.read_text()) if stored.exists() else {"ways": {}, "at": "build"}
    at = entry.pop("at")
    if at not in ("end", LATENCY):
        entry["ways"][at] = {"error": reason, "traceback": True}
    stamp = common.stamp()
    for row in entry["ways"].values():
        row["sources"] = stamp["sources"]
    return entry | {"stamp": stamp}


def joined(old: Row, new: Row) -> Row:
    """Rows of earlier runs beside those of this one; all else is told by the run of spiq.torch."""
    newer: Row = {}
    if "torch" in new["ways"] or not old:
        newer, old = new, {key: value for key, value in old.items() if key != "latency"}
    newer = newer | {key: new[key] for key in ("export", LATENCY) if key in new}
    return old | newer | {"ways": old.get("ways", {}) | new["ways"]}


def line(key: str, entry: Row) -> str:
    """A line of text: what each way came to."""
    told = []
    for way, row in entry["ways"].items():
        if "error" in row:
            told.append(f"{way} {'TRACEBACK ' * row.get('traceback', False)}{row['error'][:150]}")
        else:
            share = f"{100 * row['share']:.1f} %"
            told.append(f"{way} {share} {row['snr_db']} dB {row['seconds']} s")
    return f"{key:42} {'; '.join(told)} {entry.get('latency', '')} {entry.get('export', '')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="parts of names")
    parser.add_argument("--models", type=Path, default=common.MODELS / NAME)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--latency", action="store_true", help="time what was made, too")
    parser.add_argument("--jobs", type=int, default=1, help="networks measured at once")
    parser.add_argument("--discard", action="store_true", help="delete the models at the end")
    options = parser.parse_args()
    known = {network.key: network for network in coverage_networks.everything()}
    wanted = chosen(known, options.networks)
    with ThreadPoolExecutor(options.jobs) as pool:
        taken = [pool.submit(take, network, options) for network in wanted]
        try:
            for one in as_completed(taken):
                one.result()
        except BaseException:  # else it would be heard of when all others are through
            pool.shutdown(cancel_futures=True)
            raise


def take(network: Network, options: argparse.Namespace) -> None:
    """Measure what the network lacks, and store it."""
    ways = lacking(network, common.load(NAME).get(network.key, {}), options)
    if not ways:
        return
    entry = measure(network, options.models, ways)
    with _RECORDING:
        print(line(network.key, entry), flush=True)
        there = common.load(NAME).get(network.key, {})
        common.record(NAME, network.key, joined(there, entry))
    if options.discard:
        shutil.rmtree(options.models / network.key.replace("/", "."), ignore_errors=True)


def chosen(known: dict[str, Network], wanted: Sequence[str]) -> list[Network]:
    """The networks whose names these are, or are parts of; all where none is given."""
    exact = [known[name] for name in wanted if name in known]
    parts = [name for name in wanted if name not in known]
    if not wanted:
        return list(known.values())
    return exact + [x for x in known.values() if any(part in x.key for part in parts)]


def lacking(network: Network, there: Row, options: argparse.Namespace) -> list[str]:
    """The ways that are asked for and not there yet, and whether to time them."""
    known = () if options.again else there.get("ways", {})
    ways = [way for way in options.ways if network.full or way in OF_ALL]
    ways = [way for way in ways if way not in known]
    timed = options.latency and (ways or "latency" not in there)
    return [*ways, LATENCY] if timed else ways


if __name__ == "__main__":
    main()
