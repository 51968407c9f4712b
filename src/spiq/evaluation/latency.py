"""Latency of several networks, measured in one interleaved run.

Rounds are those of :mod:`spiq.runtime.timing`. A network is so many *times as fast* as the first,

    median over the rounds of the first's time / median over the same rounds of its own,

above 1 where it is faster, with a bootstrap interval over the rounds: both medians are of the same
draws.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import ConfigError, ModelError
from spiq.evaluation.estimates import Estimate, bootstrapped
from spiq.evaluation.runners import fits, names, shape_text
from spiq.runtime.engines import ONNXRUNTIME, Model, named_in, opened_in
from spiq.runtime.opened import Opened, Port, Tensors
from spiq.runtime.peak import Chain, best_of, chains, work
from spiq.runtime.profile import kernel_times
from spiq.runtime.session import call, session
from spiq.runtime.timing import Progress, Run, Times, measure, plan, ratios


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """What one operator takes, as ONNX Runtime runs it, on one thread."""

    name: str
    milliseconds: float
    share: float
    """Of all operators' time, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class LatencyScore:
    """The latency of one network."""

    model: str
    median_ms: float
    p90_ms: float
    per_second: float
    """Rows of the batch, such as images, at the median."""
    calls_per_round: int
    """A round's time is the mean of that many calls."""
    times_as_fast: Estimate | None = None
    """As the first network: its median time over this one's, in the same rounds, so that above 1 is
    faster; None for the first network."""
    share_of_peak: float | None = None
    """Of what the int8 kernel reaches at its best, from 0 to 1, where it was asked for: the first
    network's multiply-accumulates over this network's time."""
    operators: tuple[OperatorTime, ...] = ()
    """Those that take longest, where they were asked for."""


@dataclass(frozen=True, kw_only=True)
class LatencyResult:
    """What :func:`compare` found."""

    rounds: int
    threads: int
    batch: int
    seconds: float
    models: tuple[LatencyScore, ...]
    peak_gmacs: float | None = None
    """Billions of multiply-accumulates per second that the int8 kernel reaches at its best, in the
    same rounds; None where that was not asked for."""


@dataclass(frozen=True, kw_only=True)
class LatencyRuns:
    """What :func:`compare` found, with several numbers of threads or sizes of a batch."""

    runs: tuple[LatencyResult, ...]


