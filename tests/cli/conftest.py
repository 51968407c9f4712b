"""Every command runs in a folder of its own."""

from pathlib import Path

import pytest

from small_mobilenet import model_path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped network, in the current folder."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path().read_bytes())
    return Path("model.onnx")
