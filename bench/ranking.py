"""Does the expected error rank the layers of a network as the measured one does?

Each layer is quantized alone, all others left in float, and the error of the network's outputs is
measured on real images in ONNX Runtime. The rank correlation (Spearman) with the error that
`spiq inspect` predicts for it is printed and stored in bench/results/ranking.json.

Usage: python bench/ranking.py [NETWORK...] [--images 64] [--bits W8A8]
"""

from __future__ import annotations

import glob
import re
from dataclasses import replace

import numpy as np

import common
from spiq import pipeline
from spiq.config import Config
from spiq.inspection.inspect import inspect
from spiq.runtime.session import session
from spiq.runtime.snr import snr_db

DEFAULT = ("mobilenetv1-0.25", "resnet20-cifar10", "espnet-camvid")


def outputs(model: object, images: np.ndarray) -> list[np.ndarray]:
    opened = session(model, threads=2)
    name = opened.get_inputs()[0].name
    each = [opened.run(None, {name: image[None]}) for image in images]
    return [np.concatenate(parts) for parts in zip(*each, strict=True)]


def alone(network: common.Network, config: Config, images: np.ndarray) -> tuple[list[float], ...]:
    """Error over signal at the outputs with one layer quantized at a time: predicted, measured."""
    names = list(pipeline.plan(network.path, config).layers)
    exact = outputs(str(network.path), images)
    predicted, measured = [], []
    for name in names:
        others = tuple(glob.escape(other) for other in names if other != name)
        single = replace(config, exclude=others)
        layers = {layer.name: layer for layer in inspect(network.path, single).layers}
        predicted.append(layers[name].expected_error)
        actual = outputs(pipeline.quantize(network.path, single).model, images)
        measured.append(float(np.mean([noise(*pair) for pair in zip(actual, exact, strict=True)])))
    return predicted, measured


def noise(actual: np.ndarray, exact: np.ndarray) -> float:
    return 10 ** (-snr_db(exact, actual) / 10)


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(array)) for array in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> None:
    parser = common.parser("Compare predicted and measured ranks of the layers.")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--bits", default="W8A8", help="such as W4A8")
    arguments = parser.parse_args()
    weight_bits, activation_bits = map(int, re.fullmatch(r"W(\d)A(\d)", arguments.bits).groups())
    for network in common.select(common.zoo(), arguments.networks or DEFAULT):
        config = Config(
            timing=False,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            input_range=network.input_range(),
        )
        predicted, measured = alone(network, config, network.images(arguments.images))
        correlation = spearman(np.array(predicted), np.array(measured))
        print(f"{network.name} {arguments.bits}: {correlation:.2f} over {len(measured)} layers")
        entry = {"bits": arguments.bits, "layers": len(measured), "spearman": correlation}
        common.record("ranking", network.name, entry | {"stamp": common.stamp()})


if __name__ == "__main__":
    main()