def compare(
    models: Sequence[Model],
    *,
    threads: int = 1,
    batch: int = 1,
    rounds: int = 100,
    seconds: float = 20.0,
    runtimes: Sequence[str] = (ONNXRUNTIME,),
    operators: int = 0,
    peak: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> LatencyResult:
    """Measure how long one call of each network takes, on synthetic inputs.

    Args:
        models: Paths or bytes of ONNX files.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Size of a dynamic first dimension.
        rounds: At most that many rounds.
        seconds: As many rounds as fit, but at least MIN_ROUNDS (or ``rounds`` where that is less).
        runtimes: Names of the runtimes, see :mod:`spiq.runtime.engines`: each network is timed in
            each of them.
        operators: How many operators of each network to name, the most expensive ones, where ONNX
            Runtime runs it.
        peak: Whether to time the int8 kernel at its best, too, and say what share of that each
            network reaches, see :mod:`spiq.runtime.peak`.
        shapes: Input name to shape, for inputs with other dynamic dimensions.
        progress: Called with rounds done and rounds in all.

    Raises:
        ModelError: A network cannot be loaded or run.
        ConfigError: A dynamic dimension has no size, or an option makes no sense.
    """
    _check_counts(models, batch, rounds, seconds)
    begin, all_of_them = time.perf_counter(), named_in(runtimes, names(models))
    called = [name for _, _, name in all_of_them]
    opened = [
        opened_in(runtime, models[i], threads=threads, name=name)
        for i, runtime, name in all_of_them
    ]
    feeds = [
        _feeds(name, each, batch, shapes or {}) for name, each in zip(called, opened, strict=True)
    ]
    suited = chains() if peak else []
    runs = [_runner(*given) for given in zip(called, opened, feeds, strict=True)]
    runs += [_chain_runner(one, threads, batch) for one in suited]
    calls, rounds = plan(runs, rounds=rounds, seconds=seconds)
    times = measure(runs, calls=calls, rounds=rounds, progress=progress)

    most = _most(times[:, len(called) :], suited, batch)
    macs = work(models[0]) if peak else None
    slowest = [
        _slowest(models[i], feeds[place], operators) if runtime == ONNXRUNTIME else ()
        for place, (i, runtime, _) in enumerate(all_of_them)
    ]
    return LatencyResult(
        rounds=rounds,
        threads=threads,
        batch=batch,
        seconds=time.perf_counter() - begin,
        models=tuple(
            replace(
                _score(name, i, calls[i], times, batch),
                operators=slowest[i],
                share_of_peak=_share(times[:, i], macs, most, batch),
            )
            for i, name in enumerate(called)
        ),
        peak_gmacs=None if most is None else most / 1e9,
    )


def _check_counts(models: Sequence[Model], batch: int, rounds: int, seconds: float) -> None:
    if not models or batch < 1 or rounds < 1 or not 0 < seconds < math.inf:
        raise ConfigError(
            f"{len(models)} models, batch {batch}, rounds {rounds}, seconds {seconds}: "
            "each must be above 0, and finite"
        )


def _chain_runner(chain: Chain, threads: int, batch: int) -> Run:
    opened = session(chain.model, threads=threads)
    return _runner("the kernel's best", opened, _feeds("the kernel's best", opened, batch, {}))


def _most(times: Times, timed: Sequence[Chain], batch: int) -> float | None:
    """Return the most multiply-accumulates per second; None where nothing was timed."""
    return best_of((np.median(times, axis=0) / batch).tolist(), timed) if timed else None


def _share(times: Times, macs: int | None, most: float | None, batch: int) -> float | None:
    if macs is None or most is None:
        return None
    return batch * macs / float(np.median(times)) / most


def times_as_fast(times: Times, first: Times) -> Estimate:
    """Median of ``first`` over that of ``times``, both (rounds,); above 1 is faster."""
    return bootstrapped(float(np.median(first) / np.median(times)), ratios(times, first))


def _score(name: str, i: int, calls: int, times: Times, batch: int) -> LatencyScore:
    return LatencyScore(
        model=name,
        median_ms=1e3 * float(np.median(times[:, i])),
        p90_ms=1e3 * float(np.quantile(times[:, i], 0.9)),
        per_second=batch / float(np.median(times[:, i])),
        calls_per_round=calls,
        times_as_fast=times_as_fast(times[:, i], times[:, 0]) if i else None,
    )


def _slowest(model: Model, feeds: Tensors, count: int) -> tuple[OperatorTime, ...]:
    """Return the operators of a network that take longest."""
    if not count:
        return ()
    network = model if isinstance(model, bytes) else os.fspath(model)
    found = {
        name: one.seconds for name, one in kernel_times(network, feeds, seconds=_PROFILED).items()
    }
    longest = sorted(found, key=lambda name: -found[name])[:count]
    total = sum(found.values())
    return tuple(
        OperatorTime(name=name, milliseconds=1e3 * found[name], share=found[name] / total)
        for name in longest
    )


_PROFILED = 0.5
"""Seconds that a network is profiled for."""


def _runner(name: str, opened: Opened, feeds: Tensors) -> Run:
    return lambda: call(opened, None, feeds, where=name)


def _feeds(name: str, opened: Opened, batch: int, shapes: Mapping[str, Sequence[int]]) -> Tensors:
    """Return synthetic inputs of a network, by name."""
    declared = opened.get_inputs()
    if unknown := set(shapes) - {value.name for value in declared}:
        raise ConfigError(
            f"{name}: shapes names {', '.join(sorted(unknown))}, but its inputs are "
            f"{', '.join(value.name for value in declared)}"
        )
    rng = np.random.default_rng(0)
    return {
        value.name: _array(name, value, _shape(name, value, batch, shapes), rng)
        for value in declared
    }


def _shape(
    name: str, value: Port, batch: int, shapes: Mapping[str, Sequence[int]]
) -> tuple[int, ...]:
    declared = list(value.shape)
    where = f"{name}: input {value.name!r} has shape {shape_text(declared)}"
    sizes = list(shapes.get(value.name, [batch, *declared[1:]] if declared else []))
    if not fits(sizes, declared):
        raise ConfigError(f"{where}, which {tuple(sizes)} does not fit: change shapes or batch")
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            raise ConfigError(
                f"{where}: dimension {axis} ({size}) is dynamic: give all sizes, with --shape "
                f"{value.name}={','.join(str(one) for one in sizes)} (shapes in Python)"
            )
    return tuple(sizes)


def _array(
    name: str, value: Port, shape: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Normal floats, any bytes; 0 for wider integers, which is a valid index of every table."""
    floats = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(float16)": np.float16,
    }
    wide = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
    if value.type in floats:
        return rng.standard_normal(shape).astype(floats[value.type])
    if value.type in wide:
        return np.zeros(shape, wide[value.type])
    if value.type == "tensor(uint8)":
        return rng.integers(0, 256, shape, np.uint8)
    if value.type == "tensor(int8)":
        return rng.integers(-128, 128, shape, np.int8)
    raise ModelError(f"{name}: input {value.name!r} is {value.type}, for which there is no input")
