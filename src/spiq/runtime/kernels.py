"""Which layers ended in an integer kernel of the runtime."""

import re
from collections.abc import Iterable
from pathlib import Path

import onnx

from spiq.errors import VerificationError

_INTEGER = frozenset({"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger",
                      "MatMulIntegerToFloat", "DynamicQuantizeMatMul"})  # fmt: skip
_FLOAT = frozenset({"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"})

_COPY = re.compile(r"_token_\d+$")
"""What the runtime's layout pass adds to a node's name."""


def check_kernels(optimized: Path, layers: Iterable[str]) -> None:
    """Refuse a network of which the runtime computes a quantized layer in float.

    (A layer that it does not compute at all, since nothing depends on its numbers, is no loss.)

    Args:
        optimized: The graph as the runtime runs it.
        layers: Names of the layers that the plan quantizes.

    Raises:
        VerificationError: There is one; it is named.
    """
    graph = onnx.load(optimized, load_external_data=False).graph
    found = [_COPY.sub("", node.name) for node in graph.node if node.op_type in _INTEGER]
    left = [node for node in graph.node if node.op_type in _FLOAT]
    wanted = list(layers)
    missing = [name for name in wanted if name not in set(found)]
    fallen = min(len(wanted) - len(found), len(left))
    if fallen > 0:
        raise VerificationError(
            f"{fallen} of {len(wanted)} quantized layers fell back to float in ONNX Runtime "
            f"({', '.join(missing[:3])}): exclude them with --exclude",
            nodes=dict.fromkeys(missing, "ONNX Runtime computes it in float"),
        )
