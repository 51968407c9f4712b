"""What spiq takes each network's pictures to be, by the file alone, with and without BatchNorm.

For each network of the zoo, kept and folded: the convention of its card, the likeliest one, and
the odds (natural logarithm) of the right one. The constants of spiq.stats.inputs.biases are
fitted anew on all *other* folded networks, so each line is a prediction.

Usage: python bench/conventions.py   (SPIQ_ZOO names the zoo)
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np

from common import ZOO
from spiq.errors import ModelError
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs import biases, evidence
from spiq.stats.inputs.conventions import CONVENTIONS, Convention
from spiq.stats.inputs.first_layers import FirstLayer, first_layers

Found = dict[str, tuple[Convention, list[FirstLayer]]]


def convention(card: Path) -> Convention:
    """The convention nearest to a card's preprocessing."""
    given = tomllib.loads(card.read_text())["input"]
    after = given.get("divide_after", 1.0)
    if "mean" not in given:
        mean, std = np.zeros(3), np.full(3, 255.0)
    else:
        mean, std = np.array(given["mean"]), np.array(given["std"])
    low, high = np.min(-mean / std) / after, np.max((255 - mean) / std) / after
    taken = Convention("", float(low), float(high))
    return min(CONVENTIONS, key=lambda c: c.distance(taken.mean, taken.std))


def networks() -> Found:
    found: Found = {}
    for path in sorted(ZOO.glob("*/*/model.onnx")):
        card = next(path.parent.glob("*.toml"))
        card = path.parent / "zoo.toml" if (path.parent / "zoo.toml").exists() else card
        try:
            prepared: Prepared = prepare(read(path))
        except ModelError as error:
            print(f"{path.parent.name}: left out, {str(error)[-60:]}")
            continue
        value = prepared.model.graph.inputs[0]
        layers = first_layers(value, prepared, channel_axis(value))
        found[path.parent.name] = convention(card), layers
    return found


def without_statements(layers: list[FirstLayer]) -> list[FirstLayer]:
    """The layers as they are once BatchNormalization is folded away."""
    return [replace(layer, stated=None, biased=True) for layer in layers]


def numbers(right: Convention, layers: list[FirstLayer]) -> tuple[float, float] | None:
    """Median of |u| and of the outputs' deviation in the first layer, for the right convention."""
    layer = max(without_statements(layers), key=lambda one: len(one.sums), default=None)
    if layer is None or not np.any(layer.offset):
        return None
    live = layer.response > 0.03 * layer.response.max()
    u = (right.mean * layer.sums + layer.offset) / (right.std * layer.response)
    return float(np.median(np.abs(u[live]))), float(np.median(right.std * layer.response[live]))


def fit(others: list[tuple[float, float]]) -> None:
    """Set the constants of the evidence by other networks."""
    logs = np.log(others)
    centre = np.median(logs, axis=0)
    biases.TAU, biases.SIZE = np.exp(centre)
    spread = 1.48 * np.median(np.abs(logs - centre), axis=0)  # as of a normal density
    biases.TAU_SPREAD, biases.SIZE_SPREAD = np.maximum(spread, 0.5)


def line(name: str, right: Convention, layers: list[FirstLayer], kind: str) -> str:
    verdict = evidence.weigh(layers)
    at = CONVENTIONS.index(right)
    said = "right" if verdict.best is right else "possible" if right in verdict.rivals else "alike"
    if verdict.best is not right and verdict.odds[at] < -evidence.SURE:
        said = "WRONG"
    warned = "warns" if verdict.rivals else ""
    return (
        f"| {name} | {kind} | {right.name[7:]} | {verdict.best.name[7:]} | "
        f"{verdict.odds[at]:.1f} | {said} | {warned} |"
    )


def main() -> None:
    found = networks()
    seen = {name: numbers(*entry) for name, entry in found.items()}
    print("| network | BatchNorm | right | likeliest | odds of the right one (log) | | |")
    print("|---|---|---|---|--:|---|---|")
    for name, (right, layers) in found.items():
        fit([pair for other, pair in seen.items() if other != name and pair is not None])
        if any(layer.stated is not None for layer in layers):
            print(line(name, right, layers, "kept"))
        print(line(name, right, without_biasless(layers), "folded"))
    fit([pair for pair in seen.values() if pair is not None])
    print(f"\nTAU {biases.TAU:.2f} {biases.TAU_SPREAD:.2f}", end=", ")
    print(f"SIZE {biases.SIZE:.2f} {biases.SIZE_SPREAD:.2f}")


def without_biasless(layers: list[FirstLayer]) -> list[FirstLayer]:
    return [layer for layer in without_statements(layers) if np.any(layer.offset)]


if __name__ == "__main__":
    main()
