"""How a network's outputs are read, by their shapes for one image of width W and height H.

    (C,), or with sides of 1                  classification
    (C, H, W)                                 segmentation; one channel is class 1 above a threshold
    (4 + C, A) or (A, 4 + C)                  detection as YOLOv8
    (A, 5 + C)                                detection as YOLOv5
    (1, h, w), (4, h, w), (C, h, w)           detection as FastestDet, stride H / h

Heads with anchors or priors are told by numbers that no file holds.
"""

from collections.abc import Mapping, Sequence

from spiq.errors import ConfigError
from spiq.evaluation.guess.values import Folder, Network

Decoding = dict[str, int | float | str | bool | list[int] | list[str]]


def tasks(network: Network) -> tuple[str, ...]:
    """What the network's outputs look like, the likeliest task first."""
    shapes = list(network.outputs.values())
    width, height = network.tried
    if all(_flat(shape) for shape in shapes):
        return ("classification",)
    if all(len(shape) == 3 and shape[1:] == (height, width) for shape in shapes):
        return ("segmentation",)
    return ("detection",)


def decoding(task: str, network: Network, folder: Folder) -> Decoding:
    """The keys of [decode].

    Raises:
        ConfigError: The outputs are of no kind that is known.
    """
    if task == "detection":
        found = _boxes(network, folder)
    else:
        found = _classes(network) if task == "classification" else _channels(network)
        if len(network.outputs) > 1:
            found["output"] = next(iter(network.outputs))
    if network.names and len(network.names) == found.get("classes"):
        found["class_names"] = list(network.names)
    return found


def _flat(shape: Sequence[int]) -> bool:
    return len(shape) >= 1 and all(side == 1 for side in shape[1:])


def _classes(network: Network) -> Decoding:
    (classes, *_) = next(iter(network.outputs.values()))
    return {"kind": "argmax", "classes": classes}


def _channels(network: Network) -> Decoding:
    (channels, *_) = next(iter(network.outputs.values()))
    if channels == 1:
        threshold = 0.5 if network.ends_in == "Sigmoid" else 0.0
        return {"kind": "threshold", "threshold": threshold, "classes": 2}
    return {"kind": "argmax", "outputs": channels, "classes": channels}


def _boxes(network: Network, folder: Folder) -> Decoding:
    shapes = list(network.outputs.values())
    for found in (_yolo(shapes, network, folder), _fastestdet(shapes, network)):
        if found:
            return found
    raise ConfigError(
        f"{network.path}: its outputs {_said(network.outputs)} are no head whose boxes can be read "
        "without more: start from `spiq card init --task detection` and fill in [decode]"
    )


def _yolo(shapes: Sequence[tuple[int, ...]], network: Network, folder: Folder) -> Decoding:
    if len(shapes) != 1 or len(shapes[0]) != 2:
        return {}
    for known in dict.fromkeys((len(network.names), len(folder.names))):
        if known and 4 + known in shapes[0]:
            return _as_yolo("yolov8", known)
        if known and shapes[0][1] == 5 + known:
            return _as_yolo("yolov5", known)
    channels, cells = sorted(shapes[0])
    return _as_yolo("yolov8", channels - 4) if channels > 4 and cells > channels else {}


def _as_yolo(kind: str, classes: int) -> Decoding:
    return {
        "kind": kind, "classes": classes, "score_threshold": 0.001, "nms_iou": 0.7,
        "multi_label": classes > 1,
    }  # fmt: skip


def _fastestdet(shapes: Sequence[tuple[int, ...]], network: Network) -> Decoding:
    grids = {shape[1:] for shape in shapes}
    channels = sorted(shape[0] for shape in shapes)
    if len(shapes) != 3 or len(grids) != 1 or len(*grids) != 2 or not {1, 4} <= set(channels):
        return {}
    channels.remove(1)
    channels.remove(4)
    (grid,) = grids
    return {
        "kind": "fastestdet", "classes": channels[0], "strides": [network.tried[1] // grid[0]]
    }  # fmt: skip


def _said(outputs: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in outputs.items())
