"""Quantize torchvision's and timm's networks the three ways that a PyTorch user has.

    torch     spiq.torch.quantize(module, example)
    default   torch.onnx.export with its defaults, which fold BatchNorm
    readme    torch.onnx.export with optimize=False, which keeps it
    static    onnxruntime's quantize_static of the default file, 32 pictures, for comparison

The two in the middle are left out where there is no BatchNorm; of each of torchvision's families
one member is measured every way, the others by spiq.torch alone.

Per network and way: kernels and share of multiply-accumulates on integers, as the runtime's
profile has them; signal-to-noise ratio of the worst output on 16 pictures that nothing was chosen
by, the mean over pictures removed; seconds of CPU; peak memory of the process; or what it ended
in. coverage_networks.py has the networks. One process per network, whose crash is a result.

Needs the extra `coverage` (PyTorch, torchvision, timm).

Usage: python bench/coverage.py [NETWORK...] [--again] [--ways torch default readme static]
       python bench/coverage.py --latency [NETWORK...]

Results go to bench/results/coverage.json after each network; ways that are there already are
left out without --again. Each has the git tree of src/spiq that it was measured with. The second
form times what the first made (in --models), interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import common
import coverage_networks
from coverage_kernels import Work, feeds_of, latencies, session, work
from coverage_networks import CALIBRATION, MEASURED, Built, Network

NAME = "coverage"
WAYS = ("torch", "default", "readme", "static")
FOLDING = ("default", "readme")
"""Ways that differ only where there is a BatchNorm to fold."""

NOTHING_TO_FOLD = {"error": "there is no BatchNorm", "no_file": True}
NOT_KEPT = ("readme", "spiq_readme", "spiq_default")
PATIENCE = 420.0
"""Seconds that a network may take."""

PICTURES, CALIBRATED, ROUNDS = 16, 32, 9

Row = dict[str, Any]


@dataclass
class Measurement:
    """What is needed to measure the ways of one network."""

    built: Built
    folder: Path
    pictures: list[np.ndarray]
    expected: list[list[np.ndarray]]
    entry: Row
    reference: Work | None = None

    def write(self) -> None:
        """Store what is known so far."""
        (self.folder / "entry.json").write_text(json.dumps(self.entry))


def child(network: Network, folder: Path, ways: Sequence[str]) -> None:
    """Measure a network; what is known lies in `folder`/entry.json after each step."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    built = coverage_networks.build(network)
    pictures = list(built.pictures(PICTURES, MEASURED))
    expected = [_called(built, picture) for picture in pictures]
    parameters = sum(x.numel() for x in built.module.parameters())
    entry = {
        "kind": "detector" if built.listed else coverage_networks.kind(built.module),
        "input": list(built.shape),
        "parameters": parameters,
        "ways": {},
    }
    found = Measurement(built, folder, pictures, expected, entry)
    entry["mb_before"] = _peak_mb()

    steps: dict[str, Callable[[Measurement], Row]] = {
        "torch": _by_module,
        "default": _by_default,
        "readme": _by_readme,
        "static": _static,
    }
    if not coverage_networks.has_batchnorm(built.module):
        entry["ways"] = {way: NOTHING_TO_FOLD for way in ways if way in FOLDING}
        ways = [way for way in ways if way not in FOLDING]
    for way in (x for x in steps if x in ways):
        if way != "torch" and "export" not in entry:
            entry["at"] = "export"
            found.write()
            entry["export"] = _export(found)
        entry["at"] = way
        found.write()
        entry["ways"][way] = _guarded(steps[way], found)
    for name in NOT_KEPT:
        for path in folder.glob(f"{name}.onnx*"):
            path.unlink()
    entry["at"] = "end"
    found.write()


def _called(built: Built, picture: np.ndarray) -> list[np.ndarray]:
    import torch
    from torch.utils._pytree import tree_leaves

    with torch.no_grad():
        leaves = tree_leaves(built.module(*built.arguments(picture)))
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _guarded(step: Callable[[Measurement], Row], found: Measurement) -> Row:
    """Take a step; an exception is a result: one line, or a traceback."""
    import spiq

    start = time.process_time()
    try:
        row = step(found)
    except spiq.SpiqError as error:
        row = {"error": str(error)[:500]} | ({"traceback": True} if "\n" in str(error) else {})
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        row = {"error": f"{line} ({Path(where.filename).name}:{where.lineno})", "traceback": True}
    return {"seconds": round(time.process_time() - start, 1)} | row


