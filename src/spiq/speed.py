"""Never slower than float: the result is timed, and regions that are faster in float go back.

Whether integers are faster depends on the network and on the CPU at hand, so both networks are
timed beside each other, and kernel by kernel. What would be faster in float, or little slower and
much more exact, is worked out (:mod:`spiq.planning.choose.give_back`), and the network is quantized
again so. What comes out is timed, too, beside both, round by round. It is taken where it is surely
within what may be paid, and not where it is surely beyond. Where neither can be told, as on a
machine that others use, there are more rounds; and if these do not tell either, the more exact of
the two is taken, unless it alone may be slower than the float network.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from spiq.errors import VerificationError
from spiq.planning.choose.cut import Measured
from spiq.planning.choose.give_back import Point, front, given_back
from spiq.planning.choose.structure import Structure, owners
from spiq.quantized import Quantized
from spiq.runtime.named import named
from spiq.runtime.opened import Tensors
from spiq.runtime.ports import Sizes
from spiq.runtime.profile import KernelTime, kernel_times_in_turn
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_inputs
from spiq.runtime.timing import Latency, Raced, race

REASON = "faster in float on this machine"

BOUGHT = "more exact in float, which takes no longer on this machine"

ENOUGH_DB = 20.0
"""Signal-to-noise ratio of the worst output up to which time that integers gain is paid for it, if
any may be. Networks of the zoo with 20 dB and more on real images lose half a point at most, those
with 13 to 19 up to 3 (docs/results.md)."""

SECONDS = 0.4
"""What one measurement may take."""

_TINY_MS = 0.1
"""Less than that is the time of calls, of which kernels tell nothing: a network of 0.05 ms was
slower with what was faster in float kernel by kernel."""

SLACK = {"speed": 0.0, "balanced": 0.03, "accuracy": 0.3}
"""How much of the least time may be paid for accuracy, by what is preferred."""

_LACKING, _MUCH_DB = 0.1, 2.0
"""How much of the time may be paid where all on integers has less than :data:`ENOUGH_DB`, and how
many dB more are to be had for it. What kernels promise is up to a quarter off: YOLO-Fastest with
half of its layers in float takes 1.02 to 1.25 times as long, and has 18 dB in place of 8."""

_PARTS = (1.0, 0.5)
"""Of what lacks, in dB, how much is to be had: if not all, then half."""

_FEWER = (0.25, 0.0)
"""Part of the weights that stays on integers, in place of half, where the result may be slower than
float: YOLO-Fastest was, on a CPU without VNNI, where depthwise kernels are slow."""

_NO_SLOWER = 1.03
"""What the ratio to float's time, at the upper end of its interval, is not to pass."""


@dataclass(frozen=True)
class Attempt:
    """A quantized network, and what is needed to time it and to do better.

    Attributes:
        quantized: The network.
        structure: How the float one hangs together, and what of it runs on integers.
        sizes: Of pictures where the network leaves them open.
        spared: Layers that would be in float for accuracy, whatever that takes, by name, and why.
    """

    quantized: Quantized
    structure: Structure
    sizes: Sizes
    spared: Mapping[str, str]


def no_slower(
    network: bytes | str,
    made: Attempt,
    again: Callable[[Mapping[str, str]], Attempt] | None,
    slack: float,
) -> Quantized | None:
    """Time a result beside the float network; return the better one, with its time.

    None where both take no time to speak of.

    Args:
        network: The float network.
        made: What was made of it.
        again: Quantizes it with some layers in float, by name, with the reason; None where it is to
            stay as it is.
        slack: How much of the least time may be paid for accuracy.
    """
    feeds = _one_image(network, made)
    found = race([network, made.quantized.model], feeds, seconds=SECONDS).latency(1)
    if found.float_ms < _TINY_MS:
        return None
    best = made
    if again is not None:
        measured = _measured(network, made, feeds)
        choices = _better(made, measured, slack)
        best, found = _first_better(network, made, feeds, slack, _tried(choices, again), found)
        fewer = _fewer(made.structure, measured, slack, lambda: found.high > _NO_SLOWER)
        for other in _tried(fewer, again):
            models = [one.quantized.model for one in (best, other)]
            told = partial(is_told, limit=1.0)
            raced = race([network, *models], feeds, seconds=SECONDS, told=told)
            faster = raced.ratio(2, over=1)[1] < 1 or raced.median(2, over=1) * _NO_SLOWER < 1
            best, found = (other, raced.latency(2)) if faster else (best, raced.latency(1))
    return replace(best.quantized, report=replace(best.quantized.report, latency=found))


def _first_better(
    network: bytes | str, made: Attempt, feeds: Tensors, slack: float, others: Iterator[Attempt],
    found: Latency,
) -> tuple[Attempt, Latency]:  # fmt: skip
    """Return the first of others that is better than what was made, or that, and its time."""
    for other in others:
        models = [one.quantized.model for one in (made, other)]
        first, then = _worst(made), _worst(other)
        limit = 1 + _payable(first, then, slack)
        told = partial(is_told, limit=limit, beside_float=limit > 1 + slack)
        raced = race([network, *models], feeds, seconds=SECONDS, told=told)
        if is_better(raced, first, then, limit=limit):
            return other, raced.latency(2)
        found = raced.latency(1)
    return made, found


def _tried(
    choices: Iterator[Mapping[str, str]], again: Callable[[Mapping[str, str]], Attempt]
) -> Iterator[Attempt]:
    """Yield what is made with each choice in float, but for those that the runtime refuses."""
    for in_float in choices:
        with suppress(VerificationError):
            yield again(in_float)


