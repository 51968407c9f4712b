"""A network whose tensors are all outputs, opened as it is written."""

from dataclasses import dataclass
from typing import Any

import onnx
import onnxruntime as ort

from spiq.inspection.counterparts import Names, names
from spiq.inspection.in_single import AsRun
from spiq.runtime.expose import add_outputs
from spiq.runtime.session import session


@dataclass(frozen=True)
class Exposed:
    """A network whose tensors are all outputs."""

    where: str
    proto: onnx.ModelProto
    graph: Names
    session: ort.InferenceSession
    inputs: dict[str, list[Any]]

    def floats(self) -> frozenset[str]:
        """Names of the tensors that hold floats."""
        outputs = self.session.get_outputs()
        return frozenset(o.name for o in outputs if o.type in ("tensor(float)", "tensor(double)"))


def exposed(network: AsRun) -> Exposed:
    """Open a network with all its tensors as outputs; ONNX Runtime is not to optimize it."""
    graph, proto = names(network.proto.graph), network.light()
    add_outputs(proto, graph.writers)
    opened = session(network.whole(proto), optimize=False, name=network.name)
    inputs = {value.name: value.shape for value in opened.get_inputs()}
    return Exposed(network.name, network.proto, graph, opened, inputs)
