"""One picture of a data set, and where its label is."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture."""

    image: Path
    label: int | Path | None
    """Its class, or the file of its mask; None: it has no label."""
