"""Where the image files of a data set are, in an order that does not change.

    imagenet     DIR/CLASS/PICTURE                        the class is the folder
                 DIR/SPLIT/CLASS/PICTURE                  the folders of all parts are the classes
    csv          a table of path and label                see :mod:`spiq.evaluation.data.table`
    masks        DIR/images/ID.jpg, DIR/masks/ID.png      see :mod:`spiq.evaluation.data.masks`
    pictures     DIR/PICTURE, DIR/VIDEO, or one file      without labels
    voc          DIR/JPEGImages/ID.jpg                    DIR/SegmentationClass/ID.png
                 for each ID in DIR/ImageSets/Segmentation/SPLIT.txt
    cityscapes   DIR/leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png
                 DIR/gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png, else ID_gtFine_labelIds.png

Pictures of imagenet folders come one of each class in turn, so that the first N hold all classes.
Where the pictures of boxes are is read with the boxes, by :mod:`spiq.evaluation.tasks.detection`.
"""

from dataclasses import replace
from pathlib import Path

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import masks, table
from spiq.evaluation.data.class_names import CITYSCAPES_CLASSES, VOC_CLASSES
from spiq.evaluation.data.entry import Entry
from spiq.evaluation.files import lines, matching
from spiq.io import video
from spiq.io.images import SUFFIXES
from spiq.io.video import Frame, VideoError

SPLITS = ("train", "training", "trainval", "val", "valid", "validation", "test", "testing")
"""Usual names of the parts of a data set."""

_NAMED = {"voc": ("background", *VOC_CLASSES), "cityscapes": CITYSCAPES_CLASSES}


def entries(card: Card) -> list[Entry]:
    """List the pictures of the card's data set; opens none of them.

    Raises:
        CardError: The data set is not laid out as the card says.
    """
    layouts = {
        "imagenet": _imagenet,
        "csv": table.entries,
        "voc": _voc,
        "cityscapes": _cityscapes,
        "masks": masks.entries,
        "pictures": _pictures,
    }
    found = layouts[card.dataset.layout](card)
    if not found:
        raise CardError(f"{card.path}: no pictures in {card.dataset.dir}")
    return found


def class_folders(card: Card) -> list[str]:
    """The folders of an imagenet data set in the order of the classes.

    A list of classes has one folder per line, before any words that describe it. Classes of the
    list may lack a folder, where a data set holds some of the classes; none may be outside it.
    Without one, the card's names of the classes say the order, where each folder has one of them.

    Raises:
        CardError: There are none, or a folder is not in the list.
    """
    root, present = card.dataset.dir, _present(card)
    known, named = set(present), card.decode.class_names
    if not card.dataset.class_list:
        return list(named) if known <= set(named) else present
    entries = lines(root / card.dataset.class_list, "the class list")
    listed = [line if line in known else line.split()[0] for line in entries]
    for name in present:
        if name not in listed:
            raise CardError(
                f"{card.path}: folder {name!r} of {root} is not in {card.dataset.class_list}"
            )
    return listed


def _present(card: Card) -> list[str]:
    """The class folders that there are, of all parts where the card names one."""
    root, split = card.dataset.dir, card.dataset.split
    if split and not (root / split).is_dir():
        raise CardError(f"{card.path}: {root} has no folder {split!r}, [dataset] split")
    parts = [root / name for name in dict.fromkeys((split, *SPLITS))] if split else [root]
    present = sorted({name for part in parts if part.is_dir() for name in _folders(part)})
    if not present:
        raise CardError(f"{card.path}: {root / split} has no folders, one for each class")
    if not split and set(present) <= set(SPLITS):
        raise CardError(
            f"{card.path}: {root} has the parts {', '.join(present)}: say with [dataset] split "
            "which one"
        )
    return present


def _folders(path: Path) -> list[str]:
    return [folder.name for folder in path.iterdir() if folder.is_dir()]


def doubt(card: Card, outputs: int | None) -> str:
    """Say that names which no list maps to classes are more or fewer than the classes.

    Their order is then hardly that of the network's classes: 60 folders of a network with 1,000
    outputs would be taken for its first 60 classes.

    Args:
        card: A card.
        outputs: Classes that the network tells apart; None: not known.
    """
    if card.dataset.class_list or outputs is None:
        return ""
    if card.dataset.layout == "imagenet":
        found, what = len(class_folders(card)), "class folders"
    else:
        found, what = len(names(card)), "names of classes"
    if not found or found == outputs:
        return ""
    return (
        f"{card.path}: {card.dataset.dir} has {found} {what}, but the network has {outputs} "
        f"classes: they are taken for classes 0 to {found - 1} in the order of their names; "
        "list the names of all classes in a file, and name it with [dataset] class_list"
    )


def named(card: Card) -> Card:
    """The card with the names that the data set gives to the classes, where it has none itself."""
    try:
        found = () if card.decode.class_names else names(card)
    except CardError:  # it is said where the data set is read
        return card
    return replace(card, decode=replace(card.decode, class_names=found)) if found else card


def names(card: Card) -> tuple[str, ...]:
    """The names that folders, a table or a benchmark give to the classes; (): none.

    Raises:
        CardError: The data set is not laid out as the card says.
    """
    if card.dataset.layout == "imagenet":
        return tuple(class_folders(card))
    if card.dataset.layout == "csv":
        return table.named_classes(card) or ()
    return _NAMED.get(card.dataset.layout, ())


def _imagenet(card: Card) -> list[Entry]:
    turns, root = [], card.dataset.dir / card.dataset.split
    for label, name in enumerate(class_folders(card)):
        found = matching(root / name, card.dataset.images or "*")
        pictures = [path for path in found if path.suffix.lower() in SUFFIXES]
        turns += [(turn, label, path) for turn, path in enumerate(pictures)]
    return [Entry(image=path, label=label) for _, label, path in sorted(turns)]


def _pictures(card: Card) -> list[Entry]:
    found = matching(card.dataset.dir, card.dataset.images or "*")
    return [Entry(image=image, label=None) for path in found for image in _shown(path)]


def _shown(path: Path) -> list[Path] | list[Frame]:
    """The pictures of a file, which may be a video; none where it is something else.

    A damaged video is one picture that cannot be decoded, as a damaged picture is.
    """
    if path.is_dir():
        return []
    if path.suffix.lower() in SUFFIXES:
        return [path]
    if path.suffix.lower() not in video.SUFFIXES:
        return []
    try:
        return video.frames(path)
    except VideoError as error:
        return [Frame(path, 0, 0, problem=str(error))]


def _voc(card: Card) -> list[Entry]:
    root = card.dataset.dir
    listed = root / "ImageSets" / "Segmentation" / f"{card.dataset.split or 'val'}.txt"
    return [
        Entry(
            image=root / "JPEGImages" / f"{name}.jpg",
            label=root / "SegmentationClass" / f"{name}.png",
        )
        for name in lines(listed, "the split")
    ]


def _cityscapes(card: Card) -> list[Entry]:
    root, split = card.dataset.dir, card.dataset.split or "val"
    ending = "_leftImg8bit.png"
    found = []
    for image in sorted((root / "leftImg8bit" / split).glob(f"*/*{ending}")):
        name = image.name.removesuffix(ending)
        folder = root / "gtFine" / split / image.parent.name
        mapped = folder / f"{name}_gtFine_labelTrainIds.png"
        plain = folder / f"{name}_gtFine_labelIds.png"
        found.append(Entry(image=image, label=mapped if mapped.is_file() else plain))
    return found
