"""A task card as values: one class per section of the file."""

from dataclasses import dataclass, field
from pathlib import Path

CHANNELS: dict[str, tuple[int, ...]] = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAY": (0,)}
"""Which channel of the stored image is each channel of the network's input."""

LAYOUTS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "npz": ((), frozenset({"images", "labels", "annotations"})),
    "imagenet": (("classification",), frozenset({"images", "class_list"})),
    "voc": (("detection", "segmentation"), frozenset({"split"})),
    "cityscapes": (("segmentation",), frozenset({"split"})),
    "coco": (("detection",), frozenset({"images", "annotations"})),
}
"""The tasks of each layout ((): every one), and its keys beyond ``COMMON``."""

COMMON = frozenset({"dir", "layout", "name", "n", "outside"})
"""Keys of a data set in every layout."""


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
    outside: bool = False
    """Whether paths may lead out of the card's folder."""


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
    priors: str | tuple[tuple[float, ...], ...] = ()
    """x, y, width, height of each, relative to the input, or an ``.npy`` file beside the card."""
    variances: tuple[float, ...] = (0.1, 0.2)
    """Of a prior's centre and size, or of x, y, width and height."""
    background: bool = True
    """Whether class 0 of the scores is the background, which ``classes`` does not count."""
    activation: str = "softmax"
    """What turns the scores into shares of 1."""


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

    def class_name(self, label: int) -> str:
        """The name of a class, or its number where the card has no names."""
        names = self.decode.class_names
        return names[label] if label < len(names) else f"class {label}"
