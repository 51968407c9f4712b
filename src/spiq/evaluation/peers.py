"""What other tools make of the same network, to be timed beside it.

    quantize_static     ONNX Runtime's: uint8 activations, int8 weights per channel, MinMax
    quantize_dynamic    ONNX Runtime's: uint8 weights, the form with a fast kernel
    nncf                ``nncf.quantize`` with its defaults, where NNCF is installed

Each gets the network after ONNX Runtime's own pre-processing, which folds BatchNorm. They calibrate
on a few synthetic pictures: how long a network takes does not depend on its ranges. How right it is
does, so this says nothing about that; `bench/accuracy.py` gives them real images.
"""

import importlib
import importlib.util
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from spiq.errors import ConfigError
from spiq.io.checks import is_integer
from spiq.runtime.opened import Tensors
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_inputs

IMAGES = 4
"""Pictures to calibrate on."""

Maker = Callable[[Path, Path, Sequence[Tensors]], None]


@dataclass
class Peers:
    """Networks of other tools.

    Attributes:
        paths: Of those that were made, by name of the tool.
        missing: Why others were not, by name.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def made_by_peers(model: Path | bytes, folder: Path) -> Peers:
    """Quantize a network with other tools.

    Args:
        model: The float network.
        folder: Where their networks go, each named after its tool.

    Raises:
        ModelError: The network cannot be opened.
        ConfigError: It is quantized already.
    """
    plain = folder / "float.onnx"
    if isinstance(model, bytes):
        plain.write_bytes(model)
    source = plain if isinstance(model, bytes) else model
    opened = session(source)
    _refuse_quantized(source)
    feeds = [synthetic_inputs(opened, images=1, seed=seed) for seed in range(IMAGES)]
    found = Peers()
    for name, maker in _MAKERS.items():
        path = folder / f"{name}.onnx"
        try:
            maker(source, path, feeds)
            session(path)
        except _Absent as error:
            found.missing[name] = str(error)
        except Exception as error:  # each tool has its own, and none is ours to mend
            text = " ".join((str(error) or type(error).__name__).split())
            found.missing[name] = f"it fails on this network: {text[:_LONGEST]}"
        else:
            found.paths[name] = path
    return found


_LONGEST = 120
"""Letters of another tool's message that are shown."""


class _Absent(Exception):
    """A tool is not installed."""


def _refuse_quantized(path: Path) -> None:
    graph = onnx.load(path, "protobuf", load_external_data=False).graph
    if any(map(is_integer, graph.node)):
        raise ConfigError(f"--peers: {path} is quantized: put the float network first")


def _folded(path: Path, out: Path) -> onnx.ModelProto:
    """Return a network after ONNX Runtime's own pre-processing."""
    tools: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    prepared = out.with_suffix(".prepared")
    # the symbolic pass gives up on a channel shuffle with a free batch
    tools.quant_pre_process(path, prepared, skip_symbolic_shape=True)
    return onnx.load(prepared, "protobuf")


def _static(path: Path, out: Path, feeds: Sequence[Tensors]) -> None:
    tools: Any = importlib.import_module("onnxruntime.quantization")
    rest = iter(feeds)

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Tensors | None:
            return next(rest, None)

    with _quiet():
        tools.quantize_static(
            _folded(path, out),
            out,
            Reader(),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )


def _dynamic(path: Path, out: Path, feeds: Sequence[Tensors]) -> None:
    tools: Any = importlib.import_module("onnxruntime.quantization")
    with _quiet():
        tools.quantize_dynamic(_folded(path, out), out, weight_type=tools.QuantType.QUInt8)


def _nncf(path: Path, out: Path, feeds: Sequence[Tensors]) -> None:
    if importlib.util.find_spec("nncf") is None:
        raise _Absent("not installed: pip install nncf")
    nncf: Any = importlib.import_module("nncf")
    with _quiet():
        dataset = nncf.Dataset(list(feeds))
        onnx.save(nncf.quantize(_folded(path, out), dataset, subset_size=len(feeds)), out)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' warnings, and NNCF's bars, to themselves for a while."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    nowhere = io.StringIO()
    try:
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(before)


_MAKERS: dict[str, Maker] = {
    "quantize_static": _static,
    "quantize_dynamic": _dynamic,
    "nncf": _nncf,
}
