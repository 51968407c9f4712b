"""Damage a model file: what happens to files on their way, and what exporters get wrong.

Every mutation takes a parsed model or its bytes and a random generator, changes them and says what
it did; it raises ``Untouched`` where there is nothing of its kind to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message

from victims import Victim

Rng = np.random.Generator
_STRANGE = (0, 1, -1, 2, 3, 7, 255, -2, 1 << 16, 1 << 31, -(1 << 31), 10**12, -(10**12))
_STRANGE_WIDE = (*_STRANGE, (1 << 63) - 1, -(1 << 63))
_STRANGE_FLOATS = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), -float("inf"))


class Untouched(Exception):
    """There is nothing that this mutation could change."""


@dataclass(frozen=True)
class Mutant:
    """A damaged network, and what was done to it."""

    victim: Victim
    what: str


def mutate(victim: Victim, rng: Rng) -> Mutant:
    """Damage a network once, sometimes up to four times; the same generator, the same damage."""
    times = 1 if rng.random() < 0.7 else int(rng.integers(2, 5))
    done: list[str] = []
    while len(done) < times:
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        try:
            victim, what = kind(victim, rng)
        except Untouched:
            continue
        done.append(what)
        if kind in _OF_BYTES:  # no longer a message that could be parsed
            break
    return Mutant(victim, "; ".join(done))


Change = Callable[[Victim, Rng], tuple[Victim, str]]


def _of_message(change: Callable[[onnx.ModelProto, Rng], str]) -> Change:
    def changed(victim: Victim, rng: Rng) -> tuple[Victim, str]:
        proto = onnx.ModelProto.FromString(victim.content)
        try:
            what = change(proto, rng)
        except (TypeError, ValueError) as error:  # protobuf refuses the new content
            raise Untouched from error
        return replace(victim, content=proto.SerializeToString()), what

    return changed


# Bytes of the file


def flip_bits(victim: Victim, rng: Rng) -> tuple[Victim, str]:
    data = bytearray(victim.content)
    places = rng.integers(0, len(data), int(rng.integers(1, 9)))
    for place in places:
        data[place] ^= 1 << int(rng.integers(8))
    return replace(victim, content=bytes(data)), f"bits flipped at {places.tolist()}"


def flip_graph_bits(victim: Victim, rng: Rng) -> tuple[Victim, str]:
    """Flip bits where the nodes are: most of a file is weights, where a bit matters little."""
    data = bytearray(victim.content)
    places = rng.integers(0, min(len(data), 3000), int(rng.integers(1, 4)))
    for place in places:
        data[place] ^= 1 << int(rng.integers(8))
    return replace(victim, content=bytes(data)), f"bits flipped at {places.tolist()}"


def truncate(victim: Victim, rng: Rng) -> tuple[Victim, str]:
    size = int(rng.integers(len(victim.content)))
    return replace(victim, content=victim.content[:size]), f"cut after {size} bytes"


def splice(victim: Victim, rng: Rng) -> tuple[Victim, str]:
    data = victim.content
    start, end = sorted(int(i) for i in rng.integers(0, len(data), 2))
    end = min(end, start + 200)
    to = int(rng.integers(len(data)))
    content = data[:to] + data[start:end] + data[to:]
    return replace(victim, content=content), f"bytes {start} to {end} again at {to}"


def damage_data(victim: Victim, rng: Rng) -> tuple[Victim, str]:
    if victim.data is None:
        raise Untouched
    if rng.random() < 0.5:
        size = int(rng.integers(len(victim.data)))
        return replace(victim, data=victim.data[:size]), f"external data cut after {size} bytes"
    data = bytearray(victim.data)
    for place in rng.integers(0, len(data), 8):
        data[place] = int(rng.integers(256))
    return replace(victim, data=bytes(data)), "external data changed"


# Fields of the message


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if _many(field) else (value,):
                yield from _messages(inner)


def _many(field: Any) -> bool:
    return bool(field.is_repeated)


def _pick(rng: Rng, choices: Sequence[Any]) -> Any:
    if not choices:
        raise Untouched
    return choices[int(rng.integers(len(choices)))]


def _any_field(proto: onnx.ModelProto, rng: Rng) -> tuple[Message, Any, Any]:
    """Pick a kind of message first: there are hundreds of dimensions, and few graphs."""
    by_kind: dict[str, list[Message]] = {}
    for message in _messages(proto):
        if message.ListFields():
            by_kind.setdefault(message.DESCRIPTOR.name, []).append(message)
    message = _pick(rng, by_kind[_pick(rng, sorted(by_kind))])
    field, value = _pick(rng, message.ListFields())
    return message, field, value


def delete_field(proto: onnx.ModelProto, rng: Rng) -> str:
    message, field, value = _any_field(proto, rng)
    if _many(field) and rng.random() < 0.8:
        del value[int(rng.integers(len(value)))]
    else:
        message.ClearField(field.name)
    return f"{message.DESCRIPTOR.name}.{field.name} deleted"


def duplicate_field(proto: onnx.ModelProto, rng: Rng) -> str:
    message, field, value = _any_field(proto, rng)
    if not _many(field):
        raise Untouched
    value.extend([_pick(rng, value)])
    return f"an entry of {message.DESCRIPTOR.name}.{field.name} doubled"


def swap_fields(proto: onnx.ModelProto, rng: Rng) -> str:
    message, field, value = _any_field(proto, rng)
    if not _many(field) or len(value) < 2:
        raise Untouched
    first, second = (int(i) for i in rng.choice(len(value), 2, replace=False))
    entries = list(value)
    entries[first], entries[second] = entries[second], entries[first]
    copies = list(map(_copy, entries)) if field.message_type else entries
    del value[:]
    value.extend(copies)
    return f"{message.DESCRIPTOR.name}.{field.name} {first} and {second} swapped"


def _copy(message: Message) -> Message:
    return type(message).FromString(message.SerializeToString())


def change_scalar(proto: onnx.ModelProto, rng: Rng) -> str:
    message, field, value = _any_field(proto, rng)
    if field.message_type is not None:
        raise Untouched
    old = _pick(rng, value) if _many(field) else value
    new = _strange(old, rng)
    where = f"{message.DESCRIPTOR.name}.{field.name}"
    if _many(field):
        value[int(rng.integers(len(value)))] = new
    else:
        setattr(message, field.name, new)
    return f"{where} set to {new!r:.40}"


def _strange(old: Any, rng: Rng) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        near = (old + 1, old - 1, 2 * old, -old, old * 1000)
        return _pick(rng, near if rng.random() < 0.5 else _STRANGE_WIDE)
    if isinstance(old, float):
        return _pick(rng, (*_STRANGE_FLOATS, -old, old * 1e6))
    if isinstance(old, bytes):
        return rng.bytes(len(old)) if rng.random() < 0.5 else old[: len(old) // 2]
    return _pick(rng, ("", old + "_", old[::-1], old[:-1], "x", "\N{SNOWMAN}"))


# What exporters get wrong


def _nodes(proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [message for message in _messages(proto) if isinstance(message, onnx.NodeProto)]


def change_attribute(proto: onnx.ModelProto, rng: Rng) -> str:
    attribute = _pick(rng, [a for node in _nodes(proto) for a in node.attribute])
    kind = onnx.AttributeProto
    if attribute.type == kind.INT:
        attribute.i = _strange(attribute.i, rng)
    elif attribute.type == kind.FLOAT:
        attribute.f = _pick(rng, _STRANGE_FLOATS)
    elif attribute.type == kind.STRING:
        attribute.s = _pick(rng, (b"", b"VALID", b"SAME_LOWER", b"linear", b"reflect", b"\xff"))
    elif attribute.type == kind.INTS:
        _change_list(attribute.ints, rng)
    else:
        attribute.type = _pick(rng, (kind.INT, kind.FLOATS, kind.STRING, kind.TENSOR))
    return f"attribute {attribute.name!r} changed"


def _change_list(values: Any, rng: Rng) -> None:
    choice = rng.random()
    if choice < 0.2 and values:
        del values[-1]
    elif choice < 0.4:
        values.append(1)
    elif values:
        at = int(rng.integers(len(values)))
        values[at] = _strange(values[at], rng)


_NEW_ATTRIBUTES: tuple[tuple[str, Any], ...] = (
    *(("group", value) for value in (0, 2, -1, 3, 1 << 40)),
    *(("axis", value) for value in (0, -1, 2, 9, -(1 << 40))),
    *(("strides", value) for value in ([0, 0], [1], [-1, 2], [1 << 40, 1])),
    *(("dilations", value) for value in ([0, 0], [2, 2, 2], [1 << 33, 1])),
    *(("pads", value) for value in ([1 << 30] * 4, [-1] * 4, [1], [9, 9, 9, 9], [1 << 40] * 4)),
    *(("kernel_shape", value) for value in ([0, 0], [5, 5], [3], [1 << 40, 1])),
    *(("auto_pad", value) for value in (b"SAME_UPPER", b"VALID", b"nonsense")),
    *(("perm", value) for value in ([0, 0, 1, 2], [3, 2, 1, 0], [9])),
    *(("transA", 1), ("transB", 1), ("alpha", float("nan")), ("beta", 1e38), ("keepdims", 0)),
    *(("epsilon", value) for value in (0.0, -1.0, float("nan"), float("inf"))),
    *(("training_mode", 1), ("to", 77), ("mode", b"edge"), ("allowzero", 1), ("ceil_mode", 1)),
    *(("axes", value) for value in ([], [9], [2, 3], [2, 2])),
    *(("output_padding", [3, 3]), ("output_shape", [1 << 30, 1 << 30]), ("num_outputs", 3)),
)


def add_attribute(proto: onnx.ModelProto, rng: Rng) -> str:
    """Add or replace an attribute by one that some operator has."""
    node = _pick(rng, _nodes(proto))
    name, value = _pick(rng, _NEW_ATTRIBUTES)
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    if value == []:
        made = onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS)
    else:
        made = onnx.helper.make_attribute(name, value)
    node.attribute.extend([*kept, made])
    return f"{node.op_type} given {name} {value}"


def change_operator(proto: onnx.ModelProto, rng: Rng) -> str:
    node = _pick(rng, _nodes(proto))
    old, node.op_type = node.op_type, _pick(rng, _OPERATORS)
    return f"{old} made {node.op_type!r}"


_OPERATORS = (
    *("Relu", "Conv", "BatchNormalization", "Concat", "Add", "Gemm", "MatMul", "Reshape", "Pad"),
    *("Transpose", "Expand", "Tile", "ConstantOfShape", "Range", "Resize", "Slice", "Gather"),
    *("LSTM", "NonZero", "Loop", "TopK", "Einsum", "GridSample", "Sum", "Split", "Squeeze", ""),
    *("InstanceNormalization", "LayerNormalization", "GlobalAveragePool", "ReduceMean", "Identity"),
    *("ConvTranspose", "DepthToSpace", "Nonsense", "QuantizeLinear", "AveragePool", "PRelu"),
    *("Cast", "Where"),
)


def rewire(proto: onnx.ModelProto, rng: Rng) -> str:
    """Let a node read another value, or nothing."""
    nodes = _nodes(proto)
    node = _pick(rng, [node for node in nodes if node.input])
    names = [name for each in nodes for name in (*each.input, *each.output)] + [""]
    at, new = int(rng.integers(len(node.input))), _pick(rng, names)
    old, node.input[at] = node.input[at], new
    return f"{node.op_type} reads {new!r} instead of {old!r}"


def rename(proto: onnx.ModelProto, rng: Rng) -> str:
    """Give an input, output, weight or value another name in one place."""
    named = [m for m in _messages(proto) if isinstance(m, onnx.ValueInfoProto | onnx.TensorProto)]
    message = _pick(rng, named)
    others = [other.name for other in named] + ["renamed", ""]
    old, message.name = message.name, _pick(rng, others)
    return f"{old!r} renamed {message.name!r}"


def change_dims(proto: onnx.ModelProto, rng: Rng) -> str:
    tensor = _pick(rng, [m for m in _messages(proto) if isinstance(m, onnx.TensorProto)])
    _change_list(tensor.dims, rng)
    return f"dims of {tensor.name!r} now {list(tensor.dims)}"


def change_shape(proto: onnx.ModelProto, rng: Rng) -> str:
    """Change the stated shape of an input, an output or a value."""
    infos = [m for m in _messages(proto) if isinstance(m, onnx.ValueInfoProto)]
    info = _pick(rng, [i for i in infos if i.type.HasField("tensor_type")])
    dims = info.type.tensor_type.shape.dim
    choice = rng.random()
    if choice < 0.15:
        info.type.tensor_type.ClearField("shape")
    elif choice < 0.25:
        info.type.tensor_type.elem_type = int(rng.integers(0, 25))
    elif choice < 0.4:
        dims.add().dim_value = int(rng.integers(0, 5))
    elif choice < 0.5 and dims:
        del dims[int(rng.integers(len(dims)))]
    elif choice < 0.6 and dims:
        _pick(rng, dims).dim_param = "size"
    elif dims:
        dim = _pick(rng, dims)
        dim.dim_value = _strange(dim.dim_value, rng)
    return f"shape of {info.name!r} changed"


def change_dtype(proto: onnx.ModelProto, rng: Rng) -> str:
    tensor = _pick(rng, [m for m in _messages(proto) if isinstance(m, onnx.TensorProto)])
    tensor.data_type = int(rng.integers(0, 27))
    return f"{tensor.name!r} of type {tensor.data_type}"


def change_length(proto: onnx.ModelProto, rng: Rng) -> str:
    """Give a tensor too few or too many bytes."""
    tensors = [m for m in _messages(proto) if isinstance(m, onnx.TensorProto) and m.raw_data]
    tensor = _pick(rng, tensors)
    size = len(tensor.raw_data)
    wanted = int(_pick(rng, (0, 1, size - 1, size - 4, size + 1, size + 4, 2 * size)))
    tensor.raw_data = (tensor.raw_data * 2)[: max(wanted, 0)] + b"\1" * max(wanted - 2 * size, 0)
    return f"{tensor.name!r} has {wanted} bytes instead of {size}"


def change_numbers(proto: onnx.ModelProto, rng: Rng) -> str:
    """Put strange numbers into a tensor: one, some or all of them."""
    tensors = [m for m in _messages(proto) if isinstance(m, onnx.TensorProto) and m.raw_data]
    tensor = _pick(rng, tensors)
    data = bytearray(tensor.raw_data)
    if tensor.data_type == onnx.TensorProto.FLOAT and len(data) % 4 == 0:
        numbers = np.frombuffer(bytes(data), np.float32).copy()
        new = np.float32(_pick(rng, (*_STRANGE_FLOATS, 3e38, 1e-40, -5.0)))
        many = int(_pick(rng, (1, 1, 3, len(numbers))))
        numbers[rng.integers(0, len(numbers), many)] = new
        tensor.raw_data = numbers.tobytes()
        return f"{many} numbers of {tensor.name!r} now {new}"
    if tensor.data_type == onnx.TensorProto.INT64 and len(data) % 8 == 0:
        whole = np.frombuffer(bytes(data), np.int64).copy()
        at = int(rng.integers(len(whole)))
        whole[at] = _strange(int(whole[at]), rng) if abs(int(whole[at])) < 1 << 50 else 1
        tensor.raw_data = whole.tobytes()
        return f"{tensor.name!r} now {whole.tolist()}"
    start = int(rng.integers(len(data)))
    data[start : start + 64] = rng.bytes(len(data[start : start + 64]))
    tensor.raw_data = bytes(data)
    return f"random bytes in {tensor.name!r}"


def change_external(proto: onnx.ModelProto, rng: Rng) -> str:
    """Point a tensor's external data somewhere else."""
    tensors = [m for m in _messages(proto) if isinstance(m, onnx.TensorProto) and m.external_data]
    entry = _pick(rng, _pick(rng, tensors).external_data)
    values = ("", "-1", "99999999999999999999", "1e3", "../x", "/dev/zero", ".", "nope.bin", "64")
    entry.value = _pick(rng, values)
    return f"external {entry.key} now {entry.value!r}"


_OF_BYTES: tuple[Change, ...] = (flip_bits, flip_graph_bits, truncate, splice)
_OF_MESSAGE = (
    *(delete_field, duplicate_field, swap_fields, change_scalar),
    *(change_attribute, add_attribute, change_operator, rewire, rename),
    *(change_dims, change_shape, change_dtype, change_length, change_numbers, change_external),
)
_KINDS: tuple[Change, ...] = (*_OF_BYTES, damage_data, *map(_of_message, _OF_MESSAGE))
