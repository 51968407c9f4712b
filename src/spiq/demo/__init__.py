"""The shipped example: a stack of convolutions for handwritten digits, with its test images.

Its channels were given very different sizes before it was trained, as those of published networks
come to have: one scale for all of them costs it accuracy, a scale for each does not.

``model.onnx`` is a float network with every BatchNorm kept, ``digits.npz`` holds the labelled
test images (uint8, NHWC), and ``card.toml`` says how to feed, decode and score the network.
``examples/train_demo.py`` writes all three.
"""

from importlib.resources import files
from pathlib import Path

__all__ = ["card_path", "model_path"]


def model_path() -> Path:
    """Path of the float ONNX network."""
    return Path(str(files(__name__) / "model.onnx"))


def card_path() -> Path:
    """Path of the card: preprocessing, decoding, source and float accuracy of the network."""
    return Path(str(files(__name__) / "card.toml"))
