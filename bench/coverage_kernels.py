"""Which multiply-accumulates of a network the runtime does on integers, and its time.

Read off the runtime's own profile of one run: every kernel, the ones that optimization made
included, with the shapes of what it read and wrote. Prepacking is off, since prepacked weights
have no shape there.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

Feeds = Mapping[str, np.ndarray]
Shapes = list[tuple[int, ...]]

INTEGER = frozenset({"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger",
                     "MatMulIntegerToFloat", "DynamicQuantizeMatMul"})  # fmt: skip


def _conv(given: Shapes, made: Shapes) -> int:
    weight = next(shape for shape in given[1:] if len(shape) == len(given[0]))
    return math.prod(made[0]) * math.prod(weight[1:])


def _transposed(given: Shapes, made: Shapes) -> int:
    return math.prod(given[0]) * math.prod(given[1][1:])


def _matmul(given: Shapes, made: Shapes) -> int:
    return math.prod(made[0]) * given[0][-1]


def _gemm(given: Shapes, made: Shapes) -> int:
    columns = made[0][-1]
    return math.prod(given[0]) * columns


def _recurrent(given: Shapes, made: Shapes) -> int:
    return math.prod(given[0][:2]) * (math.prod(given[1]) + math.prod(given[2]))


WORK: dict[str, Callable[[Shapes, Shapes], int]] = {
    **dict.fromkeys(("Conv", "FusedConv", "QLinearConv", "ConvInteger"), _conv),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("Gemm", "FusedGemm", "QGemm"), _gemm),
    **dict.fromkeys(("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger",
                     "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _matmul),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}  # fmt: skip
"""Multiply-accumulates of a kernel, from the shapes of what it reads and writes."""


@dataclass(frozen=True)
class Work:
    """Layers and multiply-accumulates on integers and in float; names of the latter."""

    integer_layers: int
    float_layers: int
    integer_macs: int
    float_macs: int
    left: dict[str, int]


def work(model: bytes | Path, feeds: Feeds) -> Work:
    """Run a network once, and return what the runtime computed on integers and in float."""
    counts = {True: [0, 0], False: [0, 0]}
    left: dict[str, int] = {}
    for name, operator, given, made in _kernels(model, feeds):
        macs = WORK[operator](given, made)
        integer = operator in INTEGER
        counts[integer][0] += 1
        counts[integer][1] += macs
        if not integer:
            left[name] = left.get(name, 0) + macs
    return Work(counts[True][0], counts[False][0], counts[True][1], counts[False][1], left)


def _kernels(model: bytes | Path, feeds: Feeds) -> list[tuple[str, str, Shapes, Shapes]]:
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/run"
        # Not all: of blocks of channels, shapes are rounded up.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.add_session_config_entry("session.disable_prepacking", "1")
        opened = session(model, options)
        opened.run(None, dict(feeds))
        events = json.loads(Path(opened.end_profiling()).read_text())
    return [
        (
            event["name"].removesuffix("_kernel_time"),
            event["args"]["op_name"],
            _shapes(event["args"]["input_type_shape"]),
            _shapes(event["args"]["output_type_shape"]),
        )
        for event in events
        if event.get("cat") == "Node" and event["args"].get("op_name") in WORK
        if "input_type_shape" in event["args"]
    ]


def _shapes(told: list[dict[str, list[int]]]) -> Shapes:
    return [tuple(shape) for one in told for shape in one.values()]


def session(model: bytes | Path, options: ort.SessionOptions | None = None) -> ort.InferenceSession:
    """Open a network with one thread, without a word."""
    options = options or ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def latencies(models: Mapping[str, Path], picture: np.ndarray, rounds: int) -> dict[str, float]:
    """Milliseconds of each network, medians of interleaved runs on one thread.

    Of the thread's own time: whatever else keeps the machine busy does not count.
    """
    opened = {row: session(path) for row, path in models.items()}
    times: dict[str, list[float]] = {row: [] for row in models}
    for turn in range(rounds + 1):
        for row, one in opened.items():
            start = time.thread_time()
            one.run(None, feeds_of(one, picture))
            if turn:
                times[row].append(1e3 * (time.thread_time() - start))
    return {row: round(float(np.median(found)), 3) for row, found in times.items()}


def feeds_of(opened: ort.InferenceSession, picture: np.ndarray) -> dict[str, np.ndarray]:
    """What a network with one input takes of a picture (1, C, H, W), which may have no batch."""
    node = opened.get_inputs()[0]
    return {node.name: picture[0] if len(node.shape) < picture.ndim else picture}
