"""Where the image files of a data set are, in an order that does not change.

    imagenet     DIR/CLASS/PICTURE                        the class is the folder
    voc          DIR/JPEGImages/ID.jpg                    DIR/SegmentationClass/ID.png
                 for each ID in DIR/ImageSets/Segmentation/SPLIT.txt
    cityscapes   DIR/leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png
                 DIR/gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png, else ID_gtFine_labelIds.png

Pictures of imagenet folders come one of each class in turn, so that the first N hold all classes.
Where the pictures of boxes are is read with the boxes, by :mod:`spiq.evaluation.tasks.detection`.
"""

from dataclasses import dataclass
from pathlib import Path

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.files import lines, matching
from spiq.io.images import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture."""

    image: Path
    label: int | Path
    """Its class, or the file of its mask."""


def entries(card: Card) -> list[Entry]:
    """List the pictures of the card's data set; opens none of them.

    Raises:
        CardError: The data set is not laid out as the card says.
    """
    layouts = {"imagenet": _imagenet, "voc": _voc, "cityscapes": _cityscapes}
    found = layouts[card.dataset.layout](card)
    if not found:
        raise CardError(f"{card.path}: no pictures in {card.dataset.dir}")
    return found


def class_folders(card: Card) -> list[str]:
    """The folders of an imagenet data set in the order of the classes.

    A list of classes has one folder per line, before any words that describe it. Classes of the
    list may lack a folder, where a data set holds some of the classes; none may be outside it.

    Raises:
        CardError: There are none, or a folder is not in the list.
    """
    root = card.dataset.dir
    present = sorted(path.name for path in root.iterdir() if path.is_dir())
    if not present:
        raise CardError(f"{card.path}: {root} has no folders, one for each class")
    if not card.dataset.class_list:
        return present
    known = set(present)
    entries = lines(root / card.dataset.class_list, "the class list")
    listed = [line if line in known else line.split()[0] for line in entries]
    for name in present:
        if name not in listed:
            raise CardError(
                f"{card.path}: folder {name!r} of {root} is not in {card.dataset.class_list}"
            )
    return listed


def doubt(card: Card, outputs: int | None) -> str:
    """Say that folders which no list maps to classes are more or fewer than the classes.

    Their order is then hardly that of the network's classes: 60 folders of a network with 1,000
    outputs would be taken for its first 60 classes.

    Args:
        card: A card.
        outputs: Classes that the network tells apart; None: not known.
    """
    if card.dataset.layout != "imagenet" or card.dataset.class_list or outputs is None:
        return ""
    found = len(class_folders(card))
    if found == outputs:
        return ""
    return (
        f"{card.path}: {card.dataset.dir} has {found} class folders, but the network has {outputs} "
        f"classes: the folders are taken for classes 0 to {found - 1} in the order of their names; "
        "list the folders of all classes in a file, and name it with [dataset] class_list"
    )


def _imagenet(card: Card) -> list[Entry]:
    turns = []
    for label, name in enumerate(class_folders(card)):
        found = matching(card.dataset.dir / name, card.dataset.images or "*")
        pictures = [path for path in found if path.suffix.lower() in SUFFIXES]
        turns += [(turn, label, path) for turn, path in enumerate(pictures)]
    return [Entry(image=path, label=label) for _, label, path in sorted(turns)]


def _voc(card: Card) -> list[Entry]:
    root = card.dataset.dir
    listed = root / "ImageSets" / "Segmentation" / f"{card.dataset.split}.txt"
    return [
        Entry(
            image=root / "JPEGImages" / f"{name}.jpg",
            label=root / "SegmentationClass" / f"{name}.png",
        )
        for name in lines(listed, "the split")
    ]


def _cityscapes(card: Card) -> list[Entry]:
    root, split = card.dataset.dir, card.dataset.split
    ending = "_leftImg8bit.png"
    found = []
    for image in sorted((root / "leftImg8bit" / split).glob(f"*/*{ending}")):
        name = image.name.removesuffix(ending)
        folder = root / "gtFine" / split / image.parent.name
        mapped = folder / f"{name}_gtFine_labelTrainIds.png"
        plain = folder / f"{name}_gtFine_labelIds.png"
        found.append(Entry(image=image, label=mapped if mapped.is_file() else plain))
    return found
