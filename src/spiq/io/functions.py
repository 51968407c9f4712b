"""Functions of a model's own, written out where they are called."""

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from spiq.errors import UnsupportedError

_MOST = 1_000_000
"""Nodes beyond which a network is none: functions that call each other double with every level."""


def inline(model: ir.Model, *, where: str) -> None:
    """Put the nodes of functions in the place of their calls, in place.

    Raises:
        UnsupportedError: Functions call themselves, cannot be written out, or grow beyond measure.
    """
    try:
        if model.functions and _written_out(model) > _MOST:
            raise ValueError(f"they hold more than {_MOST} nodes")
        InlinePass()(model)
    except (ir.passes.InvariantError, ir.passes.PassError, ValueError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UnsupportedError(
            f"{where}: its functions cannot be inlined ({' '.join(str(cause).split())}): export it "
            "without functions"
        ) from error
    model.functions.clear()


def _written_out(model: ir.Model) -> int:
    """Return how many nodes a model has when all calls are written out.

    Raises:
        ValueError: A function calls itself.
    """
    known: dict[ir.OperatorIdentifier, int] = {}
    under_way: set[ir.OperatorIdentifier] = set()

    def size(nodes: list[ir.Node]) -> int:
        return sum(called(node.op_identifier()) for node in nodes)

    def called(name: ir.OperatorIdentifier) -> int:
        function = model.functions.get(name)
        if function is None:
            return 1
        if name in under_way:
            raise ValueError(f"function {name[1]!r} calls itself")
        if name not in known:
            under_way.add(name)
            known[name] = size(list(function.all_nodes()))
            under_way.remove(name)
        return known[name]

    return size(list(model.graph.all_nodes()))
