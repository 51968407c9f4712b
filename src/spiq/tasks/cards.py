"""Task cards: a TOML file that says which images a network is measured on, and how.

    name = "resnet8-cifar10"                # sections, and keys of each, as in the classes below
    task = "classification"
    [dataset]
    dir = "cifar10_3000"                    # beside the card, or in data/ of a folder above it
    [input]
    width = 32
    height = 32

Everything that is not known is refused: a misspelt key would silently change what is measured.
"""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spiq.errors import CardError
from spiq.tasks import schema

TASKS: dict[str, str | None] = {
    "classification": "spiq.tasks.classification",
    "detection": None,
    "segmentation": None,
}
"""Module of each task, imported when used; None: its cards are read, but nothing evaluates them."""

CHANNELS: dict[str, tuple[int, ...]] = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAY": (0,)}
"""Which channel of the stored image is each channel of the network's input."""

LAYOUTS: dict[str, tuple[str, frozenset[str]]] = {
    "npz": ("", frozenset({"images", "labels", "annotations"})),
    "imagenet": ("classification", frozenset({"images", "class_list"})),
    "voc": ("segmentation", frozenset({"split"})),
    "cityscapes": ("segmentation", frozenset({"split"})),
    "coco": ("detection", frozenset({"images", "annotations"})),
}
"""The task of each layout ("": every one), and its keys beyond dir, layout, name and n."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Where the images and their labels are; see docs/cards.md for what each layout looks like."""

    dir: Path
    name: str = ""
    layout: str = "npz"
    images: str = ""
    """npz: pattern of the parts ("": all); imagenet: of the pictures; coco: folder of them."""
    n: int | None = None
    """How many images belong to the task, from the first on; None: all."""
    labels: str = ""
    """File with all labels, where the parts have none."""
    annotations: str = ""
    split: str = "val"
    class_list: str = ""
    """File with the class folders in the order of the classes; "": in the order of their names."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """The network's input: ``(pixel - mean) / std / divide_after``, pixels in 0..255."""

    width: int
    height: int
    channels: str = "RGB"
    layout: str = "NCHW"
    mean: tuple[float, ...] = ()
    """One value per channel in the network's order; set by :func:`read` (0) where absent."""
    std: tuple[float, ...] = ()
    """Likewise (255: pixels are divided by 255)."""
    divide_after: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return (len(CHANNELS[self.channels]), self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How image files get the input's size; arrays in ``.npz`` files have it."""

    steps: str = ""
    """The preprocessing in words."""
    resize: str = ""
    """exact: aspect not kept; shorter: shorter side to ``resize_to``, then the centre is cut out;
    letterbox: the whole picture fits, with ``pad_value`` around it."""
    resize_to: int | None = None
    interpolation: str = "bilinear"
    pad_value: int = 114


@dataclass(frozen=True, kw_only=True)
class Decode:
    """How outputs become answers; what is empty or None does not concern the task."""

    kind: str = "argmax"
    classes: int | None = None
    outputs: int | str | None = None
    """Number of output channels, or a description of the outputs."""
    output: str = ""
    """Name of the output to read, where a network has several."""
    class_names: tuple[str, ...] = ()
    layout: str = ""
    metric: str = ""
    min_pixels: int = 0
    """Classes with fewer labelled pixels in all images do not count in the mean IoU."""
    ignore_labels: tuple[int, ...] = ()
    """Labels that count nowhere; (): 255 and every label that is not below ``classes``."""
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[float, ...], ...] = ()
    scale_x_y: tuple[float, ...] = ()
    multi_label: bool = False
    score_threshold: float | None = None
    nms_iou: float | None = None
    max_detections: int | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the network comes from."""

    repository: str = ""
    commit: str = ""
    path: str = ""
    licence: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Float32:
    """What the float network reached on these images (top-1 and top-5 in percent)."""

    top1: float | None = None
    top5: float | None = None
    mAP50: float | None = None
    mAP: float | None = None
    mIoU: float | None = None
    pixel_accuracy: float | None = None
    images: int | None = None
    published: str = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Facts about the network's file."""

    sha256: str = ""
    bytes: int | None = None
    batchnorm_nodes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """A task card as :func:`read` returns it."""

    name: str
    task: str
    dataset: Dataset
    input: Input
    path: Path
    preprocess: Preprocess = field(default_factory=Preprocess)
    decode: Decode = field(default_factory=Decode)
    source: Source = field(default_factory=Source)
    float32: Float32 = field(default_factory=Float32)
    model: Model = field(default_factory=Model)


