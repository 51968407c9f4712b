"""Which layers ended in an integer kernel of the runtime."""

import re
from collections.abc import Iterable
from pathlib import Path

import onnx

from spiq.errors import VerificationError
from spiq.io.outline import outline

_INTEGER = frozenset({"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger",
                      "MatMulIntegerToFloat", "DynamicQuantizeMatMul"})  # fmt: skip
_FLOAT = frozenset({"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"})

_COPY = re.compile(r"_token_\d+$")
"""What the runtime's layout pass adds to a node's name."""


def check_kernels(optimized: Path, layers: Iterable[str], products: Iterable[str]) -> None:
    """Refuse a network of which the runtime computes a quantized layer in float.

    (A layer that it does not compute at all, since nothing depends on its numbers, is no loss.)

    Args:
        optimized: The graph as the runtime runs it.
        layers: Names of the layers that the plan quantizes.
        products: Names of products of two tensors on integers.

    Raises:
        VerificationError: There is one; it is named.
    """
    model = outline(optimized) or onnx.load(optimized, "protobuf", load_external_data=False)
    graph = model.graph
    found = [_COPY.sub("", node.name) for node in graph.node if node.op_type in _INTEGER]
    left = [node for node in graph.node if node.op_type in _FLOAT]
    wanted, others = list(layers), set(products)
    fallen_products = others.intersection(_COPY.sub("", node.name) for node in left)
    missing = [name for name in wanted if name not in set(found)] + sorted(fallen_products)
    found = [name for name in found if name not in others]
    fallen = max(min(len(wanted) - len(found), len(left)), 0) + len(fallen_products)
    if fallen > 0:
        raise VerificationError(
            f"{fallen} of {len(wanted) + len(others)} quantized layers fell back to float in ONNX "
            f"Runtime ({', '.join(missing[:3])}): exclude them with --exclude",
            nodes=dict.fromkeys(missing, "ONNX Runtime computes it in float"),
        )
