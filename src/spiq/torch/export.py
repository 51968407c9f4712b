"""From a module, or what torch.export made of it, to an ONNX graph with BatchNorm kept.

    nn.Module -> copy -> torch.export -> ExportedProgram -> ONNX, not optimized -> named, plain

PyTorch's ONNX exporter folds BatchNorm in its optimizer, which is left out: what it does besides
(constants, no-ops) spiq does itself. An ``ONNXProgram`` still holds the program that it was made
from, and is exported again. The model is handed over in memory.

What torch.export cannot follow is traced by the older exporter (:mod:`spiq.torch.older`), and that
is said.

Where nothing is said of dynamic sizes the first axis of every input is left open, if the network
allows that. A size of 1 is taken for fixed by torch.export, so such examples are given twice.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.onnx import ONNXProgram
from torch.utils._pytree import tree_leaves, tree_map_only

from spiq.errors import ConfigError, SpiqError, UnsupportedError
from spiq.torch.attention import plain_attention
from spiq.torch.check import check, unwrapped
from spiq.torch.copying import copied, plain
from spiq.torch.names import name_by_modules
from spiq.torch.older import traced
from spiq.torch.pools import plain_pools
from spiq.torch.quiet import quiet
from spiq.torch.tidy import drop_zero_biases

OPSET = 20
"""Of the exported graph: the exporter's own default, whose operators are the best tested."""

NOTE = "spiq.note"
"""Where an exported graph keeps what there is to say of its export, in ``meta``."""

_log = logging.getLogger(__name__)

Network: TypeAlias = nn.Module | ExportedProgram | ONNXProgram


@dataclass(frozen=True)
class Example:
    """What a module is called with."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor in it, in order."""
        leaves = tree_leaves((self.args, dict(self.kwargs)))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def exported(
    network: Network,
    example_inputs: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ir.Model:
    """Export a network with BatchNorm kept; arguments as for :func:`spiq.torch.quantize`.

    Returns:
        A graph of its own. Layers have the names of their modules, such as ``layer1.0.conv1``.

    Raises:
        ConfigError: The arguments do not fit.
        ModelError: The module is in training mode or has no weights yet.
        UnsupportedError: It is quantized already, or cannot be exported.
    """
    if isinstance(network, ExportedProgram | ONNXProgram):
        given = (example_inputs, kwargs, dynamic_shapes)
        if any(value is not None for value in given):
            raise ConfigError(
                f"an {type(network).__name__} has its inputs and sizes already: leave out "
                "example_inputs, kwargs and dynamic_shapes"
            )
        model = _again(network) if isinstance(network, ONNXProgram) else _to_onnx(network)
    else:
        module = unwrapped(network)
        example = _example(module, example_inputs, kwargs)
        check(module)
        model = _of_module(copied(module), example, dynamic_shapes)
    name_by_modules(model)
    drop_zero_biases(model)
    return model


def _of_module(module: nn.Module, example: Example, dynamic_shapes: Any) -> ir.Model:
    try:
        return _to_onnx(_traced(module, example, dynamic_shapes))
    except UnsupportedError as error:
        if dynamic_shapes is not None:
            raise
        try:
            model = traced(module, example.args, example.kwargs)
        except Exception as other:  # the first exporter's reason says more
            _log.info("nor can the older exporter: %s", _first_line(other))
            raise error from other
        model.meta[NOTE] = (
            f"{type(module).__name__} is traced by PyTorch's older exporter, since torch.export "
            f"cannot follow it ({_first_line(error)}): sizes, and branches that depend on numbers, "
            "are those of the example inputs"
        )
        return model


def _example(module: nn.Module, given: Any, kwargs: Mapping[str, Any] | None) -> Example:
    if given is None and not kwargs:
        raise ConfigError(
            f"{type(module).__name__}: example_inputs are missing: give what the module is called "
            "with, such as torch.zeros(1, 3, 224, 224)"
        )
    args = given if isinstance(given, tuple) else () if given is None else (given,)
    return Example(plain(args), plain(dict(kwargs or {})))


def _traced(module: nn.Module, example: Example, dynamic_shapes: Any) -> ExportedProgram:
    if dynamic_shapes is not None:
        return _trace(module, example, dynamic_shapes)
    twice = _twice(example)
    open_batch = ShapesCollection()
    for tensor in twice.tensors:
        if tensor.ndim:
            open_batch[tensor] = {0: Dim.AUTO}
    try:
        program = _trace(module, twice, open_batch)
    except SpiqError:
        return _trace(module, example, None)
    return program if _is_open(program) else _trace(module, example, None)


def _twice(example: Example) -> Example:
    """Return an example of which every first size is at least 2."""

    def doubled(tensor: torch.Tensor) -> torch.Tensor:
        once = tensor.ndim and tensor.shape[0] == 1
        return torch.cat([tensor, tensor]) if once else tensor.clone()

    return Example(*tree_map_only(torch.Tensor, doubled, (example.args, dict(example.kwargs))))


def _trace(module: nn.Module, example: Example, dynamic_shapes: Any) -> ExportedProgram:
    name = type(module).__name__
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(
                module, example.args, dict(example.kwargs), dynamic_shapes=dynamic_shapes
            )
    except Exception as error:  # whatever the module raises, and torch.export
        raise UnsupportedError(
            f"{name}: torch.export cannot follow the module ({_first_line(error)}): give inputs "
            "that it takes, or export it to ONNX another way, with BatchNorm kept"
        ) from error


def _is_open(program: ExportedProgram) -> bool:
    """Return whether the first size of every input is left open."""
    inputs = set(program.graph_signature.user_inputs)
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder"
        and node.name in inputs
        and isinstance(node.meta.get("val"), torch.Tensor)
    ]
    return all(not shape or isinstance(shape[0], torch.SymInt) for shape in shapes)


def _to_onnx(program: ExportedProgram) -> ir.Model:
    try:
        with quiet():
            made = torch.onnx.export(
                plain_pools(plain_attention(program)),
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=OPSET,
            )
    except Exception as error:  # an operator without a translation, or an error of the exporter
        raise UnsupportedError(
            f"PyTorch's ONNX exporter cannot translate the network ({_first_line(error)}): replace "
            "that operator, or export the network to ONNX another way, with BatchNorm kept"
        ) from error
    assert made is not None
    return _with_open_batch(made)


def _with_open_batch(made: ONNXProgram) -> ir.Model:
    """Call the first size of the first input ``batch`` where it is open and has no name yet."""
    inputs = made.model.graph.inputs
    first = inputs[0].shape[0] if inputs and inputs[0].shape else None
    if isinstance(first, ir.SymbolicDim) and str(first.value).lstrip("s").isdigit():
        made.rename_axes({str(first.value): "batch"})
    model: ir.Model = made.model
    return model


def _again(made: ONNXProgram) -> ir.Model:
    """Export again what was exported: with BatchNorm kept, under the names that it has."""
    program = made.exported_program
    if program is None:
        return ir.serde.deserialize_model(made.model_proto)
    model = _to_onnx(program)
    own, given = model.graph, made.model.graph
    for ours, theirs in ((own.inputs, given.inputs), (own.outputs, given.outputs)):
        if len(ours) == len(theirs):
            for value, named in zip(ours, theirs, strict=True):
                value.name = named.name
    return model


def _first_line(error: BaseException) -> str:
    """Return what went wrong at first, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__
