"""Efforts of minutes and hours: learn from a plan on, and take what comes of it unless worse.

Blocks got better on pictures that they did not learn from, and so did the network, or nothing comes
of it; whether it did on others, too, is seen where results are compared
(:mod:`spiq.runtime.agreement`).
"""

import time
from dataclasses import replace

from spiq.config import SECONDS, Config
from spiq.decision import Decided
from spiq.errors import ConfigError, UnsupportedError
from spiq.quantized import Quantized, QuantizeResult
from spiq.realize import realize
from spiq.run import Run
from spiq.speed import no_slower

_UNSURE_DB = 1.0
"""By how much less SNR what was learned may have on the pictures that results are compared on: each
block got better on pictures nearer to real ones. (ResNet-8 at W4A4: 9.8 dB where seconds have 9.9,
and 75.4 % on real images where these have 73.6.)"""


def check_effort(run: Run, config: Config) -> None:
    """Check that more than seconds can be spent on a network, before any are.

    Raises:
        ConfigError: PyTorch is not installed, or has no such device.
        UnsupportedError: The network is worked on in parts.
    """
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"effort {config.effort} needs PyTorch: pip install 'spiq[torch]'"
        ) from error
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, and PyTorch finds none: choose cpu, or auto")
    if run.is_large:
        raise UnsupportedError(
            f"effort {config.effort}: the network is so large that it is worked on in parts, and "
            "blocks are learned in memory: use effort seconds"
        )


def with_effort(decided: Decided, made: Quantized, run: Run, config: Config) -> Quantized:
    """Learn what rounding in one go left to be found; keep what that made if learning is worse.

    Args:
        decided: Where to start, and what is known.
        made: What effort seconds makes of it.
        run: The call; the network has to be there once more (:attr:`Run.again`).
        config: Says how much is done, and where.
    """
    plan = replace(decided.plan, effort=config.effort)
    strong = realize(replace(decided, plan=plan), run, config)
    report = strong.quantized.report
    why = _why_not(strong.quantized, made.report)
    if why is not None:
        note = f"effort {config.effort} brought nothing{why}: what effort seconds gives is kept"
        seconds = time.perf_counter() - run.start
        notes = (*made.report.notes, note)
        return replace(made, report=replace(made.report, notes=notes, seconds=seconds))

    note = f"effort {config.effort} was taken{_compared(report, made.report)}"
    strong = replace(
        strong,
        quantized=replace(strong.quantized, report=replace(report, notes=(*report.notes, note))),
    )
    if made.report.latency is None:
        return strong.quantized
    run.tell("time")
    return no_slower(run.quickest, strong, None, 0.0) or strong.quantized


def _why_not(strong: Quantized, other: QuantizeResult) -> str | None:
    """Return why what was learned is not taken, to stand behind what it brought; None if it is."""
    if strong.plan.effort == SECONDS:
        return " that pictures kept from learning show beyond doubt"
    return None if _is_no_worse(strong.report, other) else _compared(strong.report, other)


def _is_no_worse(one: QuantizeResult, other: QuantizeResult) -> bool:
    """Return whether a result keeps about as much of the signal as another, or more."""
    if not other.snr_db.keys() <= one.snr_db.keys():
        return False
    gains = [one.snr_db[name] - before for name, before in other.snr_db.items()]
    return sum(gains) >= -_UNSURE_DB * len(gains)


def _compared(one: QuantizeResult, other: QuantizeResult) -> str:
    """Say what both have in the mean of the outputs."""
    names = other.snr_db.keys() & one.snr_db.keys()
    if not names:
        return " for what its blocks gained: no output has an SNR that effort seconds has, too"
    after, before = (sum(r.snr_db[name] for name in names) / len(names) for r in (one, other))
    return f", {after:.1f} dB of SNR where effort seconds has {before:.1f}"
