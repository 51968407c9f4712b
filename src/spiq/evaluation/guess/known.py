"""Data sets that have a form with a name: VOC's, Cityscapes', YOLO's and COCO's."""

import json
from pathlib import Path
from typing import Any

from spiq.errors import ConfigError
from spiq.evaluation.data.class_names import CITYSCAPES_CLASSES, VOC_CLASSES
from spiq.evaluation.guess.pictures import PARTS, part_of, pictures, sizes_of
from spiq.evaluation.guess.values import Folder
from spiq.evaluation.tasks.detection import yolo_files


def voc(root: Path, split: str | None) -> Folder | None:
    """Pascal VOC: JPEGImages beside ImageSets; None: it is something else."""
    if not (root / "JPEGImages").is_dir():
        return None
    sets = root / "ImageSets"
    kinds = {"segmentation": "Segmentation", "detection": "Main"}
    tasks = tuple(task for task, name in kinds.items() if (sets / name).is_dir())
    folders = [sets / kinds[task] for task in tasks]

    def there(name: str) -> bool:
        return any((each / f"{name}.txt").is_file() for each in folders)

    part = part_of(root, split, there)
    if part is None:
        raise ConfigError(f"{root}: VOC's ImageSets lists no part: {sets}/Segmentation/val.txt")
    return Folder(
        dir=root, layout="voc", tasks=tasks, why="JPEGImages", keys={"split": part},
        names=VOC_CLASSES, sizes=sizes_of(pictures(root / "JPEGImages")),
    )  # fmt: skip


def cityscapes(root: Path, split: str | None) -> Folder | None:
    """Cityscapes: leftImg8bit and gtFine; None: it is something else."""
    if not (root / "leftImg8bit").is_dir() or not (root / "gtFine").is_dir():
        return None
    part = part_of(root, split, lambda name: (root / "leftImg8bit" / name).is_dir())
    return Folder(
        dir=root, layout="cityscapes", tasks=("segmentation",), why="leftImg8bit and gtFine",
        keys={"split": part or "val"}, names=CITYSCAPES_CLASSES,
        sizes=sizes_of(root.glob("leftImg8bit/*/*/*.png")),
    )  # fmt: skip


def yolo(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    """YOLO's files: a YAML file with names and parts; None: it is something else."""
    for file in files or sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        told = yolo_files.load(file)
        if "names" not in told:
            continue
        part = part_of(root, split, lambda name, told=told: bool(told.get(name)))  # type: ignore[misc]
        if part is None:
            continue
        names = told["names"]
        return Folder(
            dir=root, layout="yolo", tasks=("detection",), why=f"{file.name} with names",
            keys={"annotations": file.name, "split": part},
            names=tuple(map(str, names.values() if isinstance(names, dict) else names)),
        )  # fmt: skip
    return None


def coco(root: Path, split: str | None, files: list[Path] | None = None) -> Folder | None:
    """COCO's format: a JSON file of images, annotations and categories; None: something else."""
    usual = [*root.glob("annotations/*.json"), *root.glob("*.json"), *root.glob("*/*.coco.json")]
    wanted = [split] if split else PARTS
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
    if damaged := next((file for file in ordered if file.parent.name == "annotations"), None):
        raise ConfigError(
            f"{damaged}: not in COCO's format: it needs images, annotations and categories"
        )
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
    tried += [f"{part}/images" for part in PARTS]
    found = next((name for name in tried if (root / name / first).is_file()), None)
    if found is None:
        raise ConfigError(f"{file}: its first picture, {first!r}, is nowhere in {root}")
    return found


def _inner(path: Path, root: Path) -> str:
    return path.resolve().relative_to(root.resolve()).as_posix()
