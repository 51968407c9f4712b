"""Small detection data sets: grey images whose pixels are the boxes that the network gives."""

from pathlib import Path

import numpy as np
import onnx

CLASSES, ANSWERS = 2, 5
"""Classes, and boxes per image: images have 4 + CLASSES rows and as many columns as boxes."""

CARD = """
name = "tiny"
task = "detection"

[dataset]
dir = "data"
{dataset}

[input]
width = 5
height = 6
channels = "GRAY"

[preprocess]
{preprocess}

[decode]
kind = "yolov8"
classes = 2
{decode}
"""


def network(*, step: float = 1 / 256, batch: str = "N") -> bytes:
    """A network that gives the image's values, rounded to steps, as YOLOv8 does."""
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[{batch},1,6,5] input) => (float[{batch},6,5] boxes) {{
            axes = Constant <value = int64[1] {{1}}> ()
            step = Constant <value = float {{{step}}}> ()
            sides = Constant <value = float[6,1] {{5., 6., 5., 6., 1., 1.}}> ()
            flat = Squeeze (input, axes)
            steps = Div (flat, step)
            whole = Round (steps)
            rounded = Mul (whole, step)
            boxes = Mul (rounded, sides)
        }}
    """
    return onnx.parser.parse_model(text).SerializeToString()


def make_images(count: int, seed: int = 3) -> np.ndarray:
    """Images (count, 6, 5, 1): the rows are x, y, width, height and two scores of five boxes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 200, (count, 6, ANSWERS, 1), np.uint8)
    images[:, 4:] = rng.integers(0, 256, (count, 2, ANSWERS, 1))
    return images


def make_truth(images: np.ndarray, size: tuple[int, int], seed: int = 4) -> dict:
    """COCO annotations near some of the boxes of each image, in pixels of size (width, height)."""
    rng = np.random.default_rng(seed)
    annotations = []
    for index, image in enumerate(images):
        for column in rng.choice(ANSWERS, 3, replace=False):
            values = image[:, column, 0] / 255 + rng.normal(0, 0.02, 6)
            x, y, width, height = values[:4] * np.tile(size, 2)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": 10 * index + 2,
                    "category_id": 7 if values[4] > values[5] else 9,
                    "bbox": [x - width / 2, y - height / 2, width, height],
                    "area": width * height,
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
    described = [
        {"id": 10 * i + 2, "file_name": f"{i}.png", "width": size[0], "height": size[1]}
        for i in range(len(images))
    ]
    return {
        "images": described[::-1],
        "annotations": annotations,
        "categories": [{"id": 9, "name": "late"}, {"id": 7, "name": "early"}],
    }


def write_card(folder: Path, **sections: str) -> Path:
    """Write a card with these lines in its sections."""
    path = folder / "card.toml"
    path.write_text(CARD.format(**({"dataset": "", "preprocess": "", "decode": ""} | sections)))
    return path
