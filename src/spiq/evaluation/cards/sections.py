"""A task card as values: one class per section of the file.

Their types say what the values must be; pydantic checks it when a card is read.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

_Named = TypeVar("_Named", str, Path)


def _line(value: _Named) -> _Named:
    if not str(value).isprintable():
        raise PydanticCustomError(
            "line", "Input should be one line of text without control characters"
        )
    return value


def _text(value: str) -> str:
    if not value.replace("\n", "").replace("\t", "").isprintable():
        raise PydanticCustomError("text", "Input should be text without control characters")
    return value


Count = Annotated[StrictInt, Field(ge=1)]
Byte = Annotated[StrictInt, Field(ge=0, le=255)]
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Line = Annotated[StrictStr, AfterValidator(_line)]
Text = Annotated[StrictStr, AfterValidator(_text)]
"""Of control characters, which could do anything to a terminal, only the ends of lines."""

Layout = Literal["npz", "imagenet", "csv", "voc", "cityscapes", "masks", "coco", "yolo", "pictures"]
Resize = Literal["exact", "shorter", "letterbox"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHANNELS: dict[str, tuple[int, ...]] = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAY": (0,)}
"""Which channel of the stored image is each channel of the network's input."""

LAYOUTS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "npz": ((), frozenset({"images", "labels", "annotations"})),
    "imagenet": (("classification",), frozenset({"images", "class_list", "split"})),
    "csv": (("classification",), frozenset({"labels", "class_list"})),
    "voc": (("detection", "segmentation"), frozenset({"split"})),
    "cityscapes": (("segmentation",), frozenset({"split"})),
    "masks": (("segmentation",), frozenset({"images", "labels", "split", "mask_values"})),
    "coco": (("detection",), frozenset({"images", "annotations"})),
    "yolo": (("detection",), frozenset({"annotations", "split"})),
    "pictures": ((), frozenset({"images"})),
}
"""The tasks of each layout ((): every one), and its keys beyond ``COMMON``."""

COMMON = frozenset({"dir", "layout", "name", "n", "outside"})
"""Keys of a data set in every layout."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Where the images and their labels are; see docs/cards.md for what each layout looks like."""

    dir: Annotated[Path, AfterValidator(_line)]
    name: Line = ""
    layout: Layout = "npz"
    images: Line = ""
    """npz: pattern of the parts ("": all); imagenet, pictures: of the pictures; coco, masks: folder
    of them."""
    n: Count | None = None
    """How many images belong to the task, from the first on; None: all."""
    labels: Line = ""
    """npz, csv: file with all labels; masks: folder of them."""
    annotations: Line = ""
    split: Line = ""
    """The part of the data set; "": ``val`` where a layout always has parts."""
    class_list: Line = ""
    """File with the class folders in the order of the classes; "": in the order of their names."""
    mask_values: tuple[Byte, ...] = ()
    """What the masks say for class 0, class 1 and so on; (): the class itself."""
    outside: StrictBool = False
    """Whether paths may lead out of the card's folder."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """The network's input: ``(pixel - mean) / std / divide_after``, pixels in 0..255."""

    width: Count
    height: Count
    channels: Literal["RGB", "BGR", "GRAY"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    mean: tuple[Number, ...] = ()
    """One value per channel in the network's order; set by :func:`read` (0) where absent."""
    std: tuple[Positive, ...] = ()
    """Likewise (255: pixels are divided by 255)."""
    divide_after: Positive = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return (len(CHANNELS[self.channels]), self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How image files get the input's size; arrays in ``.npz`` files have it."""

    steps: Text = ""
    """The preprocessing in words."""
    resize: Resize | None = None
    """exact: aspect not kept; shorter: shorter side to ``resize_to``, then the centre is cut out;
    letterbox: the whole picture fits, with ``pad_value`` around it."""
    resize_to: Count | None = None
    interpolation: Interpolation = "bilinear"
    pad_value: Byte = 114


@dataclass(frozen=True, kw_only=True)
class Decode:
    """How outputs become answers; what is empty or None does not concern the task."""

    kind: Text = "argmax"
    classes: Count | None = None
    outputs: Count | Text | None = None
    """Number of output channels, or a description of the outputs."""
    output: Text = ""
    """Name of the output to read, where a network has several."""
    class_names: tuple[Line, ...] = ()
    layout: Text = ""
    metric: Text = ""
    min_pixels: Annotated[StrictInt, Field(ge=0)] = 0
    """Classes with fewer labelled pixels in all images do not count in the mean IoU."""
    ignore_labels: tuple[Byte, ...] = ()
    """Labels that count nowhere; (): 255 and every label that is not below ``classes``."""
    strides: tuple[Count, ...] = ()
    anchors: tuple[tuple[Number, ...], ...] = ()
    scale_x_y: tuple[Number, ...] = ()
    multi_label: StrictBool = False
    threshold: Number | None = None
    """Segmentation with one channel: pixels above it are of class 1."""
    score_threshold: Number | None = None
    nms_iou: Number | None = None
    max_detections: Count | None = None
    priors: Text | tuple[tuple[Number, ...], ...] = ()
    """x, y, width, height of each, relative to the input, or an ``.npy`` file beside the card."""
    variances: tuple[Positive, ...] = (0.1, 0.2)
    """Of a prior's centre and size, or of x, y, width and height."""
    background: StrictBool = True
    """Whether class 0 of the scores is the background, which ``classes`` does not count."""
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    """What turns the scores into shares of 1."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the network comes from."""

    repository: Text = ""
    commit: Text = ""
    path: Text = ""
    licence: Text = ""
    note: Text = ""


@dataclass(frozen=True, kw_only=True)
class Float32:
    """What the float network reached on these images (top-1 and top-5 in percent)."""

    top1: Number | None = None
    top5: Number | None = None
    mAP50: Number | None = None
    mAP: Number | None = None
    mIoU: Number | None = None
    pixel_accuracy: Number | None = None
    images: Count | None = None
    published: Text = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Facts about the network's file."""

    sha256: Text = ""
    bytes: Count | None = None
    batchnorm_nodes: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """A task card as :func:`read` returns it."""

    name: Line
    task: Line
    dataset: Dataset
    input: Input
    path: Path
    preprocess: Preprocess = field(default_factory=Preprocess)
    decode: Decode = field(default_factory=Decode)
    source: Source = field(default_factory=Source)
    float32: Float32 = field(default_factory=Float32)
    model: Model = field(default_factory=Model)

    def class_name(self, label: int) -> str:
        """The name of a class, or its number where the card has no names."""
        names = self.decode.class_names
        return names[label] if label < len(names) else f"class {label}"


SECTIONS: dict[str, tuple[str, ...]] = {
    section.name: tuple(entry.name for entry in fields(section.type))
    for section in fields(Card)
    if is_dataclass(section.type)
}
"""The keys of every section."""
