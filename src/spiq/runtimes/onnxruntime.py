"""Sessions of ONNX Runtime on the CPU, with spiq's errors."""

import os
from pathlib import Path

import onnxruntime as ort

from spiq.errors import ModelError


def session(
    model: bytes | str | os.PathLike[str],
    *,
    threads: int = 0,
    optimize: bool = True,
    optimized_path: str | os.PathLike[str] | None = None,
) -> ort.InferenceSession:
    """Open ``model`` (a path or serialized bytes) for the CPU.

    Args:
        model: Path of an ONNX file, or the bytes of one.
        threads: Intra-operator threads; 0 lets the runtime choose.
        optimize: False runs every node as written: QuantizeLinear and DequantizeLinear are then
            executed in float, which is the reference that fused kernels are compared with.
        optimized_path: Where to write the graph as the runtime optimized it, if anywhere.

    Raises:
        ModelError: The runtime refuses the model; the message carries the runtime's reason.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized_path is not None:
        options.optimized_model_filepath = os.fspath(optimized_path)
    source = model if isinstance(model, bytes) else os.fspath(Path(model))
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        where = source if isinstance(source, str) else "the model"
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{where}: ONNX Runtime cannot load it: {reason}") from error
