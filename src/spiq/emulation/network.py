"""A quantized network as an ``nn.Module``: its graph, computed node by node in PyTorch.

The graph that ships is the program, QuantizeLinear and DequantizeLinear included, so the module
computes what the graph means, on any device; layers, sums, products and pools on integers as
kernels compute them. Runtimes round in other places now and then (where they look sigmoids up):
what they store is within two steps.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from spiq.emulation.fused import FUSED, fuse, integer_layer
from spiq.emulation.kernels import KERNELS
from spiq.emulation.operators import OPERATORS
from spiq.emulation.operators.integers import straight_through
from spiq.emulation.ordered import ORDERED, in_order
from spiq.emulation.step import Step, step_of, tensor_of
from spiq.errors import ConfigError, UnsupportedError

_COMPUTED = {**OPERATORS, **KERNELS, **ORDERED, FUSED: integer_layer}
_AUTOCAST = ("cpu", "cuda")
_INNER = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_LISTED = 5
"""Nodes that an error names."""

_ASKED = {"Clip": (1, 2), "Pad": (2,), "Resize": (1, 2), "Upsample": (1,)}
"""Places of what an operator is told as numbers in Python: bounds, a filling, scales."""


class Network(nn.Module):  # type: ignore[misc]
    """A network that computes an ONNX graph; see :meth:`spiq.Quantized.to_torch`.

    Called with tensors in the order of ``input_names``, or by those names, it returns the output,
    or a tuple of them in the order of ``output_names``. Constants are buffers, so ``to("cuda")``
    works as for any module. It has no training mode and no parameters.

    Attributes:
        input_names: Names of the inputs.
        output_names: Names of the outputs.
    """

    def __init__(self, model: ir.Model, *, differentiable: bool = False) -> None:
        """Take a graph of opset 13 or newer.

        Args:
            model: The network.
            differentiable: Whether gradients pass through rounding as if it were not there.

        Raises:
            UnsupportedError: PyTorch does not compute an operator of it here; all are named.
        """
        super().__init__()
        graph = model.graph
        check(graph)
        self.input_names = tuple(str(value.name) for value in graph.inputs)
        self.output_names = tuple(str(value.name) for value in graph.outputs)
        rounded = straight_through if differentiable else torch.round
        constants = {
            name: tensor_of(value.const_value)
            for name, value in graph.initializers.items()
            if value.const_value is not None
        }
        steps = [step_of(node, rounded) for node in graph]
        fused = fuse(steps, constants, self.output_names)
        self._steps = in_order(fused, constants, _channels(graph), self.output_names)
        self._last = _last_uses(self._steps, self.output_names)
        self._sizes: dict[str, torch.Tensor] = {}
        self._places: dict[str, str] = {}
        read = {name for step in self._steps for name in step.inputs} | {*self.output_names}
        asked = asked_for(graph)
        for name, tensor in constants.items():
            if name in read:
                self._hold(name, tensor, stays=name in asked)
        self.eval()

    def _hold(self, name: str, tensor: torch.Tensor, *, stays: bool) -> None:
        """Keep a constant: what stays on the CPU as it is, others as buffers."""
        if stays:
            self._sizes[name] = tensor
        else:
            self._places[name] = f"constant_{len(self._places)}"
            self.register_buffer(self._places[name], tensor)

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> Any:
        """Compute the network.

        Args:
            inputs: Tensors, in the order of ``input_names``.
            named: The same by name.

        Raises:
            ConfigError: There are more or fewer of them than the network has inputs.
        """
        values: dict[str, Any] = dict(self._given(inputs, named))
        device = next((given.device.type for given in values.values()), "cpu")
        values |= self._sizes
        values |= {name: getattr(self, place) for name, place in self._places.items()}
        with exact(device):
            for step, gone in zip(self._steps, self._last, strict=True):
                read = [None if name is None or not name else values[name] for name in step.inputs]
                found = _COMPUTED[step.operator](step, read)
                written = (found,) if isinstance(found, torch.Tensor) else found
                values.update(zip(step.outputs, written, strict=False))
                for name in gone:
                    values.pop(name, None)
        results = tuple(values[name] for name in self.output_names)
        return results[0] if len(results) == 1 else results

    def _given(
        self, inputs: tuple[torch.Tensor, ...], named: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        given = dict(zip(self.input_names, inputs, strict=False)) | dict(named)
        if len(inputs) + len(named) != len(given) or set(given) != set(self.input_names):
            raise ConfigError(
                f"the network is called with {len(inputs) + len(named)} inputs: give "
                f"{len(self.input_names)}, {', '.join(self.input_names)}"
            )
        return given


def _is_wide(node: ir.Node) -> bool:
    """Return whether a node is a conversion of 16 bits, as files before opset 21 have it."""
    conversion = node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return node.domain == "com.microsoft" and conversion


def check(
    graph: ir.Graph, instead: str = "use result.run(), which runs them in ONNX Runtime"
) -> None:
    """Refuse what has no function, all at once, and say what to do instead.

    Raises:
        UnsupportedError: There is such an operator.
    """
    unknown = [
        f"{node.op_type} '{node.name or node.outputs[0].name}'"
        for node in graph
        if not (node.domain in ("", "ai.onnx") or _is_wide(node))
        or node.op_type not in OPERATORS
        or any(attribute.type in _INNER for attribute in node.attributes.values())
    ]
    if unknown:
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise UnsupportedError(
            f"not emulated in PyTorch: {', '.join(unknown[:_LISTED])}{more}: {instead}"
        )


def asked_for(graph: ir.Graph) -> frozenset[str]:
    """Return names of the constants that stay on the CPU: a device would wait for each, each time.

    They are what shapes are made of, and what nothing but operators that want numbers reads.
    """
    return frozenset(
        name
        for name, value in graph.initializers.items()
        if value.const_value is not None and (_is_shape(value.const_value) or _is_asked(value))
    )


def _is_shape(constant: ir.TensorProtocol) -> bool:
    return constant.dtype == ir.DataType.INT64 and len(constant.shape) < 2


def _is_asked(value: ir.Value) -> bool:
    uses = [place in _ASKED.get(node.op_type, ()) for node, place in value.uses()]
    return bool(uses) and all(uses) and not value.is_graph_output()


def _channels(graph: ir.Graph) -> dict[str, int]:
    """Return the second size of each value of four axes that the file states."""
    values = [value for node in graph for value in node.outputs]
    return {
        str(value.name): size
        for value in (*graph.inputs, *values)
        if value.shape is not None
        and len(value.shape) == 4
        and isinstance(size := value.shape[1], int)
    }


def _last_uses(steps: tuple[Step, ...], kept: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return which values each step is the last to read or the only one to know."""
    done, gone = set(kept), []
    for step in reversed(steps):
        names = {name for name in (*step.inputs, *step.outputs) if name} - done
        done |= names
        gone.append(tuple(names))
    return tuple(reversed(gone))


@contextmanager
def exact(device: str) -> Iterator[None]:
    """Compute in full single precision: neither TF32 on a GPU nor autocast."""
    flags = torch.backends.cudnn
    with ExitStack() as stack:
        stack.enter_context(
            flags.flags(
                enabled=flags.enabled,
                benchmark=flags.benchmark,
                deterministic=flags.deterministic,
                allow_tf32=False,
            )
        )
        if device in _AUTOCAST:
            stack.enter_context(torch.autocast(device, enabled=False))
        yield
