"""See the tensors inside a network: they become outputs of a copy, which runs.

The network that is given stays as it is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from spiq.runtime.opened import Opened, Tensors
from spiq.runtime.parts import Parted, is_parted, parted
from spiq.runtime.session import call
from spiq.runtime.weights import apart, opened_with


@dataclass(frozen=True)
class Exposed:
    """A float network whose tensors can be read.

    Attributes:
        session: The network, open in the runtime.
        names: The tensors.
    """

    session: Opened
    names: tuple[str, ...]

    def run(self, given: Tensors) -> Tensors:
        """Return the tensors for some inputs, by name; inputs themselves may be among them."""
        inside = [name for name in self.names if name not in given]
        found = call(self.session, inside, given, where="the float network") if inside else []
        tensors = {**given, **dict(zip(inside, found, strict=True))}
        return {name: tensors[name] for name in self.names}

    def through(self, feeds: Iterable[Tensors]) -> Iterator[Tensors]:
        """Yield the tensors for one input after the other.

        Those of a large network come part by part: for all inputs some of them, then others.
        """
        if isinstance(self.session, Parted):
            yield from (found for _, found in self.session.through(feeds))
            return
        for given in feeds:
            yield self.run(given)


def expose(model: ir.Model, values: Iterable[ir.Value]) -> Exposed:
    """Open a network with a way to read some of its tensors.

    Args:
        model: The network.
        values: Tensors of its main graph.

    Raises:
        ModelError: The runtime refuses the network.
    """
    wanted = list(dict.fromkeys(values))
    inside = [value for value in wanted if not (value.is_graph_input() or value.is_graph_output())]
    names = tuple(str(value.name) for value in wanted)
    if is_parted(model):
        return Exposed(parted(model, names or None), names)
    with _more_outputs(model.graph, inside):
        proto, weights = apart(model)
    return Exposed(opened_with(proto, weights), names)


@contextmanager
def _more_outputs(graph: ir.Graph, values: Iterable[ir.Value]) -> Iterator[None]:
    outputs = list(graph.outputs)
    graph.outputs.extend(values)
    try:
        yield
    finally:
        graph.outputs.clear()
        graph.outputs.extend(outputs)


def add_outputs(proto: onnx.ModelProto, names: Iterable[str]) -> None:
    """Make tensors of a serialized network outputs too, in place; those that are stay one."""
    have = {output.name for output in proto.graph.output}
    proto.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in have
    )
