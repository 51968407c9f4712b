"""Networks of gigabytes, scaled down: read from their file, run in parts, and the same result."""

import gc
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from large_networks import network, saved, small_limits, wide_network
from small_networks import images_for, run
from spiq import Config, Quantized, quantize
from spiq.errors import ModelError
from spiq.runtime.session import session
from spiq.runtime.snr import snr_db

RANGE = ((-2.118, 2.640),)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return network()


@pytest.fixture(scope="module")
def path(model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return saved(tmp_path_factory.mktemp("large"), copy)


@pytest.fixture(scope="module")
def plain(model: onnx.ModelProto) -> Quantized:
    """The result where no network is large."""
    return quantize(model, Config(input_range=RANGE, timing=False))


@pytest.fixture
def large(path: Path, monkeypatch: pytest.MonkeyPatch) -> Quantized:
    small_limits(monkeypatch)
    return quantize(path, Config(input_range=RANGE))


def test_the_result_is_that_of_a_small_network(plain: Quantized, large: Quantized) -> None:
    assert large.plan == plain.plan
    assert large.model == plain.model
    assert large.report.snr_db == pytest.approx(plain.report.snr_db, abs=0.5)
    assert large.report.bytes_after == len(large.model)


def test_weights_in_the_file_itself(
    large: Quantized, model: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save(model, tmp_path / "net.onnx")
    found = quantize(tmp_path / "net.onnx", Config(input_range=RANGE))
    assert found.model == large.model
    assert found.report.bytes_before == (tmp_path / "net.onnx").stat().st_size
    assert any("checked in parts" in note for note in found.report.notes)


@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "message"])
def test_a_network_that_is_handed_over(
    as_bytes: bool, large: Quantized, model: onnx.ModelProto
) -> None:
    content = model.SerializeToString()
    found = quantize(content if as_bytes else model, Config(input_range=RANGE))
    assert found.model == large.model and model.SerializeToString() == content
    assert found.report.bytes_before == len(content)
    assert any("checked in parts" in note for note in found.report.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="looks where Linux lists what is open")
def test_files_are_open_as_long_as_the_result(
    plain: Quantized, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> set[str]:
        gc.collect()
        found = {m for m in Path("/proc/self/maps").read_text().splitlines() if "net.data" in m}
        for file in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # that of the list itself
                found.add(os.readlink(f"/proc/self/fd/{file}"))
        return found

    small_limits(monkeypatch)
    before = held()
    made = quantize(path, Config(input_range=RANGE))
    assert made.model == plain.model  # reads every weight
    assert held() - before
    del made
    assert not held() - before


def test_it_says_what_was_not_checked(large: Quantized) -> None:
    assert any("checked in parts" in note for note in large.report.notes)
    assert large.report.latency is None


def test_the_file_that_is_written_runs(
    large: Quantized, model: onnx.ModelProto, tmp_path: Path
) -> None:
    large.save(tmp_path / "out.onnx")
    written = (tmp_path / "out.onnx").read_bytes()
    assert written == large.model
    feed = images_for(model, 2)
    assert snr_db(run(model, feed)["y"], run(written, feed)["y"]) > 25


def test_what_one_file_cannot_hold_is_two_that_run(
    large: Quantized, model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiq.io.write._LIMIT", 1 << 16)
    large.save(tmp_path / "out.onnx")
    (data,) = tmp_path.glob("*.data")
    assert data.stat().st_size > 1 << 18
    feed = images_for(model, 2)
    opened = session(tmp_path / "out.onnx")
    (found,) = opened.run(["y"], feed)
    monkeypatch.undo()
    assert (found == run(large.model, feed)["y"]).all()


@pytest.mark.parametrize("target", ["tensorrt", "qnn"])
def test_another_target(path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_limits(monkeypatch)
    assert quantize(path, Config(target=target, input_range=RANGE)).report.snr_db["y"] > 20


def test_without_batchnorm_and_without_a_range(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observed and tried, so that the float network runs in parts too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in [n for n in copy.graph.node if n.op_type == "BatchNormalization"]:
        before = next(n for n in copy.graph.node if node.input[0] in n.output)
        before.output[0] = node.output[0]
        copy.graph.node.remove(node)
    plain = quantize(copy, Config(timing=False))
    small_limits(monkeypatch)
    found = quantize(saved(tmp_path, copy), Config())
    assert found.report.quantized_layers == plain.report.quantized_layers
    assert found.report.snr_db["y"] == pytest.approx(plain.report.snr_db["y"], abs=3)


def test_damaged_weights_are_one_line(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_limits(monkeypatch)
    (tmp_path / "net.onnx").write_bytes(path.read_bytes())
    data = bytearray(path.with_name("net.data").read_bytes())
    data[100_000:100_400] = b"\xff" * 400  # NaN
    (tmp_path / "net.data").write_bytes(data)
    with pytest.raises(ModelError, match="NaN"):
        quantize(tmp_path / "net.onnx")


PEAK = """
import sys
import spiq
from spiq.graph import lazy, mapped
from spiq.runtime import parts

lazy.LARGE, parts.PART, mapped._KEPT = (int(size) for size in sys.argv[2:])
config = spiq.Config(input_range=((-2.118, 2.640),), timing=False)
def most():  # not what getrusage says: that begins with what the parent had
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])
spiq.quantize("small/net.onnx", config)
before = most()
spiq.quantize(sys.argv[1], config)
print(1024 * (most() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory(tmp_path: Path) -> None:
    """The process grows by less than the network's size: as a whole, three times it."""
    (tmp_path / "small").mkdir()
    saved(tmp_path / "small", network(1, 8))
    path = saved(tmp_path, wide_network())
    size = path.with_name("net.data").stat().st_size

    limits = [str(n) for n in (1 << 20, 1 << 22, 1 << 21)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), *limits],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1.2 * size
