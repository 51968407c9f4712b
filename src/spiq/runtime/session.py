"""Sessions of ONNX Runtime on the CPU, with spiq's errors."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from spiq.errors import ModelError
from spiq.graph.query import shape_text
from spiq.runtime.opened import Opened
from spiq.value_checks import at_least

_threads = 0


@contextmanager
def threads_of_all(count: int) -> Iterator[None]:
    """Give networks that are opened from now on so many threads, where they are not given a number.

    It holds for all of the process, as the threads of a library usually do.

    Raises:
        ConfigError: There cannot be so few threads.
    """
    global _threads
    at_least(0, threads=count)
    before, _threads = _threads, count
    try:
        yield
    finally:
        _threads = before


def spare_threads() -> int:
    """Return how many threads a network gets that runs while one core is busy otherwise.

    One core less than there are: with all of them the runtime's threads, which spin, take turns
    with the work beside, and both end later.
    """
    return max((_threads or _cores()) - 1, 1)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Opening(TypedDict):
    """What else to say when a network is opened."""

    lean: bool
    signed: bool


def session(
    model: bytes | str | os.PathLike[str],
    *,
    threads: int = 0,
    optimize: bool = True,
    lean: bool = False,
    signed: bool = False,
    optimized_path: str | os.PathLike[str] | None = None,
    profile: str | os.PathLike[str] | None = None,
    weights: Mapping[str, npt.NDArray[np.generic]] = MappingProxyType({}),
    name: str = "the model",
) -> ort.InferenceSession:
    """Open ``model`` (a path or serialized bytes) for the CPU.

    Args:
        model: Path of an ONNX file, or the bytes of one.
        threads: Intra-operator threads; 0 takes those of :func:`threads_of_all`, or else lets the
            runtime choose.
        optimize: False runs every node as written: QuantizeLinear and DequantizeLinear are then
            executed in float, which is the reference that fused kernels are compared with.
        lean: Give memory back at once, instead of keeping it for the next tensor: half of it for
            large images, but slower for small ones.
        signed: Leave int8 activations as they are, which ARM does, where x86 makes uint8 of them.
        optimized_path: Where to write the graph as the runtime optimized it, if anywhere.
        profile: How the name of the file begins that gets the time of every kernel, if any does.
        weights: Those that the model says are in files, by name; they are not copied.
        name: What messages call a network that is given as bytes.

    Raises:
        ModelError: The runtime refuses the model; the message carries the runtime's reason.
        ConfigError: There cannot be so few threads.
    """
    at_least(0, threads=threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or _threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = not lean
    if signed:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized_path is not None:
        options.optimized_model_filepath = os.fspath(optimized_path)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, os.fspath(profile)
    source = model if isinstance(model, bytes) else os.fspath(Path(model))
    if isinstance(source, str) and not Path(source).exists():
        raise ModelError(f"{source!r}: there is no such file: check the path")
    given: str | bytes = source
    if isinstance(source, str) and not _is_text(source):
        given = Path(source).read_bytes()  # the runtime takes no other names
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers([*weights], values)
    try:
        return _Session(given, options, providers=["CPUExecutionProvider"], held=values)
    except Exception as error:  # the runtime's exceptions share no public base class
        where = source if isinstance(source, str) else name
        raise ModelError(f"{where}: ONNX Runtime cannot load it: {_reason(error)}") from error


class _Session(ort.InferenceSession):  # type: ignore[misc]  # the runtime states no types
    """A session, and the arrays that it reads and does not own."""

    def __init__(self, *given: Any, held: Sequence[ort.OrtValue], **options: Any) -> None:
        super().__init__(*given, **options)
        self._held = held


def _is_text(path: str) -> bool:
    """Return whether a path is UTF-8; what is not came in as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def call(
    opened: Opened,
    names: Sequence[str] | None,
    feeds: Mapping[str, npt.NDArray[np.generic]],
    *,
    where: str,
) -> list[Any]:
    """Run a network once.

    Args:
        opened: The network.
        names: The outputs that are wanted; None for all.
        feeds: Inputs by name.
        where: The network's name for messages.

    Raises:
        ModelError: The runtime fails; the message carries its reason.
    """
    try:
        results: list[Any] = opened.run(names, feeds)
    except ModelError:
        raise
    except Exception as error:  # the runtime's exceptions share no public base class
        raise ModelError(
            f"{where}: ONNX Runtime cannot run it: {_reason(error)}: {_given(opened, feeds)}"
        ) from error
    return results


def _given(opened: Opened, feeds: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """Say what the inputs were, and what to do where the network does not say what they may be."""
    stated = {value.name: value.shape for value in opened.get_inputs()}
    parts, is_open = [], False
    for name, array in feeds.items():
        sizes = stated.get(name, array.shape)
        differs = list(sizes[1:]) != list(array.shape[1:])
        parts.append(f"'{name}' {list(array.shape)}" + f", of {shape_text(sizes)}" * differs)
        is_open |= differs
    todo = (
        "say what size the network is made for (--input-size), or export it with that"
        if is_open
        else "export a network that is made for other sizes with them"
    )
    return f"the input was {', '.join(parts)}: {todo}"


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
