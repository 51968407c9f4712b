"""Labels that a network answers consistently, but by another number: classes in another order.

With the labels L and the answers A of n images, two signs tell how consistent a network is. One is
the answer that is most frequent among the *other* images of a label, where a label has several; the
other one a distance s that is the same for most images, as where one side counts the background:

    right      = #{A_i = L_i} / n
    consistent = max(#{A_i = most frequent A_j of L_j = L_i, j != i}, max_s #{A_i = L_i + s}) / n

A network that sees its classes in the order of the labels has consistent = right, about; one whose
classes are numbered otherwise is right by chance, and consistent all the same. A network that
always gives one answer is consistent, too: the answers must differ from label to label.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]

_LEAST = 10
"""Images that a verdict is founded on, at least."""

_GAP, _TIMES = 0.2, 2
"""How much more often answers are consistent than right, at least: a judgement. Seven networks of
CIFAR-10 and ImageNet, 58 to 86 % of 400 images right, show no sign; with their answers moved by one
class, all do, and with one answer for all images, none."""

_DISTINCT = 0.6
"""Share of the labels with a most frequent answer of their own, at least."""


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    """Labels that go by another order than the answers."""

    right: float
    """Share of the images, likewise."""
    consistent: float
    label: int
    """The label that is answered by another class most often."""
    answer: int
    shift: int
    """What most answers are above their label; 0: there is no such number."""

    def said(self, name: Callable[[int], str]) -> str:
        """Say what was seen and what to look at."""
        moved = f", as if classes were numbered {self.shift:+d}" if self.shift else ""
        return (
            f"labels and answers go together, but not by number: {100 * self.right:.0f} % are "
            f"right, {100 * self.consistent:.0f} % would be in another order of the classes "
            f"({name(self.label)}, label {self.label}, is answered as class {self.answer}{moved}): "
            "give the classes in the network's order, by [dataset] class_list or [decode] "
            "class_names"
        )


def mistaken(labels: Ints, answers: Ints) -> Mistaken | None:
    """Look for another order of the classes, from labels and answers, (n,) each; None: no sign."""
    if len(labels) < _LEAST:
        return None
    agree, usual = _by_label(labels, answers)
    moved, shift = _by_distance(labels, answers)
    if moved > agree:
        agree, usual = moved, {label: label + shift for label in usual}

    right, consistent = float((labels == answers).mean()), agree / len(labels)
    if consistent < max(right + _GAP, _TIMES * right):
        return None
    if len(set(usual.values())) < max(2, _DISTINCT * len(usual)):
        return None

    def how_often(label: int) -> int:
        other = usual[label] != label
        return int(((labels == label) & (answers == usual[label])).sum()) * other

    example = max(usual, key=how_often)
    return Mistaken(
        right=right,
        consistent=consistent,
        label=example,
        answer=usual[example],
        shift=shift if moved > len(labels) / 2 else 0,
    )


def _by_label(labels: Ints, answers: Ints) -> tuple[int, dict[int, int]]:
    """How many answers are those of the other images of their label, and the usual ones."""
    agree, usual = 0, dict[int, int]()
    for label in np.unique(labels):
        values, counts = np.unique(answers[labels == label], return_counts=True)
        best = int(counts.max())
        if best > 1 and (counts == best).sum() == 1:
            agree += best
        usual[int(label)] = int(values[counts.argmax()])
    return agree, usual


def _by_distance(labels: Ints, answers: Ints) -> tuple[int, int]:
    """How many answers are as far above their label as most are, and how far that is.

    Answers all alike are no distance.
    """
    distances, counts = np.unique(answers.astype(np.int64) - labels, return_counts=True)
    shift = int(distances[counts.argmax()])
    there = answers[answers - labels == shift]
    return (int(counts.max()), shift) if len(np.unique(there)) > 1 and shift else (0, 0)
