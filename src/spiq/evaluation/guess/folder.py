"""What a folder of data is, by the names in it.

The first of these counts that is there:

    JPEGImages                          voc           *.csv                 csv
    leftImg8bit and gtFine              cityscapes    *.npz                 npz
    *.yaml with train, val and names    yolo          CLASS/PICTURE         imagenet
    *.json in COCO's format             coco          SPLIT/CLASS/PICTURE   imagenet
    images and masks                    masks         PICTURE               pictures

A file in the place of a folder is one of the ``.csv``, ``.yaml``, ``.json``, ``.npz``, a picture or
a video, whose frames are pictures.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from spiq.errors import CardError, ConfigError
from spiq.evaluation.data import masks
from spiq.evaluation.data.folders import SPLITS
from spiq.evaluation.data.table import cells
from spiq.evaluation.files import lines
from spiq.evaluation.guess.known import cityscapes, coco, voc, yolo
from spiq.evaluation.guess.pictures import PARTS, inside, part_of, pictures, sizes_of
from spiq.evaluation.guess.values import Folder
from spiq.io.images import SUFFIXES, UNREADABLE, Stored, header
from spiq.io.video import SUFFIXES as VIDEOS

_IMAGES = ("images", "imgs", "image", "img", "pictures")
_MASKS = ("masks", "mask", "labels", "annotations", "segmentations", "annots", "gt")


def look(data: str | os.PathLike[str], split: str | None = None) -> Folder:
    """Recognize a data set.

    Args:
        data: A folder, or a file as the module says.
        split: The part to measure on; None: one that is there.

    Raises:
        ConfigError: It is nothing that is known.
        CardError: A file in it cannot be read.
    """
    path = Path(data)
    if not path.exists():
        raise ConfigError(f"{path}: there is no such folder or file of data")
    if path.is_file():
        return _file(path, split)
    for kind in _KINDS:
        found = kind(path, split)
        if found is not None:
            return found
    raise ConfigError(
        f"{path}: no data set that is known: class folders of pictures, images and masks, a "
        "data.yaml, COCO's or VOC's files, a CSV file of path and label, .npz files, pictures or "
        "videos"
    )


def _file(path: Path, split: str | None) -> Folder:
    root, end = path.parent, path.suffix.lower()
    found: Folder | None = None
    if end == ".csv":
        found = _table(root, split, [path])
    elif end in (".yaml", ".yml"):
        found = yolo(root, split, [path])
    elif end == ".json":
        root = root.parent if root.name == "annotations" else root
        found = coco(root, split, [path])
    elif end == ".npz":
        found = _npz(root, split, [path])
    elif end in (*SUFFIXES, *VIDEOS):
        why = "a picture" if end in SUFFIXES else "a video"
        found = _of_pictures([path], dir=root, keys={"images": path.name}, why=why)
    if found is None:
        raise ConfigError(f"{path}: this file is no data set that is known: name its folder")
    return found


def _masks(root: Path, split: str | None) -> Folder | None:
    for images in _IMAGES:
        for named in _MASKS:
            found = _masks_in(root, split, images, named)
            if found is not None:
                return found
    return None


def _masks_in(root: Path, split: str | None, images: str, named: str) -> Folder | None:
    def place(name: str, part: str) -> Path | None:
        tried = [root / part / name, root / name / part] if part else [root / name]
        return next((path for path in tried if path.is_dir() and pictures(path)), None)

    def there(part: str) -> bool:
        return place(images, part) is not None and place(named, part) is not None

    parts = [split] if split is not None else ["", *PARTS]
    part = next((name for name in parts if there(name)), None)
    if part is None:
        return None
    values = masks.values(pictures(place(named, part) or root))
    keys: dict[str, str | list[int]] = {"split": part} if part else {}
    keys |= {"images": images} if images != "images" else {}
    keys |= {"labels": named} if named != "masks" else {}
    if values == [0, masks.VOID]:
        keys["mask_values"] = values
    return Folder(
        dir=root, layout="masks", tasks=("segmentation",), why=f"{images} and {named}", keys=keys,
        sizes=sizes_of(pictures(place(images, part) or root)),
    )  # fmt: skip


def _table(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    known = [split] if split else ["labels", *PARTS]
    ordered = sorted(
        files or root.glob("*.csv"),
        key=lambda file: known.index(file.stem) if file.stem in known else len(known),
    )
    for file in ordered:
        try:
            rows = cells(file)
        except CardError:  # an empty one, or none
            continue
        if len(rows[0]) > 1:
            return Folder(
                dir=root, layout="csv", tasks=("classification",), why=file.name,
                keys={"labels": file.name}, ordered=False, sizes=sizes_of(root.rglob("*")),
            )  # fmt: skip
    return None


def _npz(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    found = files or sorted(root.glob("*.npz"))
    images = [(path, stored) for path in found if (stored := _stored(path, "images"))]
    labels = [(path, stored) for path in found if (stored := _stored(path, "labels"))]
    if not images or not labels or len(images[0][1].shape) < 3:
        return None
    first, stored = images[0]
    own = labels[0][0] if labels[0][0] not in dict(images) else None
    keys: dict[str, str | list[int]] = {"images": first.name} if files else {}
    keys |= {"labels": own.name} if own is not None else {}
    task = "classification" if len(labels[0][1].shape) == 1 else "segmentation"
    height, width = stored.shape[1:3]
    return Folder(
        dir=root, layout="npz", tasks=(task,), why=f"{first.name} with images and labels",
        keys=keys, sizes=frozenset({(width, height)}),
    )  # fmt: skip


def _stored(path: Path, key: str) -> Stored | None:
    """What an array of a file is like, from its header; None where it has no such array."""
    try:
        return header(path, key)
    except (KeyError, *UNREADABLE):
        return None


def _classes(root: Path, split: str | None) -> Folder | None:
    def there(part: str) -> bool:
        return (root / part).is_dir() and any(pictures(path) for path in inside(root / part))

    direct = [path for path in inside(root) if pictures(path)]
    if direct and split is None and not {path.name for path in direct} <= set(SPLITS):
        part = ""
    else:
        part = part_of(root, split, there) or ""
        if not part:
            return None
    roots = [root / name for name in SPLITS if there(name)] if part else [root]
    names = tuple(sorted({path.name for place in roots for path in inside(place)}))
    listed = _list_of(root, names)
    keys = ({"split": part} if part else {}) | ({"class_list": listed} if listed else {})
    return Folder(
        dir=root, layout="imagenet", tasks=("classification",),
        why=f"{len(names)} class folders", keys=keys,
        names=_lines_of(root / listed, names) if listed else names, ordered=bool(listed),
        sizes=sizes_of(path for place in inside(root / part) for path in pictures(place)),
    )  # fmt: skip


def _list_of(root: Path, names: tuple[str, ...]) -> str:
    """A text file that lists every class folder."""
    for file in sorted(root.glob("*.txt")):
        if set(names) <= set(_lines_of(file, names)):
            return file.name
    return ""


def _lines_of(file: Path, names: Iterable[str]) -> tuple[str, ...]:
    known = set(names)
    try:
        found = lines(file, "the class list")
    except CardError:
        return ()
    return tuple(line if line in known else line.split()[0] for line in found)


def _loose(root: Path, split: str | None) -> Folder | None:
    found = pictures(root)
    videos = sum(path.suffix.lower() in VIDEOS for path in root.iterdir())
    counts = ((len(found), "pictures"), (videos, "videos"))
    why = " and ".join(f"{count} {what}" for count, what in counts if count)
    return _of_pictures(found, dir=root, why=why) if why else None


def _of_pictures(
    files: list[Path], *, dir: Path, why: str, keys: dict[str, str | list[int]] | None = None
) -> Folder:
    tasks = ("classification", "detection", "segmentation")
    return Folder(
        dir=dir, layout="pictures", tasks=tasks, why=why, keys=keys or {}, sizes=sizes_of(files)
    )


_KINDS = (voc, cityscapes, yolo, coco, _masks, _table, _npz, _classes, _loose)
