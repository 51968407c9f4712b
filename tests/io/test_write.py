"""A file is written whole or not at all."""

import errno
import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from spiq.errors import ModelError, OutputError, SpiqError
from spiq.io import write as module
from spiq.io.atomic import pending, temporary_name, tidy
from spiq.io.read import read
from spiq.io.write import check_output, serialize, write


@pytest.fixture
def proto() -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        "net (float[1,16] x) => (y) <float[1] one = {1.0}> { a = MatMul(x, w) y = Mul(a, one) }"
    )
    weight = np.linspace(-1, 1, 16 * 64, dtype=np.float32).reshape(16, 64)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return model


@pytest.fixture
def model(proto: onnx.ModelProto) -> ir.Model:
    return read(proto)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(error: type[SpiqError], *words: str, model: object, path: Path, **how: object) -> None:
    with pytest.raises(error) as caught:
        write(model, path, **how)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert ": " in message
    for word in words:
        assert word in message


def failing(code: int) -> object:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def run(source: Path | bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones((1, 16), np.float32)})[0]


def test_graph_message_and_bytes(tmp_path: Path, proto: onnx.ModelProto, model: ir.Model) -> None:
    content = serialize(model)
    for given in (model, content, onnx.ModelProto.FromString(content)):
        write(given, tmp_path / "net.onnx")
        assert (tmp_path / "net.onnx").read_bytes() == content
    assert files(tmp_path) == ["net.onnx"]
    np.testing.assert_array_equal(run(tmp_path / "net.onnx"), run(proto.SerializeToString()))


def test_same_model_same_bytes(proto: onnx.ModelProto, model: ir.Model) -> None:
    assert serialize(model) == serialize(model) == serialize(read(proto))
    assert serialize(read(serialize(model))) == serialize(model)


def test_file_version_without_weights_as_inputs(model: ir.Model) -> None:
    model.ir_version = 3
    content = serialize(model)
    onnx.checker.check_model(content)
    assert onnx.ModelProto.FromString(content).ir_version == 4
    assert model.ir_version == 3


