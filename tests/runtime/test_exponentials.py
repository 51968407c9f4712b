"""What is said of outputs that an Exp makes."""

import numpy as np
import pytest

from spiq.runtime.agreement import Agreement, agreements

RNG = np.random.default_rng(0)


def said(spread: float, off: float, *, known: bool = True, boxes: float = 1.0) -> Agreement:
    """Return what is said of 4 batches of log-normal numbers beside as many plain ones.

    Args:
        spread: Deviation of their logarithm.
        off: Deviation of the error in front of the Exp.
        known: Whether it is known that an Exp made them.
        boxes: What they are multiplied by.
    """
    made = np.array([True, False]).reshape(1, 2, 1)
    expected, actual = [], []
    for _ in range(4):
        logs, plain = RNG.standard_normal((2, 8, 1, 200))
        errors = RNG.standard_normal((2, 8, 1, 200))
        r = np.concatenate([boxes * np.exp(spread * logs), plain], axis=1)
        y = np.concatenate([boxes * np.exp(spread * logs + off * errors[0]), plain], axis=1)
        y[:, 1:] += 0.01 * errors[1]
        expected.append({"y": r})
        actual.append({"y": y})
    found = agreements(expected, actual, {"y": made} if known else {})["y"]
    assert isinstance(found, Agreement)
    return found


@pytest.mark.parametrize("shapes", [[(), ()], [(1, 2, 8), (1, 2, 9)]])
def test_outputs_without_rows_or_of_changing_shapes_are_compared_as_they_are(
    shapes: list[tuple[int, ...]],
) -> None:
    each = [{"y": np.exp(RNG.standard_normal(shape))} for shape in shapes]
    made = np.ones((1,) * len(shapes[0]), bool)
    found = agreements(each, each, {"y": made})["y"]
    assert found == agreements(each, each)["y"]


def test_logs_that_are_far_off_may_leave_little() -> None:
    plain, found = said(0.8, 0.22, known=False), said(0.8, 0.22)
    assert plain.low > 4 and found.low < 10
    assert found.low < plain.low - 3 and found.db < plain.db


def test_small_errors_of_logs_are_no_reason_to_warn() -> None:
    assert said(0.4, 0.03).low > 15


def test_what_an_exp_makes_counts_by_its_share() -> None:
    assert said(0.4, 0.2, boxes=0.01).low > said(0.4, 0.2).low + 20


@pytest.mark.parametrize("shape", [(2,), (1, 3, 1), (1, 2, 1, 1)])
def test_what_does_not_fit_changes_nothing(shape: tuple[int, ...]) -> None:
    r = RNG.standard_normal((4, 2, 50))
    expected, actual = [{"y": r}], [{"y": r + 0.01}]
    plain = agreements(expected, actual)
    assert agreements(expected, actual, {"y": np.ones(shape, bool)}) == plain


def test_zeros_and_turned_signs_are_no_logs() -> None:
    r = np.zeros((4, 2, 50))
    r[:, 1] = RNG.standard_normal((4, 50))
    y = r + 0.01
    y[:, 0] = -1e-9
    made = np.array([True, False]).reshape(1, 2, 1)
    assert agreements([{"y": r}], [{"y": y}], {"y": made}) == agreements([{"y": r}], [{"y": y}])
