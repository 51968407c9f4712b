"""What is kept of an evaluation."""

from math import inf, isnan, nan
from types import SimpleNamespace

import pytest

from spiq.evaluation.estimates import Estimate
from spiq.sweep.measures import sweep_score
from spiq.sweep.summary import best

EXACT = Estimate(value=90.0, low=90.0, high=90.0)


@pytest.mark.parametrize(
    ("ratios", "worst"),
    [
        ({"a": nan, "b": 20.0, "c": 30.0}, 20.0),  # a is the same for all images: it has none
        ({"a": None, "b": None}, None),
        ({"a": None, "b": 20.0}, 20.0),
    ],
)
def test_the_worst_output_is_one_that_has_a_ratio(
    ratios: dict[str, float | None], worst: float | None
) -> None:
    assert worst_of(ratios) == worst


def test_where_no_output_has_a_ratio_none_is_the_best() -> None:
    assert isnan(worst_of({"a": nan}) or 0.0) and isnan(worst_of({"a": None, "b": nan}) or 0.0)
    assert best([nan, None, 20.0], digits=1) == [False, False, True]
    assert best([nan, inf, 20.0], digits=1) == [False, True, False]
    assert best([nan, None], digits=1) == [False, False]


def worst_of(ratios: dict[str, float | None]) -> float | None:
    beside = SimpleNamespace(snr_db=ratios, difference=EXACT, agreement=99.0)
    score = SimpleNamespace(comparison=beside, metric=EXACT)
    return sweep_score(score, score, images=1, seconds=1.0, size=1).worst_snr_db