def read(path: str | os.PathLike[str]) -> Card:
    """Read the card at ``path``.

    Raises:
        CardError: The file cannot be read, a key is unknown, missing or of the wrong kind, or the
            data set's folder is not there.
    """
    where = Path(path)
    try:
        with where.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise CardError(f"{where}: cannot read the card: {error.strerror}") from error
    except ValueError as error:  # also what is not UTF-8
        raise CardError(f"{where}: not a TOML file: {error}") from error
    _known(table, {"name", "task", *schema.SECTIONS}, f"{where}: unknown key")
    for key in ("name", "task", "dataset", "input"):
        if key not in table:
            raise CardError(f"{where}: {key!r} is missing")
    sections: dict[str, Any] = {
        key: _section(table[key], key, where)
        if key in schema.SECTIONS
        else _value(table, key, where)
        for key in table
    }
    _known((sections["task"],), TASKS, f"{where}: unknown task")
    sections["input"] = _complete(sections["input"], where)
    _check_layout(table["dataset"], sections["dataset"].layout, sections["task"], where)
    _check_resize(sections["dataset"].layout, sections, where)
    dataset = sections["dataset"]
    sections["dataset"] = dataclasses.replace(dataset, dir=_find(dataset.dir, where))
    return Card(path=where, **sections)


def _section(table: object, key: str, where: Path) -> Any:
    kind, converters = _CLASSES[key], schema.SECTIONS[key]
    if not isinstance(table, dict):
        raise CardError(f"{where}: {key!r} must be a section, [{key}]")
    _known(table, converters, f"{where}: [{key}] has an unknown key")
    for entry in dataclasses.fields(kind):
        required = entry.default is dataclasses.MISSING
        if required and entry.name not in table:
            raise CardError(f"{where}: [{key}] lacks {entry.name!r}")
    values = {}
    for name, value in table.items():
        try:
            values[name] = converters[name](value)
        except ValueError as error:
            raise CardError(f"{where}: [{key}] {name} = {value!r}: it must be {error}") from error
    return kind(**values)


def _value(table: dict[str, Any], key: str, where: Path) -> Any:
    try:
        return schema.text(table[key])
    except ValueError as error:
        raise CardError(f"{where}: {key} = {table[key]!r}: it must be {error}") from error


def _known(names: Collection[str], allowed: Collection[str], what: str) -> None:
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(allowed))}"
            )
            raise CardError(f"{what} {name!r}: {hint}")


def _complete(spec: Input, where: Path) -> Input:
    channels = spec.shape[0]
    if bool(spec.mean) != bool(spec.std):
        raise CardError(f"{where}: [input] mean and std belong together: give both or neither")
    mean, std = spec.mean or (0.0,) * channels, spec.std or (255.0,) * channels
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise CardError(
                f"{where}: [input] {name} has {len(values)} values, "
                f"but channels = {spec.channels!r} needs {channels}"
            )
    return dataclasses.replace(spec, mean=mean, std=std)


def _check_layout(table: Collection[str], layout: str, task: str, where: Path) -> None:
    needed, keys = LAYOUTS[layout]
    if needed and task != needed:
        fitting = [name for name, (other, _) in LAYOUTS.items() if other in ("", task)]
        raise CardError(
            f"{where}: [dataset] layout {layout!r} is for {needed}, not for {task}: "
            f"choose one of {', '.join(fitting)}"
        )
    for name in table:
        if name not in keys | {"dir", "layout", "name", "n"}:
            raise CardError(
                f"{where}: [dataset] {name!r} means nothing for layout {layout!r}: leave it out"
            )


def _check_resize(layout: str, sections: dict[str, Any], where: Path) -> None:
    spec, size = sections.get("preprocess", Preprocess()), sections["input"]
    if layout == "npz":
        if spec.resize or spec.resize_to:
            raise CardError(
                f"{where}: [preprocess] resize is for image files; arrays of layout 'npz' are "
                "stored in the input's size: leave it out"
            )
        return
    if not spec.resize:
        raise CardError(
            f"{where}: [preprocess] lacks 'resize', how image files get the input's size: "
            f"{', '.join(schema.RESIZE)}"
        )
    if (spec.resize == "shorter") != (spec.resize_to is not None):
        raise CardError(
            f"{where}: [preprocess] resize_to belongs to resize = 'shorter': give both or neither"
        )
    if spec.resize_to is not None and spec.resize_to < min(size.width, size.height):
        raise CardError(
            f"{where}: [preprocess] resize_to = {spec.resize_to} is less than the input's "
            f"{size.width}x{size.height}: the centre cannot be cut out"
        )


def _find(folder: Path, where: Path) -> Path:
    folder = folder.expanduser()
    home = where.resolve().parent
    tried = [home / folder, *(above / "data" / folder for above in (home, *home.parents))]
    for place in tried:
        if place.is_dir():
            return place
    places = ", ".join(dict.fromkeys(map(str, tried)))
    raise CardError(f"{where}: data set folder {str(folder)!r} not found; tried {places}")


_CLASSES: dict[str, Any] = {
    "dataset": Dataset,
    "input": Input,
    "preprocess": Preprocess,
    "decode": Decode,
    "source": Source,
    "float32": Float32,
    "model": Model,
}