def is_told(raced: Raced, *, limit: float, beside_float: bool = False) -> bool:
    """Return whether it can be told if the third network takes ``limit`` times the second's time.

    Args:
        raced: The float network and two others.
        limit: How many times the second one's time it may take.
        beside_float: Whether it is to be told, too, if it is slower than float.
    """
    low, high = raced.ratio(2, over=1)
    if beside_float and low <= limit:
        least, most = raced.ratio(2)
        return high <= limit and (least > 1 or most <= _NO_SLOWER)
    return low > limit or high <= limit


def is_better(raced: Raced, first: float, other: float, *, limit: float) -> bool:
    """Return whether another network is to be taken in the place of the first one made.

    Args:
        raced: The float network, the first and the other.
        first: The worst signal-to-noise ratio of the first one's outputs, in dB.
        other: The same of the other.
        limit: How many times the first one's time the other may take.
    """
    low, high = raced.ratio(2, over=1)
    if low > limit or high <= 1:
        return high <= 1
    may_be_slow, was_slow = (raced.ratio(one)[1] > _NO_SLOWER for one in (2, 1))
    return (high <= limit or other >= first) and not (may_be_slow and not was_slow)


def _payable(first: float, other: float, slack: float) -> float:
    """Return what share of the first one's time may be paid for the other's accuracy."""
    lacks = bool(slack) and first < min(ENOUGH_DB, other - _MUCH_DB)
    return max(slack, _LACKING) if lacks else slack


def _worst(made: Attempt) -> float:
    return min(made.quantized.report.snr_db.values(), default=ENOUGH_DB)


def _fewer(
    structure: Structure, measured: Measured, slack: float, is_slow: Callable[[], bool]
) -> Iterator[Mapping[str, str]]:
    """Yield more layers that may be better in float, as long as the result may be slower."""
    for part in _FEWER:
        names = given_back(structure, measured, slack, kept=part) if is_slow() else []
        if names:
            yield dict.fromkeys(names, REASON)


def _better(made: Attempt, measured: Measured, slack: float) -> Iterator[Mapping[str, str]]:
    """Yield layers that may be better in float, and why: by time and error, the most of them first.

    Where accuracy lacks, more of them than the least time asks for.
    """
    choices = {tuple(given_back(made.structure, measured, slack)): REASON}
    lacks = ENOUGH_DB - _worst(made)
    for part in _PARTS if slack and lacks > 0 else ():
        enough = 10 ** (-part * lacks / 10)
        choices.setdefault(tuple(given_back(made.structure, measured, slack, enough)), BOUGHT)
    for names in sorted(choices, key=len, reverse=True):
        if names:
            yield dict.fromkeys(names, choices[names])
    if made.spared:
        yield made.spared


@dataclass(frozen=True, kw_only=True)
class ParetoResult:
    """What accuracy costs: choices of what runs on integers, the fastest first.

    Attributes:
        float_ms: The time of the float network, of its kernels alone.
        on_integers: All on integers.
        points: The most exact choice for each share of the least time that may be paid.
    """

    float_ms: float
    on_integers: Point
    points: tuple[Point, ...]


SLACKS = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
"""How much of the least time may be paid."""


def pareto(network: bytes | str, made: Attempt) -> ParetoResult:
    """Work out what accuracy costs, from the time of every kernel, in float and on integers.

    Args:
        network: The float network.
        made: What was made of it, all on integers.
    """
    measured = _measured(network, made, _one_image(network, made))
    all_of_it, points = front(made.structure, measured, SLACKS)
    return ParetoResult(
        float_ms=1e3 * sum(measured.in_float.values()),
        on_integers=all_of_it,
        points=tuple(points),
    )


def _one_image(network: bytes | str, made: Attempt) -> Tensors:
    opened = session(network, optimize=False)
    return synthetic_inputs(opened, images=1, size=made.sizes.compare)


def _measured(network: bytes | str, made: Attempt, feeds: Tensors) -> Measured:
    """Time every kernel of both networks."""

    def timed(network: bytes | str) -> tuple[dict[str, KernelTime], dict[str, KernelTime]]:
        both = [network, made.quantized.model]
        in_float, on_integers = kernel_times_in_turn(both, feeds, seconds=2 * SECONDS)
        return in_float, on_integers

    structure = made.structure
    in_float, on_integers = timed(network)
    if _owned(structure, in_float) < _MOST and (other := named(network)) is not network:
        in_float, on_integers = timed(other)
    return Measured(
        _by_operator(structure, in_float),
        _by_operator(structure, on_integers),
        _elements(structure, in_float) | _elements(structure, on_integers),
    )


_MOST = 0.9
"""Part of the time of a float network from which on it is surely known whose kernels take it. Where
operators have names it is 0.96 and more, or 0.8 with many copies between layouts; without, 0.04."""


def _owned(structure: Structure, kernels: Mapping[str, KernelTime]) -> float:
    """Return the part of the time of all kernels of which it is known what operators they are."""
    known = sum(_by_operator(structure, kernels).values())
    return known / sum(one.seconds for one in kernels.values())


def _by_operator(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, float]:
    taken: dict[str, float] = {}
    for kernel, owner in owners(structure, kernels).items():
        taken[owner] = taken.get(owner, 0.0) + kernels[kernel].seconds
    return taken


def _elements(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, int]:
    found = owners(structure, kernels)
    return {owner: kernels[kernel].elements for kernel, owner in found.items()}
