"""Pictures and parts of a data set, as folders hold them."""

from collections.abc import Callable, Iterable
from pathlib import Path

from spiq.errors import ConfigError
from spiq.evaluation.guess.values import Size
from spiq.io.images import SUFFIXES, pillow

PARTS = ("val", "valid", "validation", "test", "testing", "train", "training", "trainval")
"""Parts of a data set, the one to measure on first."""


_SOME = 24
"""Pictures whose size is looked at."""


def part_of(root: Path, split: str | None, there: Callable[[str], bool]) -> str | None:
    """The part to measure on: the one wanted, or the first of the usual ones that is there."""
    if split is not None and not there(split):
        raise ConfigError(f"{root}: it has no part {split!r}, --split")
    return next((name for name in ([split] if split else PARTS) if there(name)), None)


def inside(root: Path) -> list[Path]:
    """The folders in a folder, sorted; none where it is not there."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def pictures(folder: Path) -> list[Path]:
    """The image files in a folder, sorted."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file())


def sizes_of(files: Iterable[Path]) -> frozenset[Size]:
    """The sizes of some pictures, from their headers."""
    image, found = pillow(), set()
    pictures = (path for path in files if path.suffix.lower() in SUFFIXES)
    for _, path in zip(range(_SOME), pictures, strict=False):
        try:
            with image.open(path) as opened:
                found.add(opened.size)
        except Exception:  # decoders fail with whatever a broken file leads them to
            continue
    return frozenset(found)
