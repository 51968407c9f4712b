"""What is left where BatchNorm was folded away, as exporters do, and what ten images bring.

    kept           spiq on the file that keeps BatchNorm, where the zoo has one
    folded         the same network, BatchNorm folded by ONNX Runtime's basic optimizations
    folded_images  the folded network and ten images without labels, `spiq quantize --images`

No other option is given: spiq infers the input's range. The ten images are the last of those that
the card names; the networks are measured on all, or on the first N.

Usage: python bench/folded.py [NETWORK...] [--limit N]

Results go to bench/results/folded.json after each network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

import common
from accuracy import measure
from spiq import pipeline
from spiq.config import Config
from spiq.errors import WARNING

IMAGES = 10


def folded(network: common.Network, folder: Path) -> Path:
    """The path of the network with every BatchNorm folded into the layer beside it."""
    path = folder / "folded.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(str(network.path), options, providers=["CPUExecutionProvider"])
    return path


def images(network: common.Network, folder: Path) -> Path:
    """The path of ten images, as the network takes them."""
    path = folder / "images.npz"
    every = network.images(network.card.dataset.n if network.card else IMAGES)
    np.savez(path, images=every[-IMAGES:])
    return path


def evaluate(network: common.Network, models: Path, limit: int | None) -> dict:
    """Quantize and measure a network; its entry in the results."""
    folder = models / network.name
    folder.mkdir(parents=True, exist_ok=True)
    bare = folded(network, folder)
    jobs = {
        "kept": (network.path, Config()),
        "folded": (bare, Config()),
        "folded_images": (bare, Config(images=images(network, folder))),
    }
    made, warned = {}, {}
    for row, (source, config) in jobs.items():
        result = pipeline.quantize(source, config)
        made[row] = folder / f"{row}.int8.onnx"
        result.save(made[row])
        warned[row] = [note for note in result.report.notes if note.startswith(WARNING)]
    entry = measure(network, made, limit)
    for row, warnings in warned.items():
        entry["rows"][row]["warnings"] = warnings
    return entry | {"limit": limit, "stamp": common.stamp()}


def main() -> None:
    parser = common.parser("Measure networks whose BatchNorm was folded away.")
    parser.add_argument("--limit", type=int, metavar="N", help="only that many images")
    arguments = parser.parse_args()
    for network in common.select(common.zoo(), arguments.networks):
        entry = evaluate(network, arguments.models, arguments.limit)
        common.record("folded", network.name, entry)
        for row, found in entry["rows"].items():
            said = " (warned)" if found.get("warnings") else ""
            print(f"{network.name:26} {row:14} {found['value']:6.2f}{said}", flush=True)


if __name__ == "__main__":
    main()
