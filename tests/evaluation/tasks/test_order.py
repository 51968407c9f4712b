"""Labels in another order than the answers are noticed; poor networks are not suspected."""

import numpy as np
import pytest

from spiq.evaluation.tasks.order import mistaken

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(10), 8)


def noisy(answers, share=0.2):
    """Answers of which some are by chance."""
    wrong = RNG.random(len(answers)) < share
    return np.where(wrong, RNG.integers(0, 10, len(answers)), answers)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_labels_in_order_are_not_suspected(share):
    assert mistaken(LABELS, noisy(LABELS, share)) is None


def test_another_order_is_noticed():
    order = np.array([1, 0, 9, 5, 6, 7, 2, 3, 4, 8])
    found = mistaken(LABELS, noisy(order[LABELS]))
    assert found is not None
    assert (found.answer, found.shift) == (order[found.label], 0)
    assert "answered as class" in found.said(str)
    assert found.right < 0.2 < 0.6 < found.consistent


@pytest.mark.parametrize("each", [1, 5])
def test_a_background_before_the_classes_is_noticed(each):
    labels = np.repeat(np.arange(20), each)
    found = mistaken(labels, labels + 1)
    assert found is not None
    assert found.shift == 1
    assert "as if classes were numbered +1" in found.said(str)


def test_two_classes_in_the_wrong_order():
    labels = np.repeat([0, 1], 10)
    assert mistaken(labels, 1 - labels) is not None


@pytest.mark.parametrize("labels", [LABELS, np.repeat([0, 1], [30, 2]), np.arange(40)])
def test_a_network_that_always_says_the_same_is_not_suspected(labels):
    assert mistaken(labels, np.full(len(labels), 3)) is None


def test_few_images_say_nothing():
    assert mistaken(np.arange(5), np.arange(5) + 1) is None
