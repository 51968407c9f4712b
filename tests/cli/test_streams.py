"""Whatever stdout is, and however little memory there is: the result, or one line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from running import Capture, done, refused

from spiq.cli.streams import lacks_memory


def spiq(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "spiq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_any_encoding_takes_the_tables(model: Path, tmp_path: Path, encoding: str) -> None:
    plan = tmp_path / "plan.json"
    told = {**os.environ, "PYTHONIOENCODING": encoding}
    found = spiq("quantize", model, "-o", tmp_path / "out.onnx", "--save-plan", plan, env=told)
    assert (found.returncode, found.stderr) == (0, b"")
    assert "written" in found.stdout.decode(encoding)
    shown = spiq("plan", "show", plan, env=told)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert "--" in shown.stdout.decode(encoding).replace("─", "-")


def test_a_closed_stdout_takes_nothing_and_the_file_is_written(model: Path, tmp_path: Path) -> None:
    script = 'exec "$0" -m spiq quantize "$1" -o "$2" <&- >&-'
    out = tmp_path / "out.onnx"
    found = subprocess.run(
        ["sh", "-c", script, sys.executable, str(model), str(out)], capture_output=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert out.stat().st_size > 0


def test_too_little_memory_is_one_line(model: Path) -> None:
    resource = pytest.importorskip("resource")
    found = spiq(
        "inspect", model,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (200_000_000,) * 2),
    )  # fmt: skip
    assert found.returncode != 0
    assert b"Traceback" not in found.stderr


def test_what_libraries_make_of_too_little_memory() -> None:
    assert lacks_memory(MemoryError())
    assert lacks_memory(ImportError("x.so: failed to map segment from shared object"))
    assert not lacks_memory(ImportError("No module named 'x'"))


def test_an_output_that_is_replaced_keeps_its_mode(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    out.chmod(0o640)
    done(capsys, "quantize", model, "-o", out)
    assert out.stat().st_size > 3
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_a_read_only_output_is_not_overwritten(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    out.chmod(0o444)
    assert "is read-only" in refused(capsys, "quantize", model, "-o", out)
    assert out.read_bytes() == b"old"
