"""Puts this folder on the import path, marks the tests that quantize networks end to end, and keeps
small pictures: tests show the same ones to many networks of a few pixels, and a quarter of their
time went into drawing."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from spiq.config import Config
from spiq.runtime import synthetic

END_TO_END = (
    "test_pipeline.py", "test_fallback.py", "test_spellings_end_to_end.py", "test_demo.py",
    "test_docs_plans.py", "test_docstrings.py", "cli", "emit", "evaluation", "inspection",
    "methods", "planning/choose", "planning/plan", "reconstruct", "runtime", "sweep",
)  # fmt: skip
"""Files and folders whose tests run networks in the runtime, most of them more than once."""

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE)
        if any(path.is_relative_to(place) for place in END_TO_END):
            item.add_marker("end_to_end")


Draw = Callable[[int, tuple[int, int, int]], np.ndarray]
_SMALL, _KEPT = 1 << 14, 1024


def drawn_once(draw: Draw) -> Draw:
    """Return the same function of a picture's number and shape, small pictures kept."""
    small = lru_cache(maxsize=_KEPT)(draw)

    def picture(number: int, shape: tuple[int, int, int]) -> np.ndarray:
        return (small if math.prod(shape) <= _SMALL else draw)(number, shape)

    return picture


synthetic.picture = drawn_once(synthetic.picture)
synthetic.soft_picture = drawn_once(synthetic.soft_picture)


Config.__init__.__kwdefaults__["timing"] = False
"""What a network is given back depends on the machine: tests that are about that ask for it."""
