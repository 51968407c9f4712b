"""The runtimes that networks are evaluated and timed in, behind one small interface.

ONNX Runtime's own session is that interface. OpenVINO (the extra ``spiq[openvino]``) is given the
same: inputs and outputs with a name, a type and a shape, and ``run``. It computes what is float in
float32, as ONNX Runtime does, and compiles a network for the sizes at hand.

A runtime may end the process instead of saying that it cannot do something, so a network is first
run in a child process (:mod:`spiq.runtime.probe`).
"""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spiq.errors import ConfigError, ModelError
from spiq.runtime.opened import Arrays, Opened, Port
from spiq.runtime.probe import Work, compiled, why_not
from spiq.runtime.session import session
from spiq.value_checks import one_of

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
RUNTIMES = (ONNXRUNTIME, OPENVINO)

Model = str | os.PathLike[str] | bytes

_TYPES = {"f32": "float", "f64": "double", "f16": "float16", "u8": "uint8", "i8": "int8",
          "i32": "int32", "i64": "int64", "boolean": "bool"}  # fmt: skip


def opened_in(runtime: str, model: Model, *, threads: int = 0, name: str = "the model") -> Opened:
    """Open a network in a runtime.

    Args:
        runtime: One of ``RUNTIMES``.
        model: Path of an ONNX file, or the bytes of one.
        threads: Threads of the runtime; 0 lets it choose.
        name: What messages call the network.

    Raises:
        ConfigError: There is no such runtime, or it is not installed.
        ModelError: The runtime refuses the network, or crashes on it.
    """
    if runtime == ONNXRUNTIME:
        opened: Opened = session(model, threads=threads, name=name)
        return opened
    one_of("runtime", runtime, RUNTIMES)
    return _open_in_openvino(model, threads, name)


def named_in(runtimes: Sequence[str], models: Sequence[str]) -> list[tuple[int, str, str]]:
    """Return each network in each runtime: its place, the runtime, and what it is called.

    >>> named_in(["onnxruntime", "openvino"], ["a.onnx"])
    [(0, 'onnxruntime', 'a.onnx (onnxruntime)'), (0, 'openvino', 'a.onnx (openvino)')]
    """
    plain = tuple(runtimes) == (ONNXRUNTIME,)
    return [
        (index, runtime, name if plain else f"{name} ({runtime})")
        for runtime in runtimes
        for index, name in enumerate(models)
    ]


@dataclass
class _Port:
    name: str
    type: str
    shape: list[Any]


@dataclass
class _InOpenVino:
    """A network in OpenVINO, compiled for the sizes that it was given last."""

    work: Work
    name: str
    core: Any
    graph: Any
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    request: Any = None

    def get_inputs(self) -> Sequence[Port]:
        return [_port(value) for value in self.graph.inputs]

    def get_outputs(self) -> Sequence[Port]:
        return [_port(value) for value in self.graph.outputs]

    def run(self, names: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        sizes = {name: array.shape for name, array in feeds.items()}
        if sizes != self.sizes:
            if self.request is None and (why := why_not(self.work, feeds)):
                raise ModelError(f"{self.name}: OpenVINO {why}")
            self.request = compiled(self.core, self.graph, sizes, self.work.threads)
            self.sizes = sizes
        self.request.infer(dict(feeds))
        wanted = names or [port.name for port in self.get_outputs()]
        return [self.request.get_tensor(name).data.copy() for name in wanted]


def _open_in_openvino(model: Model, threads: int, name: str) -> Opened:
    try:
        core: Any = importlib.import_module("openvino").Core()
    except ImportError as error:
        raise ConfigError(
            "OpenVINO is not installed: pip install 'spiq[openvino]', or leave --runtime out"
        ) from error
    source = model if isinstance(model, bytes) else str(Path(model))
    work = Work(source, threads)
    if why := why_not(work, None):
        raise ModelError(f"{name}: OpenVINO {why}")
    return _InOpenVino(work, name, core, core.read_model(source))


def _port(value: Any) -> _Port:
    kind = value.get_element_type().get_type_name()
    shape = [size.get_length() if size.is_static else None for size in value.get_partial_shape()]
    return _Port(value.get_any_name(), f"tensor({_TYPES.get(kind, kind)})", shape)
