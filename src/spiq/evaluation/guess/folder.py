"""What a folder of data is, by the names in it.

The first of these counts that is there:

    JPEGImages                          voc           *.csv                 csv
    leftImg8bit and gtFine              cityscapes    *.npz                 npz
    *.yaml with train, val and names    yolo          CLASS/PICTURE         imagenet
    *.json in COCO's format             coco          SPLIT/CLASS/PICTURE   imagenet
    images and masks                    masks         PICTURE               pictures

A file in the place of a folder is one of the ``.csv``, ``.yaml``, ``.json``, ``.npz`` or a picture.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from spiq.errors import CardError, ConfigError
from spiq.evaluation.data import masks
from spiq.evaluation.data.class_names import CITYSCAPES_CLASSES, VOC_CLASSES
from spiq.evaluation.data.folders import SPLITS
from spiq.evaluation.files import lines
from spiq.evaluation.guess.values import Folder, Size
from spiq.evaluation.tasks.detection import yolo_files
from spiq.io.images import SUFFIXES, UNREADABLE, header, pillow

_PARTS = ("val", "valid", "validation", "test", "testing", "train", "training", "trainval")
"""Parts of a data set, the one to measure on first."""

_IMAGES = ("images", "imgs", "image", "img", "pictures")
_MASKS = ("masks", "mask", "labels", "annotations", "segmentations", "annots", "gt")

_SOME = 24
"""Pictures whose size is looked at."""


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
        "data.yaml, COCO's or VOC's files, a CSV file of path and label, .npz files, or pictures"
    )


def _file(path: Path, split: str | None) -> Folder:
    root, end = path.parent, path.suffix.lower()
    found: Folder | None = None
    if end == ".csv":
        found = _table(root, split, [path])
    elif end in (".yaml", ".yml"):
        found = _yolo(root, split, [path])
    elif end == ".json":
        root = root.parent if root.name == "annotations" else root
        found = _coco(root, split, [path])
    elif end == ".npz":
        found = _npz(root, split, [path])
    elif end in SUFFIXES:
        found = _of_pictures([path], dir=root, keys={"images": path.name}, why="a picture")
    if found is None:
        raise ConfigError(f"{path}: this file is no data set that is known: name its folder")
    return found


def _part(root: Path, split: str | None, there: Callable[[str], bool]) -> str | None:
    """The part to measure on: the one wanted, or the first of the usual ones that is there."""
    if split is not None and not there(split):
        raise ConfigError(f"{root}: it has no part {split!r}, --split")
    return next((name for name in ([split] if split else _PARTS) if there(name)), None)


def _voc(root: Path, split: str | None) -> Folder | None:
    if not (root / "JPEGImages").is_dir():
        return None
    sets = root / "ImageSets"
    kinds = {"segmentation": "Segmentation", "detection": "Main"}
    tasks = tuple(task for task, name in kinds.items() if (sets / name).is_dir())
    folders = [sets / kinds[task] for task in tasks]

    def there(name: str) -> bool:
        return any((each / f"{name}.txt").is_file() for each in folders)

    part = _part(root, split, there)
    if part is None:
        raise ConfigError(f"{root}: VOC's ImageSets lists no part: {sets}/Segmentation/val.txt")
    return Folder(
        dir=root, layout="voc", tasks=tasks, why="JPEGImages", keys={"split": part},
        names=VOC_CLASSES, sizes=_sizes(_pictures(root / "JPEGImages")),
    )  # fmt: skip


def _cityscapes(root: Path, split: str | None) -> Folder | None:
    if not (root / "leftImg8bit").is_dir() or not (root / "gtFine").is_dir():
        return None
    part = _part(root, split, lambda name: (root / "leftImg8bit" / name).is_dir())
    return Folder(
        dir=root, layout="cityscapes", tasks=("segmentation",), why="leftImg8bit and gtFine",
        keys={"split": part or "val"}, names=CITYSCAPES_CLASSES,
        sizes=_sizes(root.glob("leftImg8bit/*/*/*.png")),
    )  # fmt: skip


def _yolo(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    for file in files or sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        told = yolo_files.load(file)
        if "names" not in told:
            continue
        part = _part(root, split, lambda name, told=told: bool(told.get(name)))  # type: ignore[misc]
        if part is None:
            continue
        names = told["names"]
        return Folder(
            dir=root, layout="yolo", tasks=("detection",), why=f"{file.name} with names",
            keys={"annotations": file.name, "split": part},
            names=tuple(map(str, names.values() if isinstance(names, dict) else names)),
        )  # fmt: skip
    return None


def _coco(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    usual = [*root.glob("annotations/*.json"), *root.glob("*.json"), *root.glob("*/*.coco.json")]
    wanted = [split] if split else _PARTS
    ordered = sorted(
        files or usual,
        key=lambda file: next(
            (i for i, part in enumerate(wanted) if part in str(file.relative_to(root))), len(wanted)
        ),
    )
    for file in ordered:
        told = _json(file)
        if not isinstance(told, dict) or not {"images", "annotations", "categories"} <= set(told):
            continue
        names = [str(one["name"]) for one in sorted(told["categories"], key=lambda one: one["id"])]
        return Folder(
            dir=root, layout="coco", tasks=("detection",), why=f"{file.name} in COCO's format",
            keys={"images": _coco_images(root, file, told), "annotations": _inner(file, root)},
            names=tuple(names),
        )  # fmt: skip
    return None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _coco_images(root: Path, file: Path, told: dict[str, Any]) -> str:
    """The folder of the pictures that the annotations name, relative to the data set's."""
    first = next((str(image.get("file_name")) for image in told["images"]), "")
    end = file.stem.removeprefix("instances_")
    tried = [end, f"images/{end}", "images", _inner(file.parent, root), "."]
    tried += [f"{part}/images" for part in _PARTS]
    found = next((name for name in tried if (root / name / first).is_file()), None)
    if found is None:
        raise ConfigError(f"{file}: its first picture, {first!r}, is nowhere in {root}")
    return found