def _export(found: Measurement) -> str:
    """Write the float files of both exports; what went wrong, if anything did."""
    import torch

    arguments = found.built.arguments(found.pictures[0])
    try:
        made = torch.onnx.export(
            found.built.module, arguments, dynamo=True, optimize=False, verbose=False
        )
        made.save(found.folder / "readme.onnx")
        made.optimize()  # what optimize=True, the default, does
        made.save(found.folder / "default.onnx")
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""


def _by_module(found: Measurement) -> Row:
    import spiq.torch

    example = found.built.arguments(found.pictures[0])
    start = time.process_time()
    made = spiq.torch.quantize(found.built.module, example, _config(found))
    return _measured(found, "torch", made, time.process_time() - start)


def _by_readme(found: Measurement) -> Row:
    return _by_file(found, "readme")


def _by_default(found: Measurement) -> Row:
    return _by_file(found, "default")


def _by_file(found: Measurement, way: str) -> Row:
    import spiq

    path = found.folder / f"{way}.onnx"
    if not path.exists():
        return {"error": "PyTorch does not export it", "no_file": True}
    start = time.process_time()
    made = spiq.quantize(path, _config(found))
    return _measured(found, way, made, time.process_time() - start)


def _config(found: Measurement) -> Any:
    import spiq

    # what can run on integers; what is better in float depends on the machine
    return spiq.Config(input_range=found.built.ranges, timing=False)


def _measured(found: Measurement, way: str, made: Any, seconds: float) -> Row:
    peak = _peak_mb()
    path = found.folder / f"spiq_{way}.onnx"
    path.write_bytes(made.model)
    told = [value for value in made.report.snr_db.values()]
    left: dict[str, list[str]] = {}
    for layer in made.report.float_layers:
        left.setdefault(layer.reason, []).append(layer.name)
    return {
        "seconds": round(seconds, 1),
        "peak_mb": peak,
        "told_db": round(min(told), 1) if told else None,
        "notes": list(made.report.notes),
        "left": {reason: [len(names), names[0]] for reason, names in left.items()},
    } | _kernels_and_ratio(found, path)


def _static(found: Measurement) -> Row:
    from onnxruntime import quantization as ortq

    import peers

    source, path = found.folder / "default.onnx", found.folder / "static.onnx"
    if not source.exists():
        return {"error": "PyTorch does not export it", "no_file": True}
    shown = [
        x[0] if found.built.listed else x for x in found.built.pictures(CALIBRATED, CALIBRATION)
    ]
    start = time.process_time()
    try:
        made = peers._folded(source)
    except Exception:  # its preprocessing gives up: as the file is
        made = onnx.load(source)
    name = made.graph.input[0].name
    reader = peers._Reader(name, np.concatenate(list(shown)))
    ortq.quantize_static(
        made,
        path,
        reader,
        quant_format=ortq.QuantFormat.QDQ,
        per_channel=True,
        activation_type=ortq.QuantType.QUInt8,
        weight_type=ortq.QuantType.QInt8,
    )
    seconds = time.process_time() - start
    return {"seconds": round(seconds, 1)} | _kernels_and_ratio(found, path)


def _kernels_and_ratio(found: Measurement, path: Path) -> Row:
    """Layers and share of work on integers, and the signal-to-noise ratio of the worst output."""
    opened = session(path)
    feeds = feeds_of(opened, found.pictures[0])
    here = work(path, feeds)
    if found.reference is None:
        float_file = found.folder / "default.onnx"
        found.reference = work(float_file, feeds) if float_file.exists() else None
    outputs = [opened.run(None, feeds_of(opened, x)) for x in found.pictures]
    total = found.reference.float_macs if found.reference else here.integer_macs + here.float_macs
    return {
        "macs": total,
        "integer_layers": here.integer_layers,
        "float_layers": here.float_layers,
        "share": round(max(0.0, 1 - here.float_macs / max(total, 1)), 4),
        "snr_db": None if found.built.listed else _ratio(found.expected, outputs),
    } | ({"float_nodes": _most(here.left, total)} if here.left else {})


