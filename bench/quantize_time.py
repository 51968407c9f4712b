"""Seconds and memory that it takes to quantize, in a fresh process each time.

spiq needs the network alone, with its BatchNorm and, for some, with BatchNorm folded away and no
option given; quantize_static also needs 100 images, which are in memory before its clock starts.
Neither clock counts imports. Memory is the largest resident size: of the whole
process, and what of it came after the imports (the images, too).

Usage: python bench/quantize_time.py [NETWORK...] [--repeats 5]

Results, medians over the repeats, go to bench/results/quantize_time.json after each network.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import common
import peers
from folded import folded
from spiq import pipeline
from spiq.config import Config

NETWORKS = (
    "mobilenetv1-0.25",
    "resnet56-cifar10",
    "espnetv2-2.0-voc",
    "mobilenetv2",
    "efficientnet_b0",
    "resnet50",
    "densenet121",
)
WITH_PEER = ("mobilenetv1-0.25", "resnet50")
"""Networks for which quantize_static is timed, too; it takes the longest."""
FOLDED = ("mobilenetv2", "resnet50")
"""Networks that are timed with BatchNorm folded away, too."""

ONCE = "once"
"""First argument of the process that quantizes a single time."""


def once(row: str, name: str, models: Path, given: Path) -> dict[str, float]:
    """Quantize in this process: seconds, and the largest resident size before and after, in MB.

    Given are the images of quantize_static, or the folded network.
    """
    (network,) = common.select(common.everything(models), [name])
    before = _peak()
    calibration = np.load(given / "images.npy") if row in peers.CALIBRATED else None
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        if calibration is not None:
            peers.CALIBRATED[row](network.path, Path(folder) / "model.onnx", calibration)
        elif row == "spiq_folded":
            made = pipeline.quantize(given / "folded.onnx", Config(timing=False))
            made.save(Path(folder) / "model.onnx")
        else:
            common.quantize(network, row, Path(folder), timing=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": _peak(), "beyond_mb": _peak() - before}


def _peak() -> float:
    """The largest resident size of this process so far, in MB.

    Linux only: ru_maxrss, which others have too, starts from the size of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e6


def repeat(row: str, network: common.Network, models: Path, repeats: int) -> dict[str, float]:
    """Medians of `once` over fresh processes."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        if row in peers.CALIBRATED:  # preprocessed here, so that it costs no memory there
            np.save(Path(folder) / "images.npy", network.images(peers.IMAGES))
        if row == "spiq_folded":
            folded(network, Path(folder))
        command = [sys.executable, __file__, ONCE, row, network.name, str(models), folder]
        for _ in range(repeats):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


def main() -> None:
    parser = common.parser("Measure how long quantization takes, and how much memory.")
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes per figure")
    arguments = parser.parse_args()
    names = arguments.networks or NETWORKS
    for network in common.select(common.everything(arguments.models), names):
        rows, wanted = {}, ["spiq"]
        wanted += ["spiq_folded"] * (network.name in FOLDED)
        wanted += ["ort_static"] * (network.name in WITH_PEER)
        for row in wanted:
            rows[row] = repeat(row, network, arguments.models, arguments.repeats)
            print(f"{network.name:24} {row:12} {rows[row]}", flush=True)
        entry = {"repeats": arguments.repeats, "rows": rows, "stamp": common.stamp()}
        common.record("quantize_time", network.name, entry)


if __name__ == "__main__":
    if sys.argv[1:2] == [ONCE]:
        print(json.dumps(once(sys.argv[2], sys.argv[3], *map(Path, sys.argv[4:]))))
    else:
        main()