def test_mode_of_the_file(tmp_path: Path, model: ir.Model) -> None:
    (tmp_path / "other").write_text("")
    write(model, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_mode == (tmp_path / "other").stat().st_mode


# Where it cannot be written


def test_no_folder(tmp_path: Path, model: ir.Model) -> None:
    path = tmp_path / "none" / "net.onnx"
    refused(OutputError, "no folder", "create it first", str(path), model=model, path=path)


def test_below_a_file(tmp_path: Path, model: ir.Model) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "net.onnx"
    refused(OutputError, "no folder", str(path), model=model, path=path)


def test_folder(tmp_path: Path, model: ir.Model) -> None:
    refused(OutputError, "is a folder", str(tmp_path), model=model, path=tmp_path)


def test_device(model: ir.Model) -> None:
    refused(OutputError, "not a regular file", model=model, path=Path(os.devnull))


def test_name_too_long(tmp_path: Path, model: ir.Model) -> None:
    path = tmp_path / ("n" * 300)
    refused(OutputError, "cannot be written", model=model, path=path)
    assert files(tmp_path) == []


def test_null_in_name(tmp_path: Path, model: ir.Model) -> None:
    refused(OutputError, "null", model=model, path=tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("code", "todo"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose a folder")]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_leaves_the_old_file(
    tmp_path: Path,
    model: ir.Model,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    todo: str,
    step: str,
) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("old")
    monkeypatch.setattr(os, step, failing(code))
    refused(OutputError, str(path), os.strerror(code), todo, model=model, path=path)
    monkeypatch.undo()
    assert files(tmp_path) == ["net.onnx"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupt_leaves_nothing(
    tmp_path: Path, model: ir.Model, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "net.onnx").write_text("old")
    monkeypatch.setattr(os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(model, tmp_path / "net.onnx")
    assert files(tmp_path) == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_text() == "old"


def test_disk_is_full(model: ir.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The device that is always full stands for a disk that becomes full while it is written."""

    def full(*_: object, **__: object) -> int:
        return real("/dev/full", os.O_RDWR)

    real, path = os.open, tmp_path / "net.onnx"
    path.write_text("old")
    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr(module, "check_output", lambda path, **_: Path(path))
    refused(OutputError, "No space left on device", "free some space", model=model, path=path)
    monkeypatch.undo()
    assert files(tmp_path) == ["net.onnx"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written_to_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "open", failing(code))
    with pytest.raises(OutputError, match=f"{os.strerror(code)}: choose a folder that can be"):
        check_output(tmp_path / "net.onnx")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path, model: ir.Model) -> None:
    tmp_path.chmod(0o500)
    refused(OutputError, "Permission denied", model=model, path=tmp_path / "net.onnx")
    tmp_path.chmod(0o700)


# How it is done


def without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.mark.parametrize("broken", ["nameless", "link", "locks"])
def test_where_the_file_system_can_less(
    tmp_path: Path, model: ir.Model, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "nameless":
        without_nameless_files(monkeypatch)
    elif broken == "link":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    else:
        without_nameless_files(monkeypatch)
        monkeypatch.setattr("fcntl.flock", failing(errno.ENOLCK))
    for _ in range(2):
        write(model, tmp_path / "net.onnx")
        assert (tmp_path / "net.onnx").read_bytes() == serialize(model)
        assert files(tmp_path) == ["net.onnx"]


def test_stale_files_go_and_others_stay(tmp_path: Path, model: ir.Model) -> None:
    for name in (".spiq-0123.tmp", ".spiq-notes", "mine.tmp"):
        (tmp_path / name).write_text("left")
    with pending(tmp_path) as nameless:
        nameless.stream.write(b"under way")
        held = temporary_name(tmp_path)
        nameless.place(held)
        write(model, tmp_path / "net.onnx")
        assert files(tmp_path) == sorted([held.name, ".spiq-notes", "mine.tmp", "net.onnx"])
    write(model, tmp_path / "net.onnx")
    assert files(tmp_path) == [".spiq-notes", "mine.tmp", "net.onnx"]


def test_two_writers_of_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one is writing is not stale for the other, also where files bear names."""
    without_nameless_files(monkeypatch)
    with pending(tmp_path) as first:
        tidy(tmp_path)
        with pending(tmp_path) as second:
            tidy(tmp_path)
            second.stream.write(b"second")
            second.place(tmp_path / "net.onnx")
        first.stream.write(b"first")
        first.place(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"first"
    assert files(tmp_path) == ["net.onnx"]


# The source


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "dots"])
def test_source_is_kept(tmp_path: Path, model: ir.Model, kind: str) -> None:
    source = path = tmp_path / "net.onnx"
    source.write_text("source")
    if kind == "symlink":
        path = tmp_path / "link"
        path.symlink_to(source)
    elif kind == "hard link":
        path = tmp_path / "link"
        os.link(source, path)
    elif kind == "dots":
        path = tmp_path / ".." / tmp_path.name / "net.onnx"
    refused(OutputError, "is the model that is read", model=model, path=path, source=source)
    assert source.read_text() == "source"
    with pytest.raises(OutputError):
        check_output(path, source=source)
    write(model, path, source=source, force=True)
    assert path.read_bytes() == serialize(model)


def test_other_source(tmp_path: Path, model: ir.Model) -> None:
    (tmp_path / "a.onnx").write_text("a")
    (tmp_path / "b.onnx").write_text("b")
    write(model, tmp_path / "b.onnx", source=tmp_path / "a.onnx")
    write(model, tmp_path / "c.onnx", source=tmp_path / "gone.onnx")


def test_link_is_followed(tmp_path: Path, model: ir.Model) -> None:
    link = tmp_path / "link"
    link.symlink_to("net.onnx")
    write(model, link)
    assert link.is_symlink()
    assert files(tmp_path) == ["link", "net.onnx"]


# Large models


@pytest.fixture
def large(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> ir.Model:
    monkeypatch.setattr(module, "_LIMIT", 1000)
    return model


DATA = "net.onnx.f354770ccd002650.data"
"""Named after its content: the same network has the same data file."""


def test_large_model_has_its_data_beside(tmp_path: Path, large: ir.Model) -> None:
    content = serialize(large)
    for _ in range(2):
        write(large, tmp_path / "net.onnx")
        assert files(tmp_path) == ["net.onnx", DATA]
        assert (tmp_path / "net.onnx").stat().st_size < 1000
        np.testing.assert_array_equal(run(tmp_path / "net.onnx"), run(content))
    assert serialize(read(tmp_path / "net.onnx")) == content == serialize(large)
    write(onnx.ModelProto.FromString(content), tmp_path / "net.onnx")
    assert serialize(read(tmp_path / "net.onnx")) == content


def test_large_model_over_its_own_source(tmp_path: Path, large: ir.Model) -> None:
    path = tmp_path / "net.onnx"
    write(large, path)
    graph = read(path)
    write(graph, path, source=path, force=True)
    assert serialize(read(path)) == serialize(graph) == serialize(large)


def changed(model: ir.Model) -> ir.Model:
    other = read(serialize(model))
    weight = other.graph.initializers["w"]
    assert weight.const_value is not None
    weight.const_value = ir.Tensor(2 * weight.const_value.numpy(), name="w")
    return other


def test_large_model_over_another(tmp_path: Path, large: ir.Model) -> None:
    path, other = tmp_path / "net.onnx", changed(large)
    write(large, path)
    write(other, path)
    assert len(files(tmp_path)) == 2
    assert DATA not in files(tmp_path)
    assert serialize(read(path)) == serialize(other)


def test_data_of_a_copy_stays(tmp_path: Path, large: ir.Model) -> None:
    """A model that was moved needs the data that is named after its old name."""
    write(large, tmp_path / "net.onnx")
    (tmp_path / "net.onnx").rename(tmp_path / "moved.onnx")
    write(changed(large), tmp_path / "net.onnx")
    assert serialize(read(tmp_path / "moved.onnx")) == serialize(large)


@pytest.mark.parametrize("before", [True, False], ids=["replaced", "new"])
@pytest.mark.parametrize("failing_call", range(1, 6))
def test_large_model_fails_whole(
    tmp_path: Path,
    large: ir.Model,
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
    failing_call: int,
) -> None:
    path = tmp_path / "net.onnx"
    if before:
        write(changed(large), path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls, fsync = 0, os.fsync

    def fails_once(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", fails_once)
    if failing_call > 3:  # the note, the data, the model
        write(large, path)
        assert files(tmp_path) == ["net.onnx", DATA]
        return
    refused(OutputError, "free some space", model=large, path=path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_external_references_are_not_written(tmp_path: Path, large: ir.Model) -> None:
    path = tmp_path / "net.onnx"
    write(large, path)
    for given in (ir.load(path), onnx.load(path, load_external_data=False)):
        refused(ModelError, "'w'", "external file", model=given, path=tmp_path / "other.onnx")
    assert files(tmp_path) == ["net.onnx", DATA]
