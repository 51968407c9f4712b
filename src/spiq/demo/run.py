"""The demo: the shipped network as float, with one scalar range per tensor, and as spiq.

All of that stays in memory; the page about the last form is text, for the caller to put somewhere.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from spiq.config import Config
from spiq.demo import card_path, model_path
from spiq.evaluation import Card, evaluate, latency, read
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.latency import LatencyScore
from spiq.evaluation.task import Score
from spiq.pipeline import quantize

STEPS = ("static", "spiq", "accuracy", "latency")

_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class DemoRow:
    """One form of the network."""

    name: str
    bytes: int
    top1: Estimate
    agreement: float
    """Percent of images to which it gives the float network's answer."""
    snr_db: float | None
    """Signal-to-noise ratio of the logits on the test images; None for the float network."""
    milliseconds: float
    """Median time of one image."""
    times_as_fast: Estimate | None
    """As float: its median time over this one's, in the same rounds, so that above 1 is faster;
    None for the float network."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What ``spiq demo`` shows."""

    network: str
    images: int
    seconds: float
    rows: tuple[DemoRow, ...]


def run(*, seconds: float = _SECONDS, progress: Callable[[str], None] | None = None) -> DemoResult:
    """Quantize the shipped network by both methods and measure all three forms.

    Args:
        seconds: At most so long for the latency.
        progress: Told the name of each step of ``STEPS`` as it begins.
    """
    begin, tell = time.perf_counter(), progress or (lambda step: None)
    card = read(card_path())
    forms = {"float32": model_path().read_bytes()}
    for method in ("static", "spiq"):
        tell(method)
        forms[f"{method} int8"] = quantize(forms["float32"], _config(method, card)).model
    tell("accuracy")
    scores = evaluate(list(forms.values()), card, batch=16)
    tell("latency")
    times = latency.compare(list(forms.values()), seconds=seconds)
    rows = zip(forms.items(), scores.models, times.models, strict=True)
    return DemoResult(
        network=card.name,
        images=scores.images,
        seconds=time.perf_counter() - begin,
        rows=tuple(_row(name, len(model), score, timed) for (name, model), score, timed in rows),
    )


def page() -> str:
    """Return the report of the spiq form, as HTML.

    Raises:
        ConfigError: What draws charts is not installed.
    """
    from spiq.report.drawn import drawing
    from spiq.report.make import of_result, render

    with drawing() as drawn:
        network, config = model_path().read_bytes(), _config("spiq", read(card_path()))
        command = ("spiq", "quantize", str(model_path()))
        made = quantize(network, config)
        subject = of_result(made, network, name="the demo", command=command, config=config)
        return render(subject, drawn)


def _config(method: str, card: Card) -> Config:
    """Return the options, which say what the card says of the pixels."""
    return Config(
        method=method,
        input_mean=card.input.mean,
        input_std=tuple(std * card.input.divide_after for std in card.input.std),
    )


def _row(name: str, size: int, score: Score, timed: LatencyScore) -> DemoRow:
    other = score.comparison
    return DemoRow(
        name=name,
        bytes=size,
        top1=score.metric,
        agreement=100.0 if other is None else other.agreement,
        snr_db=None if other is None else next(iter(other.snr_db.values())),
        milliseconds=timed.median_ms,
        times_as_fast=timed.times_as_fast,
    )
