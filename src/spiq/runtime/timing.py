"""How long networks take, in one interleaved run.

A machine's speed drifts, so times taken one after the other do not compare. Here round r times
every network once, in an order that rotates with r:

    A B C | B C A | C A B | ...

A network that takes less than SAMPLE_SECONDS is called several times per round. One call before
each sample is not timed: it waits out the previous network's threads, which spin on for a while,
and warms the caches.

Whether one network takes longer than another is asked round by round, since what else the machine
does is much the same within one: of n ratios, sorted, the median lies between the k-th and the
(n + 1 - k)-th with a probability of 95 %, whatever their distribution (the sign test; fewer than
six ratios have no such interval, and their ends are taken).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spiq.runtime.opened import Tensors
from spiq.runtime.session import call, session

SAMPLE_SECONDS = 0.002
WARM_UP_CALLS = 5
MIN_ROUNDS = 5
RESAMPLES = 2000

Times = npt.NDArray[np.float64]
Run = Callable[[], object]
Clock = Callable[[], float]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The time of a quantized network beside that of the float one: one thread, one batch.

    Attributes:
        float_ms: Time of one call of the float network: the mean of the faster half.
        int8_ms: The same of the quantized one.
        ratio: Its time over the float network's; below 1 it is faster.
        low: Lower end of the 95 % interval of the ratio.
        high: Upper end.
    """

    float_ms: float
    int8_ms: float
    ratio: float
    low: float
    high: float


def plan(
    runs: Sequence[Run],
    *,
    rounds: int,
    seconds: float,
    least: int = MIN_ROUNDS,
    warm_up: int = WARM_UP_CALLS,
    clock: Clock = time.perf_counter,
) -> tuple[tuple[int, ...], int]:
    """Warm up; return the calls per round of each network, and the number of rounds.

    Args:
        runs: A call of each network.
        rounds: At most that many.
        seconds: As many as fit, about.
        least: But at least that many, or ``rounds`` where that is less.
        warm_up: Calls of each that are not timed.
        clock: Says the time in seconds.
    """
    calls, round_seconds = [], 0.0
    for run in runs:
        run()
        call = min(timed(run, 1, clock) for _ in range(warm_up))
        calls.append(max(1, int(np.ceil(SAMPLE_SECONDS / max(call, 1e-7)))))
        round_seconds += call * (calls[-1] + 1)
    fitting = int(seconds / max(round_seconds, 1e-7))
    return tuple(calls), min(rounds, max(least, fitting))


def measure(
    runs: Sequence[Run],
    *,
    calls: Sequence[int],
    rounds: int,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> Times:
    """Return seconds per call, (rounds, networks).

    Args:
        runs: A call of each network.
        calls: Calls per round of each.
        rounds: How many there are.
        progress: Called with rounds done and rounds in all.
        clock: Says the time in seconds.
    """
    times = np.empty((rounds, len(runs)))
    for r in range(rounds):
        for position in range(len(runs)):
            i = (r + position) % len(runs)
            runs[i]()
            times[r, i] = timed(runs[i], calls[i], clock) / calls[i]
        if progress is not None:
            progress(r + 1, rounds)
    return times


def timed(run: Run, calls: int, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of so many calls."""
    begin = clock()
    for _ in range(calls):
        run()
    return clock() - begin


def ratios(times: Times, first: Times) -> Times:
    """Return medians of ``first`` over those of ``times``, both (rounds,), over the same draws."""
    drawn = np.random.default_rng(0).integers(len(times), size=(RESAMPLES, len(times)))
    return np.asarray(np.median(first[drawn], axis=1) / np.median(times[drawn], axis=1))


@dataclass(frozen=True)
class Raced:
    """The times of networks that took turns.

    Attributes:
        times: Seconds per call, (rounds, networks); the first network is the float one.
    """

    times: Times

    def latency(self, which: int) -> Latency:
        """Return the latency of a network beside the first."""
        return _latency(self.times[:, which], self.times[:, 0])

    def ratio(self, which: int, over: int = 0) -> tuple[float, float]:
        """Return the ends of the 95 % interval of a network's time over another one's."""
        ratios = np.sort(self.times[:, which] / self.times[:, over])
        outside = _outside(len(ratios))
        return float(ratios[outside]), float(ratios[-1 - outside])

    def median(self, which: int, over: int = 0) -> float:
        """Return the median of a network's time over another one's, round by round."""
        return float(np.median(self.times[:, which] / self.times[:, over]))


def _outside(count: int) -> int:
    """Return how many of sorted numbers lie on either side of a 95 % interval of the median."""
    rare, chance = 0.0, 0.5**count
    for number in range(count // 2):
        rare += chance
        if rare > _RARE:
            return max(number - 1, 0)
        chance *= (count - number) / (number + 1)
    return max(count // 2 - 1, 0)


_RARE = 0.025
"""Probability that the median lies beyond one end of an interval."""


def race(
    networks: Sequence[bytes | str],
    feeds: Tensors,
    *,
    seconds: float,
    told: Callable[[Raced], bool] | None = None,
) -> Raced:
    """Time networks beside the first, the float one, on one thread.

    Args:
        networks: Paths or bytes; all take the same inputs.
        feeds: The inputs.
        seconds: As many rounds as fit, but at least 3.
        told: Whether what is to be told can be; as long as not, there are as many rounds again,
            ``_PATIENCE`` times at most.
    """
    sessions = [session(network, threads=1) for network in networks]
    runs = [lambda one=one: call(one, None, feeds, where="the network") for one in sessions]
    return take_turns(runs, seconds=seconds, told=told)


def take_turns(
    runs: Sequence[Run],
    *,
    seconds: float,
    told: Callable[[Raced], bool] | None = None,
    clock: Clock = time.perf_counter,
) -> Raced:
    """Do what :func:`race` does, with calls of networks that are open."""
    most, least = MOST, FEWEST
    calls, rounds = plan(runs, rounds=most, seconds=seconds, least=least, warm_up=1, clock=clock)
    found = Raced(measure(runs, calls=calls, rounds=rounds, clock=clock))
    for _ in range(_PATIENCE - 1):
        if told is None or told(found):
            break
        more = measure(runs, calls=calls, rounds=rounds, clock=clock)
        found = Raced(np.concatenate([found.times, more]))
    return found


_PATIENCE = 4
"""How often there are as many rounds again."""


FEWEST, MOST = 3, 100
"""Rounds, or runs."""


def _latency(times: Times, first: Times) -> Latency:
    drawn = np.random.default_rng(0).integers(len(times), size=(RESAMPLES, len(times)))
    samples = faster_half(times[drawn]) / faster_half(first[drawn])
    in_float, on_integers = float(faster_half(first)), float(faster_half(times))
    low, high = np.quantile(samples, (0.025, 0.975))
    return Latency(
        float_ms=1e3 * in_float,
        int8_ms=1e3 * on_integers,
        ratio=on_integers / in_float,
        low=float(low),
        high=float(high),
    )


def faster_half(times: Times) -> Times:
    """Return the mean of the faster half along the last axis, when nobody else was busy."""
    return np.asarray(np.sort(times)[..., : (times.shape[-1] + 1) // 2].mean(-1))
