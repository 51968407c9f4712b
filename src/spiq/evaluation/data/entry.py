"""One picture of a data set, and where its label is."""

from dataclasses import dataclass
from pathlib import Path

from spiq.io.video import Frame


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture."""

    image: Path | Frame
    """Its file, or where it is in a video."""
    label: int | Path | None
    """Its class, or the file of its mask; None: it has no label."""

    @property
    def file(self) -> Path:
        """The file that it is in."""
        return self.image.path if isinstance(self.image, Frame) else self.image
