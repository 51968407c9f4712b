"""Measure one network of coverage.py in this process: quantize it in each way, and compare.

What is known lies in FOLDER/entry.json after each step, so that a crash loses one step; the
models lie beside it. coverage.py starts one such process per network.

Usage: python bench/coverage_ways.py NETWORK FOLDER WAY...
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import coverage_networks
from coverage_kernels import Work, feeds_of, latencies, session, work
from coverage_networks import CALIBRATION, MEASURED, Built, Network

WAYS = ("torch", "shipped", "default", "readme", "static")
LATENCY = "latency"
"""What is named beside the ways to time, at the end, what they made."""

FOLDING = ("default", "readme")
"""Ways that differ only where there is a BatchNorm to fold."""

NOTHING_TO_FOLD = {"error": "there is no BatchNorm", "no_file": True}
NOT_KEPT = ("readme", "spiq_readme", "spiq_default")

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

    def write(self, at: str) -> None:
        """Store what is known so far, and what is to come next."""
        (self.folder / "entry.json").write_text(json.dumps(self.entry | {"at": at}))


def measure(network: Network, folder: Path, asked: Sequence[str]) -> None:
    """Measure a network; what is known lies in `folder`/entry.json after each step."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = _begun(network, folder)
    steps = {
        "torch": _by_module,
        "shipped": _by_defaults,
        "default": _by_default,
        "readme": _by_readme,
        "static": _static,
    }
    for way in (x for x in WAYS if x in asked):
        if way in FOLDING and not coverage_networks.has_batchnorm(found.built.module):
            found.entry["ways"][way] = NOTHING_TO_FOLD
            continue
        if way != "torch" and "export" not in found.entry:
            found.write("export")
            found.entry["export"] = _export(found)
        found.write(way)
        found.entry["ways"][way] = _guarded(steps[way], found)

    if LATENCY in asked:
        found.write(LATENCY)
        found.entry["latency"] = _latency(found)
    for name in NOT_KEPT:
        for path in folder.glob(f"{name}.onnx*"):
            path.unlink()
    found.write("end")


def _begun(network: Network, folder: Path) -> Measurement:
    """Build the network, and what it says of the pictures to measure on."""
    built = coverage_networks.build(network)
    pictures = list(built.pictures(PICTURES, MEASURED))
    expected = [_called(built, picture) for picture in pictures]
    parameters = sum(x.numel() for x in built.module.parameters())
    entry = {
        "kind": "detector" if built.listed else coverage_networks.kind(built.module),
        "input": list(built.shape),
        "parameters": parameters,
        "ways": {},
        "mb_before": _peak_mb(),
    }
    return Measurement(built, folder, pictures, expected, entry)


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
    return _of_module(found, "torch", timing=False)


def _by_defaults(found: Measurement) -> Row:
    return _of_module(found, "shipped", timing=True)


def _of_module(found: Measurement, way: str, *, timing: bool) -> Row:
    import spiq.torch

    example = found.built.arguments(found.pictures[0])
    start = time.process_time()
    made = spiq.torch.quantize(found.built.module, example, _config(found, timing=timing))
    return _measured(found, way, made, time.process_time() - start)


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


def _config(found: Measurement, *, timing: bool = False) -> Any:
    import spiq

    return spiq.Config(input_range=found.built.ranges, timing=timing)


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


def _latency(found: Measurement) -> Row:
    """Milliseconds of float, of spiq both ways and of `quantize_static`, those that are there."""
    files = {
        "float": "default.onnx",
        "spiq": "spiq_torch.onnx",
        "shipped": "spiq_shipped.onnx",
        "static": "static.onnx",
    }
    paths = {row: found.folder / file for row, file in files.items()}
    return latencies({row: x for row, x in paths.items() if x.exists()}, found.pictures[0], ROUNDS)


if __name__ == "__main__":
    key, folder, *asked = sys.argv[1:]
    source, name = key.split("/")
    measure(Network(source, name), Path(folder), asked)