def _inner(path: Path, root: Path) -> str:
    return path.resolve().relative_to(root.resolve()).as_posix()


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
        return next((path for path in tried if path.is_dir() and _pictures(path)), None)

    def there(part: str) -> bool:
        return place(images, part) is not None and place(named, part) is not None

    parts = [split] if split is not None else ["", *_PARTS]
    part = next((name for name in parts if there(name)), None)
    if part is None:
        return None
    values = masks.values(_pictures(place(named, part) or root))
    keys: dict[str, str | list[int]] = {"split": part} if part else {}
    keys |= {"images": images} if images != "images" else {}
    keys |= {"labels": named} if named != "masks" else {}
    if values == [0, masks.VOID]:
        keys["mask_values"] = values
    return Folder(
        dir=root, layout="masks", tasks=("segmentation",), why=f"{images} and {named}", keys=keys,
        sizes=_sizes(_pictures(place(images, part) or root)),
    )  # fmt: skip


def _table(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    known = [split] if split else ["labels", *_PARTS]
    ordered = sorted(
        files or root.glob("*.csv"),
        key=lambda file: known.index(file.stem) if file.stem in known else len(known),
    )
    for file in ordered:
        try:
            rows = list(csv.reader(lines(file, "the table")))
        except csv.Error:
            continue
        if rows and len(rows[0]) > 1:
            return Folder(
                dir=root, layout="csv", tasks=("classification",), why=file.name,
                keys={"labels": file.name}, ordered=False, sizes=_sizes(root.rglob("*")),
            )  # fmt: skip
    return None


def _npz(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    parts = files or sorted(root.glob("*.npz"))
    if not parts:
        return None
    try:
        labels, images = header(parts[0], "labels"), header(parts[0], "images")
    except (KeyError, *UNREADABLE):
        return None
    task = "classification" if len(labels.shape) == 1 else "segmentation"
    height, width = images.shape[1:3]
    return Folder(
        dir=root, layout="npz", tasks=(task,), why=f"{parts[0].name} with images and labels",
        keys={"images": parts[0].name} if files else {}, sizes=frozenset({(width, height)}),
    )  # fmt: skip


def _classes(root: Path, split: str | None) -> Folder | None:
    def there(part: str) -> bool:
        return (root / part).is_dir() and any(_pictures(path) for path in _inside(root / part))

    direct = [path for path in _inside(root) if _pictures(path)]
    if direct and split is None and not {path.name for path in direct} <= set(SPLITS):
        part = ""
    else:
        part = _part(root, split, there) or ""
        if not part:
            return None
    roots = [root / name for name in SPLITS if there(name)] if part else [root]
    names = tuple(sorted({path.name for place in roots for path in _inside(place)}))
    listed = _list_of(root, names)
    keys = ({"split": part} if part else {}) | ({"class_list": listed} if listed else {})
    return Folder(
        dir=root, layout="imagenet", tasks=("classification",),
        why=f"{len(names)} class folders", keys=keys,
        names=_lines_of(root / listed, names) if listed else names, ordered=bool(listed),
        sizes=_sizes(path for place in _inside(root / part) for path in _pictures(place)),
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
    found = _pictures(root)
    return _of_pictures(found, dir=root, why=f"{len(found)} pictures") if found else None


def _of_pictures(
    files: list[Path], *, dir: Path, why: str, keys: dict[str, str | list[int]] | None = None
) -> Folder:
    tasks = ("classification", "detection", "segmentation")
    return Folder(
        dir=dir, layout="pictures", tasks=tasks, why=why, keys=keys or {}, sizes=_sizes(files)
    )


def _inside(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _pictures(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file())


def _sizes(files: Iterable[Path]) -> frozenset[Size]:
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


_KINDS = (_voc, _cityscapes, _yolo, _coco, _masks, _table, _npz, _classes, _loose)
