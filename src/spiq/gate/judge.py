"""Whether a quantized network is as good as its baseline.

    metric, agreement, SNR of each output     from an evaluation beside the float network
    size                                      of the file
    times as fast                             beside the float network, one thread; where asked for

A value passes where it is worse than the baseline's by no more than that allows. All but the speed
are the same on every run with one version of the runtime, so their tolerances are for changes of
versions; the speed varies by some percent.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spiq.errors import ConfigError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.latency import compare
from spiq.evaluation.loop import Result, evaluate
from spiq.evaluation.task import METRICS
from spiq.gate.baseline import Baseline, Better, Bound

SIZE, SPEED = "size, bytes", "times as fast"

_MAY_LOSE = {"points": 0.5, "agreement": 1.0, "db": 1.0}
_MAY_LOSE_OF = {SIZE: 0.02, SPEED: 0.15}
"""What a new baseline allows, in units and as shares of the value: judgements, to be edited."""

_EQUAL_DB = 200.0
"""What stands for the ratio of equal outputs."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value that was measured."""

    name: str
    now: float
    better: Better
    may_lose: float
    """What a new baseline allows."""


@dataclass(frozen=True, kw_only=True)
class GateCheck:
    """One value beside the baseline's."""

    name: str
    baseline: float
    now: float
    may_lose: float
    """How much worse it may be."""
    better: Better
    """Which way is better."""
    passed: bool

    @property
    def gain(self) -> float:
        """How much better it is; below 0 is worse."""
        return (self.now - self.baseline) * (1 if self.better == "higher" else -1)


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What the gate found."""

    card: str
    images: int
    reference: str
    """The float network."""
    network: str
    """The quantized one."""
    passed: bool
    checks: tuple[GateCheck, ...]
    warnings: tuple[str, ...] = ()
    """Why the figures may mean nothing, a line each."""


def measured(
    reference: str | os.PathLike[str],
    network: str | os.PathLike[str],
    card: Card,
    *,
    limit: int | None = None,
    threads: int = 0,
    speed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Result, tuple[Value, ...]]:
    """Measure ``network`` beside ``reference``, the float one.

    Raises:
        SpiqError: A network, the card or its data set is wrong, as in an evaluation.
    """
    result = evaluate([reference, network], card, limit=limit, threads=threads, progress=progress)
    values = [*_scores(result), _value(SIZE, float(os.path.getsize(network)), "lower")]
    if speed:
        faster = compare([reference, network], threads=1, seconds=5).models[1].times_as_fast
        assert faster is not None
        values.append(_value(SPEED, round(faster.value, 3), "higher"))
    return result, tuple(values)


def _scores(result: Result) -> list[Value]:
    score = result.models[1]
    beside = score.comparison
    assert beside is not None
    found = [
        Value(name=METRICS[result.task], now=round(score.metric.value, 3), better="higher",
              may_lose=_MAY_LOSE["points"]),
        Value(name="agreement %", now=round(beside.agreement, 3), better="higher",
              may_lose=_MAY_LOSE["agreement"]),
    ]  # fmt: skip
    for output, ratio in beside.snr_db.items():
        if ratio is not None and math.isnan(ratio):
            continue  # such as of an output that is the same for all images
        db = _EQUAL_DB if ratio is None else round(ratio, 2)
        found.append(
            Value(name=f"SNR of {output}, dB", now=db, better="higher", may_lose=_MAY_LOSE["db"])
        )
    return found


def _value(name: str, now: float, better: Better) -> Value:
    return Value(name=name, now=now, better=better, may_lose=round(now * _MAY_LOSE_OF[name], 3))


def judged(values: Sequence[Value], baseline: Baseline, result: Result) -> GateResult:
    """Compare what was measured with a baseline.

    Raises:
        ConfigError: The baseline is of another card, of other images, or checks something else.
    """
    if (baseline.card, baseline.images) != (result.card, result.images):
        raise ConfigError(
            f"the baseline is of {baseline.images} images of {baseline.card!r}, and these are "
            f"{result.images} of {result.card!r}: give the same --card and --limit, or --update"
        )
    known = {value.name: value for value in values}
    if unknown := [name for name in baseline.checks if name not in known]:
        raise ConfigError(
            f"the baseline checks {unknown[0]!r}, and what is measured is {', '.join(known)}: "
            "write it anew with --update"
        )
    checks = tuple(_checked(known[name], bound) for name, bound in baseline.checks.items())
    return GateResult(
        card=result.card,
        images=result.images,
        reference=result.models[0].model,
        network=result.models[1].model,
        passed=all(check.passed for check in checks),
        checks=checks,
        warnings=result.warnings,
    )


def _checked(value: Value, bound: Bound) -> GateCheck:
    worse = (bound.value - value.now) * (1 if value.better == "higher" else -1)
    return GateCheck(
        name=value.name, baseline=bound.value, now=value.now, may_lose=bound.may_lose,
        better=value.better, passed=worse <= bound.may_lose,
    )  # fmt: skip


def renewed(values: Sequence[Value], result: Result, old: Baseline | None) -> Baseline:
    """Return the baseline of what was measured.

    Args:
        values: What was measured.
        result: The evaluation.
        old: Whose tolerances stay, if there is one; what it does not list is not added.
    """
    kept = old.checks if old is not None else None
    checks = {
        value.name: Bound(
            value=value.now,
            may_lose=kept[value.name].may_lose if kept is not None else value.may_lose,
        )
        for value in values
        if kept is None or value.name in kept
    }
    return Baseline(card=result.card, images=result.images, checks=checks)
