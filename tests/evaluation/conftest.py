"""A tiny data set with its card."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import zoo

CARD = """
name = "tiny"
task = "{task}"

[dataset]
dir = "images"
{dataset}

[input]
width = 2
height = 2
{input}

[decode]
{decode}
"""

MakeCard = Callable[..., Path]


@pytest.fixture
def make_card(tmp_path: Path) -> MakeCard:
    """Write a card and parts of random images beside it; sizes holds the images of each part."""

    def make(
        sizes: Sequence[int] = (5, 4),
        *,
        classes: int = 12,
        shape: tuple[int, ...] = (2, 2, 3),
        arrays: Mapping[str, object] | None = None,
        task: str = "classification",
        **sections: str,
    ) -> Path:
        rng = np.random.default_rng(7)
        (tmp_path / "images").mkdir()
        for i, size in enumerate(sizes):
            part = {
                "images": rng.integers(0, 256, (size, *shape), np.uint8),
                "labels": rng.integers(0, classes, size),
            } | dict(arrays or {})
            np.savez(tmp_path / "images" / f"part-{i:02}.npz", **part)
        path = tmp_path / "card.toml"
        filled = {"dataset": "", "input": "", "decode": ""} | sections
        path.write_text(CARD.format(task=task, **filled))
        return path

    return make


@pytest.fixture(name="zoo", scope="session")
def zoo_folder() -> Path:
    """The folder of real networks and images."""
    return zoo.folder()
