"""Latency and SNR in OpenVINO: of the float network, of spiq's for that target, and of NNCF's.

    spiq    `spiq quantize --target openvino`, without data
    nncf    `nncf.quantize` with its defaults on the first 300 real images of the network's data set
            (fewer where there are fewer), BatchNorm folded before, as its manual asks

One image, one thread, all three in one interleaved run, OpenVINO only; spiq / NNCF is a ratio of
medians over the same rounds with its 95 % interval. SNR is that of the worst output against the
float network in ONNX Runtime, on the first 16 images; NNCF has seen them. Networks with random
weights get dead leaves.

Needs `pip install 'spiq[openvino]' nncf`.

Usage: python bench/in_openvino.py [NETWORK...] [--seconds 15] [--rounds 100] [--print]

keeps bench/results/in_openvino.json, network by network, and prints the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import common
import peers
from spiq import pipeline
from spiq.config import Config
from spiq.evaluation import latency
from spiq.runtime.engines import ONNXRUNTIME, OPENVINO, opened_in
from spiq.runtime.snr import snr_db

IMAGES, SHOWN = 300, 16

GOALS = {"mobilenetv2": 0.70}
"""What is wanted of spiq / NNCF, where that is not 1.00."""


def measure(network: common.Network, models: Path, *, seconds: float, rounds: int) -> dict:
    """Make the models and measure them; the network's entry in the results."""
    folder = models / network.name
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"nncf": folder / "nncf_300.onnx", "spiq": folder / "spiq_openvino.onnx"}
    if not paths["nncf"].exists():
        peers.nncf_ptq(network.path, paths["nncf"], network.images(IMAGES))
    config = Config(target="openvino", input_range=network.input_range(), timing=False)
    pipeline.quantize(network.path, config).save(paths["spiq"])

    every = {**paths, "float": network.path}
    found = latency.compare(
        [*every.values()], threads=1, rounds=rounds, seconds=seconds, runtimes=(OPENVINO,)
    )
    rows: dict[str, Any] = {
        row: {"median_ms": round(score.median_ms, 3)}
        for row, score in zip(every, found.models, strict=True)
    }
    faster = found.models[1].times_as_fast
    assert faster is not None
    images = network.images(SHOWN)
    exact = _outputs(ONNXRUNTIME, network.path, images)
    for row, path in paths.items():
        given = _outputs(OPENVINO, path, images)
        rows[row]["snr_db"] = round(min(map(snr_db, exact, given)), 1)
    return {
        "rounds": found.rounds,
        "rows": rows,
        "over_nncf": [round(1 / x, 3) for x in (faster.value, faster.high, faster.low)],
        "stamp": common.stamp() | {"openvino": common.version("openvino")},
    }


def _outputs(runtime: str, path: Path, images: np.ndarray) -> list[np.ndarray]:
    """What a network makes of the images, one by one, for each output."""
    opened = opened_in(runtime, path, threads=1)
    name = opened.get_inputs()[0].name
    each = [opened.run(None, {name: image[None]}) for image in images]
    return [np.stack(made) for made in zip(*each, strict=True)]


def table(results: Mapping[str, Any]) -> str:
    """The table as Markdown; a goal that is missed is followed by a star."""
    heads = ["network", "float, ms", "NNCF, ms", "spiq, ms", "spiq / NNCF", "NNCF, dB", "spiq, dB"]
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
    for name, entry in sorted(results.items()):
        rows, (value, low, high) = entry["rows"], entry["over_nncf"]
        star = "" if value <= GOALS.get(name, 1.0) else " *"
        times = [f"{rows[row]['median_ms']:.2f}" for row in ("float", "nncf", "spiq")]
        exact = [f"{rows[row]['snr_db']:.1f}" for row in ("nncf", "spiq")]
        lines.append([name, *times, f"{value:.2f} ({low:.2f} to {high:.2f}){star}", *exact])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = common.timed_parser(__doc__.splitlines()[0], seconds=15.0)
    parser.add_argument("--print", action="store_true", help="what is kept, and measure nothing")
    given = parser.parse_args()
    chosen = [] if given.print else common.select(common.everything(given.models), given.networks)
    for network in chosen:
        entry = measure(network, given.models, seconds=given.seconds, rounds=given.rounds)
        common.record("in_openvino", network.name, entry)
        print(network.name, entry["rows"], entry["over_nncf"], flush=True)
    print(table(common.load("in_openvino")))


if __name__ == "__main__":
    main()
