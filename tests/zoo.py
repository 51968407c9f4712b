"""The folder of real networks and images, from SPIQ_ZOO or beside the repository."""

import os
from pathlib import Path

import pytest

ZOO = Path(os.environ.get("SPIQ_ZOO", Path(__file__).parents[2] / "shared/zoo"))


def folder() -> Path:
    """Return the zoo's folder; skips where there is none."""
    if not (ZOO / "classification").is_dir():
        pytest.skip(f"no zoo in {ZOO}: set SPIQ_ZOO to its folder")
    return ZOO


def model(name: str) -> Path:
    """Return the path of one of its networks, such as ``classification/mobilenetv2``."""
    return folder() / name / "model.onnx"


def models() -> list[Path | None]:
    """Return the paths of all networks that keep BatchNorm, to parametrize; [None] if none."""
    return [*sorted(ZOO.glob("[cds]*/*/model.onnx"))] or [None]
