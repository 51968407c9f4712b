"""What is kept between calls is whole, found by what made it, and bounded."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from small_modules import torch
from spiq.errors import OutputError
from spiq.reconstruct import cache, shelf
from spiq.reconstruct.cache import Cache, digest, forget


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_arrays_come_back_and_nothing_else_is_left() -> None:
    kept = Cache("key")
    kept.save("one", {"a": np.arange(3)})
    kept.save("one", {"a": np.arange(4)})
    found = kept.load("one")
    assert found is not None and found["a"].tolist() == [0, 1, 2, 3]
    assert [path.name for path in kept.folder.iterdir()] == ["one.npz"]
    assert kept.trouble is None and kept.load("two") is None


def test_the_hash_tells_numbers_shapes_and_types_apart() -> None:
    parts = (torch.zeros(2), torch.zeros(1, 2), torch.zeros(2, dtype=torch.float64), 0.0, "0.0")
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest(np.zeros(2, np.float32)) == digest(torch.zeros(2))


def test_the_hash_tells_how_operators_are_computed_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not only how blocks are learned: what is kept would go on with other numbers."""
    room = tmp_path / "room"
    (room / "operators").mkdir(parents=True)
    monkeypatch.setattr(cache.emulation, "__file__", str(room / "__init__.py"))
    found = set()
    for text in ("1", "2"):
        (room / "operators" / "a.py").write_text(text)
        cache._method.cache_clear()
        found.add(digest("a"))
    cache._method.cache_clear()
    assert len(found) == 2


def test_a_full_disk_is_noted_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    kept = Cache("key")
    monkeypatch.setattr(np, "savez", full)
    kept.save("one", {"a": np.arange(3)})
    assert kept.trouble is not None and kept.trouble.endswith("No space left on device")
    assert list(kept.folder.iterdir()) == []


def test_what_was_not_used_for_longest_goes_and_what_was_used_lately_stays() -> None:
    for number, days in enumerate((9, 5, 3, 0)):
        kept = Cache(str(number))
        kept.save("one", {"a": np.zeros(1000)})
        then = time.time() - days * 86400
        os.utime(kept.folder, (then, then))
    assert Cache("1").load("one") is not None  # which makes it the newest
    forget(limit=17_000)
    left = [Cache(str(number)).folder.is_dir() for number in range(4)]
    assert left == [False, True, False, True]
    forget(limit=0)
    assert Cache("3").folder.is_dir()


def test_large_tensors_go_to_a_file_and_a_full_disk_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shelf, "_IN_MEMORY", 16)
    room = shelf.room(3, torch.zeros(2, 4))
    room[:] = 2.0
    assert room.shape == (3, 4) and room.sum().item() == 24

    def full(number: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf, "_claim", full)
    with pytest.raises(OutputError, match="No space left on device: free some, or name another"):
        shelf.room(3, torch.zeros(2, 4))
