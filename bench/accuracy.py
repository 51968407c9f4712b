"""Accuracy of the float network, of spiq and of other tools, on the zoo's labelled images.

    float        the network as it is
    spiq         spiq quantize: no data
    spiq_static  spiq quantize --method static: no data, one range per tensor
    ort_static, ort_dynamic, ort_dynamic_folded, nncf: see peers.py; the first and the last get 100
                 of the images that the network is then measured on

Everything runs with batch 1, since dynamic quantization takes its ranges over the whole batch. Each
row has the metric of the network's task with its 95 % interval, its difference to float on the same
images, and the signal-to-noise ratio of the outputs against float.

Usage: python bench/accuracy.py [NETWORK...] [--limit N] [--methods spiq] [--no-peers] [--force]

Results go to bench/results/accuracy.json after each network, on a CPU without VNNI to
accuracy_without_vnni.json. spiq is always measured again; the peers only where spiq, its evaluation
or onnxruntime is another one than it was, or with --force.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import common
import peers
from spiq import evaluation
from spiq.evaluation.estimates import Estimate

METRICS = {"classification": "top1", "detection": "mAP50", "segmentation": "miou"}
"""What the metric of each task is called in the results."""

NOT_INSTALLED = {"error": "not installed"}


def measure(network: common.Network, models: dict[str, Path], limit: int | None) -> dict[str, Any]:
    """Evaluate the float network and `models`, by row; a model that is refused has an "error"."""
    image = network.images(1)[0]
    refused = {
        row: reason for row, path in models.items() if (reason := common.refusal(path, image))
    }
    usable = {row: path for row, path in models.items() if row not in refused}
    found = evaluation.evaluate(
        [network.path, *usable.values()], network.card, limit=limit, threads=1, batch=1
    )
    rows = {row: {"error": reason} for row, reason in refused.items()}
    for row, score in zip(("float", *usable), found.models, strict=True):
        rows[row] = _rounded(score.metric)
        if (other := score.comparison) is not None:
            ratios = other.snr_db.items()
            rows[row]["difference"] = _rounded(other.difference)
            rows[row]["snr_db"] = {name: None if x is None else round(x, 2) for name, x in ratios}
    metric = METRICS[found.task]
    return {"task": found.task, "metric": metric, "images": found.images, "rows": rows}


def _rounded(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 2) for key, value in asdict(estimate).items()}


def kept(network: common.Network, stamp: dict[str, str], arguments: argparse.Namespace) -> dict:
    """The peers' rows of an earlier run that still hold."""
    entry = common.load(common.here("accuracy")).get(network.name)
    same = ("spiq", "commit", "onnxruntime")
    if entry is None or arguments.force or entry["limit"] != arguments.limit:
        return {}
    if any(entry["stamp"][key] != stamp[key] for key in same):
        return {}
    rows = {row: found for row, found in entry["rows"].items() if row in peers.PEERS}
    return {row: found for row, found in rows.items() if found != NOT_INSTALLED}


def evaluate(network: common.Network, arguments: argparse.Namespace) -> dict[str, Any]:
    """Make and measure what is wanted; the network's entry in the results."""
    stamp = common.stamp()
    old = kept(network, stamp, arguments)
    wanted = [peer for peer in peers.PEERS if arguments.peers and peer not in old]
    models = {
        row: common.quantize(network, row, arguments.models) for row in arguments.methods
    } | peers.make(network, arguments.models, wanted)
    entry = measure(network, models, arguments.limit)
    missing = {peer: NOT_INSTALLED for peer in wanted if peer not in models}
    entry["rows"] |= missing | old
    return entry | {"limit": arguments.limit, "stamp": stamp}


def lines(name: str, entry: dict[str, Any]) -> Iterator[str]:
    """Lines of text for one network, one per row."""
    for row in ("float", *common.METHODS, *peers.PEERS):
        found = entry["rows"].get(row, {})
        if "error" in found:
            yield f"{name:24} {row:18} {found['error']}"
        elif found:
            difference = f"{found['difference']['value']:+7.2f}" if "difference" in found else ""
            ratios = ", ".join(f"{key} {x}" for key, x in found.get("snr_db", {}).items())
            yield f"{name:24} {row:18} {found['value']:6.2f} {difference:7}  {ratios}"


def main() -> None:
    parser = common.parser("Measure the accuracy of float and quantized networks.")
    parser.add_argument("--limit", type=int, metavar="N", help="only that many images")
    parser.add_argument("--methods", nargs="+", choices=common.METHODS, default=[*common.METHODS])
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--force", action="store_true", help="measure the peers again, too")
    arguments = parser.parse_args()
    for network in common.select(common.zoo(), arguments.networks):
        entry = evaluate(network, arguments)
        common.record(common.here("accuracy"), network.name, entry)
        print(*lines(network.name, entry), sep="\n", flush=True)


if __name__ == "__main__":
    main()
