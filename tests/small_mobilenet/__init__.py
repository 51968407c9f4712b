"""A MobileNetV2 for handwritten digits, with its labelled images: inverted residuals, depthwise
convolutions and ReLU6 in half a megabyte, for what tests ask of a trained network.

It was what ``spiq demo`` showed once, and ``examples/train_demo.py`` trained it then. Nothing else
depends on it: the demo's own network may change without any of these tests.
"""

from pathlib import Path

HERE = Path(__file__).parent


def model_path() -> Path:
    """Path of the float network, every BatchNorm kept."""
    return HERE / "model.onnx"


def card_path() -> Path:
    """Path of the card."""
    return HERE / "card.toml"
