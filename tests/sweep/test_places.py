"""Where results are kept: a folder, and what fsspec reaches."""

import sys
from pathlib import Path

import pytest

from small_mobilenet import card_path
from spiq.errors import ConfigError, OutputError
from spiq.sweep import cells
from spiq.sweep.places import Place, place
from spiq.sweep.run import run


@pytest.fixture(params=["folder", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "results")
    pytest.importorskip("fsspec", reason="needs fsspec: pip install 'spiq[ray]'")
    return f"memory://{tmp_path.name}/results"


def test_reads_what_was_written(where: str) -> None:
    kept: Place = place(where)
    assert kept.read(["a.json", "b.json"]) == {}
    kept.write("a.json", b"first")
    kept.write("network/a.onnx", b"network")
    kept.write("a.json", b"second")
    assert place(where).read(["a.json", "b.json"]) == {"a.json": b"second"}
    assert kept.read(["network/a.onnx"]) == {"network/a.onnx": b"network"}
    kept.remove("network/a.onnx")
    kept.remove("network/a.onnx")
    assert kept.read(["network/a.onnx"]) == {}


def test_a_sweep_goes_on_from_there(where: str, sweep: object) -> None:
    def once() -> tuple[int, tuple[object, ...]]:
        networks = cells.subjects([str(card_path())], limit=4)
        found = run(networks, ["static"], [cells.Bits(8, 8)], folder=where)
        return found.measured, found.cells

    (first, done), (second, again) = once(), once()
    assert (first, second) == (1, 0)
    assert done == again


def test_refuses_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((ConfigError, OutputError), match=r"nosuch://results"):
        place("nosuch://results")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"pip install 'spiq\[ray\]'"):
        place("memory://results")
