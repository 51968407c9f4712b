"""Whether nodes keep to their operators, and tensors to one another.

The rules are ONNX's own, as the runtime applies them when it opens a model; what it notices only
when a layer runs is added here. Later steps may then rely on attributes being of their type, on
required inputs being there, and on sizes that fit.

1. Each node of the default domain against its operator's schema. An operator that onnx does not
   know is left alone: a runtime may know it.
2. Types and shapes of all values, inferred strictly from the inputs' and the weights' alone.
3. Sizes of what layers multiply by, which the inference does not compare: spiq.io.sizes.
"""

from collections.abc import Iterator

import onnx
import onnx_ir as ir
from google.protobuf.message import Message  # type: ignore[import-untyped]

from spiq.errors import ModelError, UnsupportedError
from spiq.graph.shapes import FAILURES, assign, inferred, without_stated
from spiq.graph.skeleton import skeleton
from spiq.io.checks import described
from spiq.io.opset import DEFAULT_DOMAIN, every_node


def text(proto: onnx.ModelProto, *, where: str) -> None:
    """Refuse what protobuf lets through, and nothing else takes.

    Raises:
        ModelError: A name is no text, or the place of external data no number.
    """
    for message in _messages(proto):
        for found in _texts(message):
            if not isinstance(found, str):  # bytes, where it is no UTF-8
                raise ModelError(
                    f"{where}: {found!r:.60} is no text: the file is damaged, download or export "
                    "it again"
                )
        if isinstance(message, onnx.TensorProto):
            for entry in message.external_data:
                if entry.key in ("offset", "length") and not _is_place(entry.value):
                    raise ModelError(
                        f"{where}: tensor {message.name!r} has its data at the {entry.key} "
                        f"{entry.value!r:.60}, which is no place in a file: export both again"
                    )


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19  # of 64 bits


def _messages(message: Message) -> Iterator[Message]:
    yield message
    if isinstance(message, onnx.TensorProto):  # to list its fields is to copy its numbers
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from _messages(inner)


def _texts(message: Message) -> Iterator[str | bytes]:
    if isinstance(message, onnx.TensorProto):
        yield message.name
        for entry in message.external_data:
            yield from (entry.key, entry.value)
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            yield from (value,) if isinstance(value, str | bytes) else value


def operators(proto: onnx.ModelProto, *, where: str) -> None:
    """Check every node against the schema of its operator.

    Args:
        proto: The model, structure checked, with or without its weights.
        where: The model's name for messages.

    Raises:
        ModelError: A node has other inputs, outputs or attributes than its operator.
    """
    own = {(function.domain, function.name) for function in proto.functions}
    bodies = [(proto.opset_import, proto.graph.node)]
    bodies += [(function.opset_import, function.node) for function in proto.functions]
    for imports, nodes in bodies:
        versions = [entry.version for entry in imports if entry.domain in DEFAULT_DOMAIN]
        if not versions:
            continue
        context = onnx.checker.C.CheckerContext()
        context.ir_version = onnx.IR_VERSION
        context.opset_imports = {"": max(versions)}
        for node in every_node(nodes):
            if node.domain in DEFAULT_DOMAIN and (node.domain, node.op_type) not in own:
                _operator(node, max(versions), context, where)


def _operator(
    node: onnx.NodeProto, version: int, context: onnx.checker.C.CheckerContext, where: str
) -> None:
    name = described(node.op_type, node.name, list(node.output))
    if not node.output:
        raise ModelError(f"{where}: {name} writes nothing: export the network again")
    try:
        onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return
    texts = [a for a in node.attribute if a.type == onnx.AttributeProto.STRING]
    try:
        for attribute in texts:
            attribute.s.decode()
        onnx.checker.check_node(_without_bodies(node), context)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        reason = _one_line(error).split(" ==> ")[0].rstrip(".")
        raise ModelError(
            f"{where}: {name} is broken ({reason}): export the network again"
        ) from error


def _without_bodies(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return a node without its subgraphs and external data: they are checked by themselves.

    (The checker would look for the data in the folder that the process happens to be in.)
    """
    if not any(map(_has_body, node.attribute)):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for attribute in filter(_has_body, copy.attribute):
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            graph.CopyFrom(onnx.GraphProto(name="body"))
        if attribute.t.data_location == onnx.TensorProto.EXTERNAL:
            attribute.t.CopyFrom(onnx.TensorProto(data_type=attribute.t.data_type, dims=[0]))
    return copy


def _has_body(attribute: onnx.AttributeProto) -> bool:
    external = attribute.t.data_location == onnx.TensorProto.EXTERNAL
    return external or attribute.HasField("g") or bool(attribute.graphs)


def open_sizes(proto: onnx.ModelProto) -> None:
    """Take negative sizes of inputs and outputs for unknown ones, as runtimes do, in place."""
    graph = proto.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")


def typed_outputs(proto: onnx.ModelProto) -> None:
    """Give an output that is an input the type and shape that the input states, in place."""
    known = {info.name: info for info in proto.graph.input}
    for info in proto.graph.output:
        if info.name in known:
            info.type.CopyFrom(known[info.name].type)


def settle(model: ir.Model, *, where: str) -> None:
    """Give the values of the main graph their shape and type from those of the inputs, in place.

    What the model states of a value counts only where nothing can be inferred: exporters leave
    shapes behind that were true of another batch.

    Args:
        model: A valid, sorted model.
        where: The model's name for messages.

    Raises:
        ModelError: Shapes or types contradict each other.
    """
    try:
        found = inferred(without_stated(skeleton(model)), strict=True)
    except FAILURES as error:
        raise ModelError(
            f"{where}: shapes or types contradict each other ({_one_line(error)}): export the "
            "network again"
        ) from error
    assign(model, found)


def inputs(model: ir.Model, *, where: str) -> None:
    """Refuse an input of which not even the number of dimensions is known, and what is no tensor.

    (Numbers that are no floats are taken for single ones then: switches and counts, not images.)

    Raises:
        UnsupportedError: There is one, or an input or output that is no tensor; it is named.
    """
    for kind, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            if value.type is not None and not isinstance(value.type, ir.TensorType):
                raise UnsupportedError(
                    f"{where}: {kind} {value.name!r} is no tensor: export the network with "
                    f"tensors as {kind}s"
                )
    for value in model.graph.inputs:
        dtype = value.dtype
        if dtype is None or (value.shape is None and dtype.is_floating_point()):
            raise UnsupportedError(
                f"{where}: input {value.name!r} does not say its type and how many dimensions it "
                "has: export the network with a shape, such as float32 [N,3,224,224]"
            )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
