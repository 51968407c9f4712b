"""Where the files of a card are, and that they stay where the card is.

A card comes from elsewhere as easily as a network does, so it names files of its own folder, and a
data set by a name that is looked for in ``data/`` of the folders above, too. What leads out of
there, such as an absolute path, is refused until whoever runs the command, or the card itself, says
``outside``. Links are followed: whoever makes one in the folder means it.
"""

import os
from pathlib import Path

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card, Dataset, Decode

_TELL = "if you trust the card, allow it with --outside, or outside = true in its [dataset]"


def find(dataset: Dataset, where: Path) -> Path:
    """The folder of the data set of the card at ``where``.

    Raises:
        CardError: It is not there, or out of the card's reach.
    """
    folder, home = dataset.dir.expanduser(), where.resolve().parent
    if not dataset.outside and not _below(home / folder, home):
        raise _leads_out(where, "[dataset] dir", dataset.dir)
    tried = [home / folder, *(above / "data" / folder for above in (home, *home.parents))]
    for place in tried:
        if place.is_dir():
            return place
    places = ", ".join(dict.fromkeys(map(str, tried)))
    raise CardError(f"{where}: data set folder {str(folder)!r} not found; tried {places}")


def check(dataset: Dataset, decode: Decode, where: Path) -> None:
    """Refuse files beside those of the data set and of the card's folder.

    Raises:
        CardError: One of them is.
    """
    home = where.resolve().parent
    keys = ("images", "labels", "annotations", "split", "class_list")
    named = [(f"[dataset] {key}", dataset.dir, getattr(dataset, key)) for key in keys]
    if isinstance(decode.priors, str):
        named.append(("[decode] priors", home, decode.priors))
    for key, folder, name in named:
        path = folder / name
        if not (dataset.outside or _below(path, folder) or _below(path, home)):
            raise _leads_out(where, key, name)


def inside(card: Card, folder: Path, name: str) -> Path:
    """The file that a list of the data set names, relative to ``folder``.

    Raises:
        CardError: It is out of the card's reach.
    """
    path = folder / name
    if not reaches(card, path):
        raise CardError(
            f"{card.path}: {card.dataset.dir} lists {name!r}, which leads out of the data set's "
            f"folder: {_TELL}"
        )
    return path


def reaches(card: Card, path: Path) -> bool:
    """Whether a file is within the card's reach."""
    home = card.path.resolve().parent
    return card.dataset.outside or _below(path, card.dataset.dir) or _below(path, home)


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))


def _leads_out(where: Path, key: str, name: object) -> CardError:
    return CardError(f"{where}: {key} = {str(name)!r} leads out of the card's folder: {_TELL}")
