"""Counts in words: three digits and the unit that they need."""

import pytest

from spiq.report import html


@pytest.mark.parametrize(
    ("count", "size", "number"),
    [
        (999, "999 bytes", "999"),
        (1500, "1.5 kB", "1.5 k"),
        (999_949, "999.9 kB", "999.9 k"),
        (999_960, "1.0 MB", "1.0 M"),
        (2_100_000_000, "2.1 GB", "2.1 G"),
    ],
)
def test_counts_take_the_unit_that_they_are_rounded_to(count: int, size: str, number: str) -> None:
    assert html.size(count) == size
    assert html.number(count) == number


def test_an_unknown_count_says_so() -> None:
    assert html.number(None) == "not known"
