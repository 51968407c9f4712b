"""Numbers of pictures that fit what a network takes at once."""

import pytest

from small_modules import torch  # noqa: F401 - skips where PyTorch is missing
from spiq.reconstruct.batches import in_batches
from spiq.reconstruct.efforts import EFFORTS


@pytest.mark.parametrize("batch", [1, 5, 48, 256, 1000])
def test_some_are_left_to_learn_from(batch: int) -> None:
    effort = in_batches(EFFORTS["minutes"], batch)
    numbers = (effort.pictures, effort.held, effort.batch)
    assert all(number % batch == 0 for number in numbers)
    assert effort.pictures - effort.held >= batch


def test_any_number_is_as_it_was() -> None:
    assert in_batches(EFFORTS["hours"], None) == EFFORTS["hours"]
