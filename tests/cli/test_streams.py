"""Whatever stdout is, and however little memory there is: the result, or one line."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from running import Capture, content, done, refused

from spiq.cli import main
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


def test_names_in_profiles_are_read_whatever_the_encoding(model: Path) -> None:
    named = onnx.load(model)
    named.graph.node[-1].name = "größe"
    onnx.save(named, "named.onnx")
    bare = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    found = spiq("bench", "named.onnx", "--profile", "--json", "--seconds=0.05", env=bare)
    assert (found.returncode, found.stderr) == (0, b"")
    assert json.loads(found.stdout)["models"][0]["operators"]


def test_a_closed_stdout_takes_nothing_and_the_file_is_written(model: Path, tmp_path: Path) -> None:
    script = 'exec "$0" -m spiq quantize "$1" -o "$2" <&- >&-'
    out = tmp_path / "out.onnx"
    found = subprocess.run(
        ["sh", "-c", script, sys.executable, str(model), str(out)], capture_output=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert out.stat().st_size > 0


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device always full")


@FULL
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_is_written_is_said_where_nothing_can_be_printed(
    model: Path, tmp_path: Path, form: list[str]
) -> None:
    """The exit code is not that of a failure, which leaves no file."""
    out = tmp_path / "out.onnx"
    with open("/dev/full", "wb") as full:
        found = subprocess.run(
            [sys.executable, "-m", "spiq", "quantize", str(model), "-o", str(out), *form],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr.startswith(f"spiq: warning: {str(out)!r} is written, but".encode())
    assert found.stderr.count(b"\n") == 1
    assert out.stat().st_size > 0


@FULL
def test_warnings_that_nobody_takes_change_nothing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "spiq", "quantize"]
        done = subprocess.run([*command, str(model), "-o", str(out)], stderr=full,
                              stdout=subprocess.DEVNULL, check=False)  # fmt: skip
        failed = subprocess.run([*command, "nothing"], stderr=full, check=False)
    assert (done.returncode, failed.returncode) == (0, 2)
    assert out.stat().st_size > 0


def test_what_fails_as_it_is_put_into_words_leaves_no_file(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spiq.cli.output.page", without_memory)
    before = content()
    assert main(["quantize", str(model), "--save-plan=plan.json"]) == 2
    assert content() == before
    assert capsys.readouterr().out == ""


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
    assert lacks_memory(SystemError("error return without exception set"))
    assert lacks_memory(ImportError("x.so: failed to map segment from shared object"))
    assert not lacks_memory(ImportError("No module named 'x'"))


def test_an_output_that_is_replaced_keeps_its_mode(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    out.chmod(0o640)
    done(capsys, "quantize", model, "-o", out, "--force")
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
