"""Pictures and their classes as a table: a CSV file of path and label.

    images/00017.jpg,cat                  the label is the class's number, or its name
    images/00018.jpg,dog

Paths are relative to the data set's folder, or to that of the table.
A first line whose first cell is no file names the columns; without one that is known, the first
two count. Names become classes in the order of ``class_list`` or ``class_names``, or else sorted.
"""

import csv
from pathlib import Path

from spiq.errors import CardError
from spiq.evaluation.cards import places
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.entry import Entry
from spiq.evaluation.files import lines

_PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "name")
_LABELS = ("label", "class", "target", "category", "class_name", "class_id", "label_id", "y")

Row = tuple[str, str]


def entries(card: Card) -> list[Entry]:
    """List the pictures of the table; opens none of them.

    Raises:
        CardError: The table cannot be read, names files elsewhere, or a label is no class.
    """
    file, root = _file(card), card.dataset.dir
    named = named_classes(card)
    known = {name: index for index, name in enumerate(named or ())}

    def picture(name: str) -> Path:
        path = places.inside(card, root, name)
        return path if path.is_file() else places.inside(card, file.parent, name)

    def label(text: str) -> int:
        if named is None:
            return int(text)
        if text not in known:
            listed = card.dataset.class_list or "[decode] class_names"
            raise CardError(f"{card.path}: the label {text!r} of {file} is not in {listed}")
        return known[text]

    return [Entry(image=picture(path), label=label(text)) for path, text in _rows(file, root)]


def named_classes(card: Card) -> tuple[str, ...] | None:
    """The names of the classes in their order; None where the labels are numbers.

    Raises:
        CardError: The table or the list of classes cannot be read.
    """
    given = {text for _, text in _rows(_file(card), card.dataset.dir)}
    if all(_is_number(text) for text in given):
        return None
    if card.dataset.class_list:
        return tuple(lines(card.dataset.dir / card.dataset.class_list, "the class list"))
    return card.decode.class_names or tuple(sorted(given))


def _file(card: Card) -> Path:
    if card.dataset.labels:
        return card.dataset.dir / card.dataset.labels
    found = sorted(card.dataset.dir.glob("*.csv"))
    if len(found) != 1:
        raise CardError(
            f"{card.path}: {card.dataset.dir} has {len(found)} CSV files: say with [dataset] "
            "labels which one lists path and label"
        )
    return found[0]


def _rows(file: Path, root: Path) -> tuple[Row, ...]:
    """The path and the label of each line that holds something."""
    table = cells(file)
    path, label, head = 0, 1, [cell.strip().lower() for cell in table[0]]
    if not _exists(file, root, table[0][0]):
        path = next((head.index(name) for name in _PATHS if name in head), path)
        label = next((head.index(name) for name in _LABELS if name in head), label)
        table = table[1:] if set(head) & {*_PATHS, *_LABELS} else table
    for number, row in enumerate(table, start=1):
        if len(row) <= max(path, label):
            raise CardError(f"{file}: row {number} has {len(row)} cells: write path,label a line")
    return tuple((row[path].strip(), row[label].strip()) for row in table)


def cells(file: Path) -> list[list[str]]:
    """The cells of each line that holds something, whatever parts them.

    Raises:
        CardError: It is no table, or an empty one.
    """
    text = "\n".join(lines(file, "the table"))
    try:
        table = [row for row in csv.reader(text.splitlines(), _dialect(text)) if any(row)]
    except csv.Error as error:
        raise CardError(f"{file}: not a CSV file: {error}") from error
    if not table:
        raise CardError(f"{file}: the table is empty: write path,label a line")
    return table


def _dialect(text: str) -> type[csv.excel]:
    """Commas, unless the first line has only semicolons or tabs."""
    first = text.partition("\n")[0]
    mark = next((mark for mark in ",;\t" if mark in first), ",")
    return type("dialect", (csv.excel,), {"delimiter": mark, "skipinitialspace": True})


def _exists(file: Path, root: Path, name: str) -> bool:
    return any((folder / name.strip()).is_file() for folder in (root, file.parent))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
