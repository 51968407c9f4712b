"""What is kept of an evaluation."""

from math import nan
from types import SimpleNamespace

import pytest

from spiq.evaluation.estimates import Estimate
from spiq.sweep.measures import sweep_score

EXACT = Estimate(value=90.0, low=90.0, high=90.0)


@pytest.mark.parametrize(
    ("ratios", "worst"),
    [
        ({"a": nan, "b": 20.0, "c": 30.0}, 20.0),  # a is the same for all images: it has none
        ({"a": nan, "b": None}, None),
        ({"a": None, "b": 20.0}, 20.0),
    ],
)
def test_the_worst_output_is_one_that_has_a_ratio(
    ratios: dict[str, float | None], worst: float | None
) -> None:
    beside = SimpleNamespace(snr_db=ratios, difference=EXACT, agreement=99.0)
    score = SimpleNamespace(comparison=beside, metric=EXACT)
    assert sweep_score(score, score, images=1, seconds=1.0, size=1).worst_snr_db == worst
