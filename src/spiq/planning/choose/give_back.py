"""Regions of a network that are faster in float, by what kernels were measured to take.

What takes the least time is a minimum cut (:mod:`spiq.planning.choose.cut`). What an operator on
integers adds to the error at the outputs has a price in time: the highest at which the network
takes no longer than is allowed. Where more error is left by that than is good, the price goes up
until it is not, or the network would take as long as all on integers, or nearly as in float.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from spiq.planning.choose.cut import KEPT, CutNetwork, Measured, cut_network
from spiq.planning.choose.structure import Structure

WORTH, BETTER = 0.95, 0.8
"""What counts as faster at all, and as less error."""


def given_back(
    structure: Structure, measured: Measured, slack: float = 0.0, enough: float = 1.0,
    *, kept: float = KEPT,
) -> list[str]:  # fmt: skip
    """Return the layers that are to go back to float, by name; none where that gains nothing.

    Never goes all back: the layer stays that takes least on integers, conversions and all.

    Args:
        structure: How the network hangs together.
        measured: What its operators take.
        slack: How much of the least time may be paid for accuracy.
        enough: What of the error may be left. Where it is more, what the choice gains in time, on
            all on integers and on float, may be paid.
        kept: Part of the weights that stays on integers.
    """
    network = cut_network(structure, measured, kept)
    chosen = _within(network, slack)
    if network.error(chosen) > enough:
        chosen = _until(network, enough, chosen)
    everything = network.changed(frozenset())
    if everything and network.changed(chosen) == everything:
        chosen = network.least()
    faster = network.seconds(chosen) < WORTH * network.seconds(network.now)
    better = network.error(chosen) < BETTER * network.error(network.now)
    return network.changed(chosen) if faster or better else []


@dataclass(frozen=True, kw_only=True)
class Point:
    """A choice of what runs on integers.

    Attributes:
        slack: How much of the least time is paid for accuracy.
        ms: The time that it is expected to take, of the kernels alone.
        error: What is left of the error that is expected with all on integers.
        in_float: Layers that go back to float, by name.
    """

    slack: float
    ms: float
    error: float
    in_float: tuple[str, ...]


def front(
    structure: Structure, measured: Measured, slacks: Iterable[float]
) -> tuple[Point, list[Point]]:
    """Return all on integers, and the most exact choice within each slack.

    Args:
        structure: How the network hangs together.
        measured: What its operators take.
        slacks: How much of the least time may be paid for accuracy.
    """
    network = cut_network(structure, measured)
    least = network.seconds(network.cut())

    def point(slack: float, chosen: frozenset[int]) -> Point:
        seconds, left = network.seconds(chosen), tuple(network.changed(chosen))
        return Point(slack=slack, ms=1e3 * seconds, error=network.error(chosen), in_float=left)

    found = [point(slack, _within(network, slack)) for slack in slacks]
    return point(network.seconds(network.now) / least - 1, network.now), found


def _within(network: CutNetwork, slack: float) -> frozenset[int]:
    """Return the choice of least error, of those that take little more than the least time."""
    best = network.cut()
    return _bought(network, best, (1 + slack) * network.seconds(best), 0.0)


def _until(network: CutNetwork, enough: float, best: frozenset[int]) -> frozenset[int]:
    """Return the fastest choice that leaves so little error, or the one that comes nearest."""
    allowed = min(network.seconds(network.now), WORTH * network.seconds(frozenset()))
    return _bought(network, best, allowed, enough)


def _bought(
    network: CutNetwork, best: frozenset[int], seconds: float, enough: float
) -> frozenset[int]:
    """Return what is chosen at the highest price that is in time, or the least that is enough."""
    low, high = 0.0, _DEAREST * seconds
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        chosen = network.cut(price)
        left = network.error(chosen)
        if network.seconds(chosen) > seconds:
            high = price
            continue
        if left <= max(enough, network.error(best)):
            best = chosen
        low, high = (low, price) if left <= enough else (price, high)
    return best


_DEAREST, _HALVINGS = 8.0, 14
"""All error expected is worth so many times the whole network's time at most; and steps of the
search for what it is worth."""
