"""What draws charts is made once, in a process beside, and kept; whatever fails, it is there."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="no vl-convert: pip install 'spiq[report]'")
pytest.importorskip("altair", reason="no Altair: pip install 'spiq[report]'")

from spiq.report import drawn as module
from spiq.report.drawn import Drawn, drawn

KIT = Drawn(script="(() => {})();", timed={"column": {}}, untimed={})


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "spiq" / "report"


def test_it_is_made_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(module, "_made_beside", lambda: calls.append(1) or KIT)
    assert drawn() == drawn() == KIT
    assert len(calls) == len([*kept.iterdir()]) == 1


def test_without_a_python_to_start_it_is_made_here(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", None)
    monkeypatch.setattr(module, "made", lambda: KIT)
    assert drawn() == KIT


def test_what_is_damaged_is_made_anew(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_made_beside", lambda: KIT)
    drawn()
    (file,) = kept.iterdir()
    for content in (b"", b"{}", b"\xff", b"[1]"):
        file.write_bytes(content)
        assert drawn() == KIT


def test_what_an_older_version_kept_goes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_made_beside", lambda: KIT)
    kept.mkdir(parents=True)
    (kept / "older.json").write_text("{}")
    drawn()
    assert [file.name for file in kept.iterdir()] == [module._file().name]


def test_where_nothing_can_be_kept_it_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(module, "_made_beside", lambda: KIT)
    assert drawn() == KIT


@pytest.mark.parametrize("error", [OSError("no processes"), subprocess.CalledProcessError(1, "")])
def test_where_no_process_can_be_started_this_one_makes_it(
    kept: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module.subprocess, "run", fails)
    monkeypatch.setattr(module, "made", lambda: KIT)
    assert drawn() == KIT


@pytest.mark.process
def test_a_process_beside_makes_it(kept: Path) -> None:
    found = drawn()
    assert "vegaEmbed" in found.script
    assert {*found.timed} == {"column", "ranking", "latency", "before", "after"}
    assert found.timed["column"] != found.untimed["column"]
    assert found == module._read(module._file().read_bytes())