def _most(left: dict[str, int], total: int) -> dict[str, float]:
    """The nodes with the most work in float, and their share."""
    largest = sorted(left, key=lambda name: -left[name])[:4]
    return {name: round(left[name] / total, 4) for name in largest if left[name] > 0.001 * total}


def _ratio(expected: list[list[np.ndarray]], found: list[list[np.ndarray]]) -> float | None:
    """Of the worst output in dB, without the mean over pictures; None where none compares."""
    ratios = []
    for ours, theirs in zip(zip(*expected, strict=True), zip(*found, strict=True), strict=False):
        shapes = {np.shape(x) for x in (*ours, *theirs)}
        if len(shapes) > 1 or ours[0].dtype.kind != "f":
            continue
        a, b = np.stack(ours).astype(float), np.stack(theirs).astype(float)
        signal, noise = ((a - a.mean(axis=0)) ** 2).sum(), ((a - b) ** 2).sum()
        ratios.append(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
    return round(float(min(ratios)), 1) if ratios else None


def measure(network: Network, models: Path, ways: Iterable[str]) -> Row:
    """Measure a network in a process of its own; the network's entry in the results."""
    folder = models / network.key.replace("/", ".")
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "entry.json"
    stored.unlink(missing_ok=True)
    command = [sys.executable, __file__, network.key, "--child", str(folder), "--ways", *ways]
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
    if at != "end":
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
    if "export" in new:
        newer = newer | {"export": new["export"]}
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
    return f"{key:42} {'; '.join(told)} {entry.get('export', '')}"


def time_latency(network: Network, models: Path) -> Row:
    """Milliseconds of float, of spiq and of `quantize_static`, as far as they are there."""
    folder = models / network.key.replace("/", ".")
    files = {"float": "default.onnx", "spiq": "spiq_torch.onnx", "static": "static.onnx"}
    paths = {row: folder / file for row, file in files.items() if (folder / file).exists()}
    shape = common.load(NAME)[network.key]["input"]
    picture = np.random.default_rng(0).random((1, *shape), np.float32)
    return latencies(paths, picture, ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="parts of names")
    parser.add_argument("--models", type=Path, default=common.MODELS / NAME)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--latency", action="store_true", help="time what was made")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = {network.key: network for network in coverage_networks.everything()}
    if options.child is not None:
        child(known[options.networks[0]], options.child, options.ways)
        return
    for network in chosen(known, options.networks):
        there = common.load(NAME).get(network.key, {})
        if options.latency:
            entry = timed(network, there, options)
        else:
            entry = completed(network, there, options)
        if entry is not there:
            common.record(NAME, network.key, entry)


def chosen(known: dict[str, Network], wanted: Sequence[str]) -> list[Network]:
    """The networks whose names these are, or are parts of; all where none is given."""
    exact = [known[name] for name in wanted if name in known]
    parts = [name for name in wanted if name not in known]
    if not wanted:
        return list(known.values())
    return exact + [x for x in known.values() if any(part in x.key for part in parts)]


def timed(network: Network, there: Row, options: argparse.Namespace) -> Row:
    """The entry with its latencies."""
    if not there or ("latency" in there and not options.again):
        return there
    found = time_latency(network, options.models)
    print(network.key, found, flush=True)
    return there | {"latency": found}


def completed(network: Network, there: Row, options: argparse.Namespace) -> Row:
    """The entry with the ways that it lacks, or all that are asked for."""
    known = () if options.again else there.get("ways", {})
    ways = [way for way in options.ways if network.full or way == "torch"]
    ways = [way for way in ways if way not in known]
    if not ways:
        return there
    entry = measure(network, options.models, ways)
    print(line(network.key, entry), flush=True)
    return joined(there, entry)


if __name__ == "__main__":
    main()
