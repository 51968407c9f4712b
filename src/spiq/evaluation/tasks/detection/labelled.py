"""The labelled boxes of one image, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spiq.io.video import Frame

SHARES = (1, 1)
"""The size of a picture in whose shares boxes are measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The labelled boxes of one image."""

    name: str
    picture: Path | Frame | None
    """None: the image is stored in an array."""
    size: tuple[int, int] | None
    """Width and height of the original picture; None: those of the file. SHARES: boxes are
    in shares of them."""
    boxes: npt.NDArray[np.float64]
    """(n, 4): x1, y1, x2, y2 in pixels of the original picture."""
    labels: npt.NDArray[np.intp]
    crowd: npt.NDArray[np.bool_]
    """Regions with many objects: what is found there counts neither as right nor as wrong."""
    difficult: npt.NDArray[np.bool_]
    """Objects that need not be found, and do not count if they are."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """One labelled box."""

    corners: tuple[float, ...]
    label: int
    crowd: bool = False
    difficult: bool = False


def gathered(
    name: str, picture: Path | Frame | None, size: tuple[int, int] | None, found: Sequence[Box]
) -> Truth:
    """The boxes of an image as arrays."""
    return Truth(
        name=name,
        picture=picture,
        size=size,
        boxes=np.array([box.corners for box in found], np.float64).reshape(-1, 4),
        labels=np.array([box.label for box in found], np.intp),
        crowd=np.array([box.crowd for box in found], np.bool_),
        difficult=np.array([box.difficult for box in found], np.bool_),
    )
