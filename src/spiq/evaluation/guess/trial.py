"""Which of several ways to hand pictures to a network is right: the one with the best figures.

    metric(way) on the first images, with the labels that are there

A wrong mean or std costs points (a MobileNetV1 0.25 that learned pixels from -1 to 1 goes from
57.8 % of 400 images to 49.0 with ImageNet's mean and std, and to 0 with pixels from 0 to 255), so
few images tell; equal figures leave the order that the network's file suggests. Where there are no
labels, or nothing can be evaluated, nothing is tried.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spiq.errors import SpiqError
from spiq.evaluation.cards.read import card_of
from spiq.evaluation.guess.values import Network
from spiq.evaluation.loop import evaluate

_IMAGES = 48
"""Images that each way is tried on."""

_WAYS = 8
"""Ways that are tried, at most."""

Table = dict[str, Any]


def best(
    table: Table, ways: Sequence[Table], network: Network, where: Path
) -> tuple[int, tuple[str, ...]]:
    """The index of the best of ``ways``, keys of [input], and what was found where some were tried.

    Args:
        table: The card without them.
        ways: The likeliest one first.
        network: The network.
        where: Where the card is going to be.
    """
    if len(ways) < 2 or table["dataset"]["layout"] == "pictures":
        return 0, ()
    found = [_figure(table, way, network, where) for way in ways[:_WAYS]]
    if None in found:
        return 0, ()
    figures = [figure for figure in found if figure is not None]
    chosen = max(range(len(figures)), key=lambda index: (figures[index], -index))
    told = ", ".join(
        f"{network.conventions[i].name}: {figure:.1f} %" for i, figure in enumerate(figures)
    )
    return chosen, (f"tried on up to {_IMAGES} images: {told}",)


def _figure(table: Table, way: Table, network: Network, where: Path) -> float | None:
    card = {**table, "input": {**table["input"], **way}}
    try:
        result = evaluate([network.path], card_of(card, where), limit=_IMAGES)
    except SpiqError:  # it is said where the card is checked
        return None
    return result.models[0].metric.value
