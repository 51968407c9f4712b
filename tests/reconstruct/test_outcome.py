"""What is better, beyond doubt, and what a network begins with."""

import pytest
from strong import begin

import network_kinds as kinds
from small_modules import torch
from spiq.reconstruct.outcome import missed, outcome_of, scale
from spiq.reconstruct.whole import Start


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ([1.0, 1.0, 1.0], [0.9, 0.8, 0.9], True),
        ([1.0, 1.0, 1.0], [0.9, 0.8, 1.2], False),  # in doubt
        ([1.0, 1.0, 9.0], [0.9, 0.9, 9.5], False),  # most gain, all together lose
        ([1.0, 1.0, 99.0], [1.3, 1.2, 90.0], False),  # all together gain, most lose
        ([0.0, 0.0], [0.0, 0.0], False),
        ([1.0], [0.5], True),
        ([1.0, 1.0], [0.5, float("nan")], False),
    ],
)
def test_better_is_beyond_doubt(before: list[float], after: list[float], better: bool) -> None:
    assert outcome_of((), torch.tensor(before), torch.tensor(after)).better is better


def test_errors_are_of_each_picture_relative_to_the_signal_of_all() -> None:
    wanted = {"y": torch.tensor([[1.0, -1.0], [2.0, -2.0]]), "z": torch.tensor([1.0, -1.0])}
    found = {name: x.clone() for name, x in wanted.items()}
    found["y"][0] += 1
    scales = {name: scale(x, None) for name, x in wanted.items()}
    first, second = missed(found, wanted, scales).tolist()
    assert first == pytest.approx(1 / wanted["y"].var().item() / 2) and second == 0


def test_what_a_network_begins_with_is_put_back_and_forth() -> None:
    form = begin(kinds.residual()).learned
    start, weight = Start(form), next(iter(form.weights.values()))
    with torch.no_grad():
        weight.shift += 0.5
    for found in (0.0, 0.5):
        start.put()
        assert weight.shift.unique().tolist() == [found]
