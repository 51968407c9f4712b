import numpy as np
import pytest

from spiq.evaluation.tasks.detection import disagreement
from spiq.evaluation.tasks.detection.boxes import Detections


def detections(*rows):
    """From rows (x1, y1, x2, y2, score, label)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(boxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].astype(int))


BOX = (0, 0, 10, 10, 0.8, 1)


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        pytest.param([], [], 0, id="both empty"),
        pytest.param([BOX], [], 1, id="one empty"),
        pytest.param([BOX], [BOX], 0, id="equal"),
        pytest.param([BOX], [(0, 0, 10, 10, 0.8, 2)], 1, id="another class"),
        pytest.param([BOX], [(7, 0, 17, 10, 0.8, 1)], 1, id="elsewhere"),
        pytest.param([BOX], [(1, 0, 11, 10, 0.4, 1)], 1 - 2 * 0.4 / 1.2, id="lower score"),
        pytest.param(
            [BOX],
            [(1, 0, 11, 10, 0.3, 1), (0, 0, 10, 10, 0.8, 1)],
            1 - 2 * 0.8 / 1.9,
            id="only the best partner counts",
        ),
    ],
)
def test_disagreement(first, other, expected):
    one, two = detections(*first), detections(*other)
    assert disagreement(one, two) == pytest.approx(expected, abs=1e-6)
    assert disagreement(two, one) == pytest.approx(expected, abs=1e-6)
