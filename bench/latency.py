"""Latency of the float network, of spiq and of onnxruntime's own quantization.

One image, one thread. All models of a network are timed in one interleaved run, so that a
machine's drift cancels: "times as fast as float" is float's median time over the model's, of the
same rounds, above 1 where the model is faster.
Accuracy plays no part, so networks with random weights serve as well; peers.py tells what the rows
mean. The int8 kernel's own best is timed in the same rounds, and the share of it that each reaches
is kept; speed.py makes a table of it, speed_plot.py a picture.

Usage: python bench/latency.py [NETWORK...] [--seconds 20] [--rounds 100]

Results go to bench/results/latency.json after each network.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import common
import peers
from spiq.evaluation import latency


def measure(network: common.Network, models: Path, *, seconds: float, rounds: int) -> dict:
    """Make the models and time them; the network's entry in the results."""
    made = peers.make(network, models, peers.OF_ONNXRUNTIME)
    paths = {
        "float": network.path,
        "spiq": common.quantize(network, "spiq", models),
        "spiq_dynamic": common.quantize(network, "spiq_dynamic", models),
    } | made
    image = network.images(1)[0]
    refused = {
        row: reason for row, path in paths.items() if (reason := common.refusal(path, image))
    }
    usable = {row: path for row, path in paths.items() if row not in refused}
    found = latency.compare(
        [*usable.values()], threads=1, rounds=rounds, seconds=seconds, peak=True
    )
    rows: dict[str, Any] = {row: {"error": reason} for row, reason in refused.items()}
    for row, score in zip(usable, found.models, strict=True):
        rows[row] = {"median_ms": round(score.median_ms, 3), "p90_ms": round(score.p90_ms, 3)}
        if score.times_as_fast is not None:
            faster = asdict(score.times_as_fast)
            rows[row]["times_as_fast"] = {key: round(x, 3) for key, x in faster.items()}
        if score.share_of_peak is not None:
            rows[row]["share_of_peak"] = round(score.share_of_peak, 3)
    peak = found.peak_gmacs
    return {
        "rounds": found.rounds,
        "rows": rows,
        "peak_gmacs": None if peak is None else round(peak, 1),
        "stamp": common.stamp(),
    }


def line(name: str, entry: dict[str, Any]) -> str:
    """A line of text: milliseconds of each model."""
    times = (f"{row} {x.get('median_ms', 'refused')}" for row, x in entry["rows"].items())
    return f"{name:24} {', '.join(times)}; {entry['rounds']} rounds"


def main() -> None:
    parser = common.timed_parser(
        "Measure the latency of float and quantized networks.", seconds=20.0
    )
    arguments = parser.parse_args()
    for network in common.select(common.everything(arguments.models), arguments.networks):
        entry = measure(
            network, arguments.models, seconds=arguments.seconds, rounds=arguments.rounds
        )
        common.record(common.here("latency"), network.name, entry)
        print(line(network.name, entry), flush=True)


if __name__ == "__main__":
    main()
