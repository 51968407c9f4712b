"""What was found of a folder and of a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spiq.stats.inputs.conventions import Convention

Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A data set by its files."""

    dir: Path
    layout: str
    tasks: tuple[str, ...]
    """What it can be for."""
    why: str
    """What it was recognized by."""
    keys: Mapping[str, str | list[int]] = field(default_factory=dict)
    """Keys of [dataset] beside ``dir`` and ``layout``."""
    names: tuple[str, ...] = ()
    """Of the classes, in the order that the data set has them; (): they have none."""
    ordered: bool = True
    """Whether that is an order that somebody chose, not the alphabet's."""
    sizes: frozenset[Size] = frozenset()
    """Of some of the pictures; empty where they are arrays, or nothing reads them."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network by its file."""

    path: Path
    channels: int
    size: Size | None
    """Of its input; None: open."""
    outputs: Mapping[str, tuple[int, ...]]
    """Their shapes for one image, without the batch."""
    tried: Size
    """The size of the image that they are for."""
    conventions: tuple[Convention, ...]
    """Ways to hand pictures to it that are not out of the question, the likeliest first."""
    names: tuple[str, ...] = ()
    """Of its classes, where the file has them."""
    ends_in: str = ""
    """Operator type of its first output."""
