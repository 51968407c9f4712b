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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The stored images: ``images`` uint8 (N, height, width, channels; RGB) per ``.npz`` part."""

    dir: Path
    name: str = ""
    images: str = "*.npz"
    """Glob pattern of the parts, which are taken in the order of their names."""
    n: int | None = None
    """How many images belong to the task, from the first on; None: all."""
    labels: str = ""
    """File with all labels, where the parts have none."""
    annotations: str = ""


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
    """The preprocessing in words."""

    steps: str = ""


@dataclass(frozen=True, kw_only=True)
class Decode:
    """How outputs become answers; what is empty or None does not concern the task."""

    kind: str = "argmax"
    classes: int | None = None
    outputs: int | str | None = None
    """Number of output channels, or a description of the outputs."""
    class_names: tuple[str, ...] = ()
    layout: str = ""
    metric: str = ""
    min_pixels: int = 0
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
    _known(table, {"name", "task", *_SECTIONS}, f"{where}: unknown key")
    for key in ("name", "task", "dataset", "input"):
        if key not in table:
            raise CardError(f"{where}: {key!r} is missing")
    sections: dict[str, Any] = {
        key: _section(table[key], key, where) if key in _SECTIONS else _value(table, key, where)
        for key in table
    }
    _known((sections["task"],), TASKS, f"{where}: unknown task")
    sections["input"] = _complete(sections["input"], where)
    dataset = sections["dataset"]
    sections["dataset"] = dataclasses.replace(dataset, dir=_find(dataset.dir, where))
    return Card(path=where, **sections)


def _section(table: object, key: str, where: Path) -> Any:
    kind, converters = _SECTIONS[key]
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


def _find(folder: Path, where: Path) -> Path:
    home = where.resolve().parent
    tried = [home / folder, *(above / "data" / folder for above in (home, *home.parents))]
    for place in tried:
        if place.is_dir():
            return place
    places = ", ".join(dict.fromkeys(map(str, tried)))
    raise CardError(f"{where}: data set folder {str(folder)!r} not found; tried {places}")


_SECTIONS: dict[str, tuple[Any, dict[str, schema.Convert]]] = {
    "dataset": (
        Dataset,
        {
            "dir": lambda value: Path(schema.text(value)),
            "n": schema.count,
            **dict.fromkeys(("name", "images", "labels", "annotations"), schema.text),
        },
    ),
    "input": (
        Input,
        {
            "width": schema.count,
            "height": schema.count,
            "channels": schema.one_of(*CHANNELS),
            "layout": schema.one_of("NCHW"),
            "mean": schema.list_of(schema.number),
            "std": schema.list_of(schema.positive),
            "divide_after": schema.positive,
        },
    ),
    "preprocess": (Preprocess, {"steps": schema.text}),
    "decode": (
        Decode,
        {
            "outputs": schema.count_or_text,
            "class_names": schema.list_of(schema.text),
            "strides": schema.list_of(schema.count),
            "anchors": schema.list_of(schema.list_of(schema.number)),
            "scale_x_y": schema.list_of(schema.number),
            "multi_label": schema.flag,
            "score_threshold": schema.number,
            "nms_iou": schema.number,
            **dict.fromkeys(("classes", "min_pixels", "max_detections"), schema.count),
            **dict.fromkeys(("kind", "layout", "metric"), schema.text),
        },
    ),
    "source": (
        Source,
        dict.fromkeys(("repository", "commit", "path", "licence", "note"), schema.text),
    ),
    "float32": (
        Float32,
        {
            **dict.fromkeys(
                ("top1", "top5", "mAP50", "mAP", "mIoU", "pixel_accuracy"), schema.number
            ),
            "images": schema.count,
            "published": schema.text,
        },
    ),
    "model": (
        Model,
        {"sha256": schema.text, "bytes": schema.count, "batchnorm_nodes": schema.count},
    ),
}
