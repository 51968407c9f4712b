"""Conversions to and from 16 bits: ONNX's own know them from opset 21 on, before then Microsoft's.

ONNX Runtime runs both (in float between them: no integer kernel of its CPU takes 16 bits), and its
QNN quantizer writes the same.
"""

from collections.abc import Sequence

import onnx_ir as ir

_WIDE = frozenset({ir.DataType.INT16, ir.DataType.UINT16})
_FIRST = 21
_MICROSOFT = "com.microsoft"


def conversion_domain(graph: ir.Graph, inputs: Sequence[ir.Value]) -> str:
    """Return the domain of a conversion; where it is not ONNX's, the graph imports it.

    Args:
        graph: The network.
        inputs: What the node reads; if there is a third, it is a zero point.
    """
    imports = graph.opset_imports
    if len(inputs) < 3 or inputs[2].dtype not in _WIDE or imports.get("", 0) >= _FIRST:
        return ""
    imports.setdefault(_MICROSOFT, 1)
    return _MICROSOFT
