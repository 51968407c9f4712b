"""Plans as JSON: written for people to edit, and read with a helpful line for what they mistype.

Every decision stands in one place. Bits stand at the top for all, and in an entry where it has
others. What a grid or a group of channels has in common stands with the first of its tensors; the
others name that one in ``grid_of`` and ``scale_of``. Where ``zero`` is left out, it lies where the
range has it. A range or scale that is the same for all channels is one number.
"""

import json
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spiq.config import SECONDS
from spiq.errors import PlanError
from spiq.planning.plan.entries import LayerPlan, Numbers, TensorPlan
from spiq.planning.plan.json_values import (
    a_list,
    a_number,
    a_text,
    a_truth,
    a_whole,
    an_object,
    bits_of,
    check_keys,
    numbers,
    size_of,
    stored_bits,
    within,
)

FORMAT = 3
"""Of the JSON, counted up when a plan of before can no longer be read."""

_MOST_CHANNELS, _LARGEST = 1 << 24, 3.4e38
_TENSOR = ("bits", "zero", "grid_of", "alpha", "channel_scale", "scale_of", "step_of", "low",
           "high", "layout")  # fmt: skip
_LAYER = ("bits", "input_bits", "rounding", "bias_correction", "reason")


def write(plan: Mapping[str, Any]) -> str:
    """Return a plan as JSON, one tensor or layer to a line.

    Args:
        plan: The fields of :class:`spiq.planning.plan.values.Plan`, by name.
    """
    said = {key: plan[key] for key in _HEAD if plan[key] not in (None, SECONDS)}
    head = {"format": FORMAT} | said
    parts = [f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in head.items()]

    for key, block in _blocks(plan).items():
        lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in block.items())
        parts.append(f'  "{key}": ' + (f"{{\n{lines}\n  }}" if block else "{}"))

    notes = ",\n".join(f"    {json.dumps(note)}" for note in plan["notes"])
    parts.append('  "notes": ' + (f"[\n{notes}\n  ]" if notes else "[]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _blocks(plan: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what stands in the file by name: of inputs, tensors and layers."""
    tensors, layers = plan["tensors"], plan["layers"]
    return {
        "inputs": {
            name: {"low": _short(low), "high": _short(high)}
            for name, (low, high) in plan["inputs"].items()
        },
        "tensors": {name: _written_tensor(entry, plan) for name, entry in tensors.items()},
        "layers": {
            name: _written_layer(entry, plan["weight_bits"]) for name, entry in layers.items()
        },
        "left_in_float": plan["left_in_float"],
    }


def _short(numbers: Numbers) -> float | list[float]:
    """Return one number where all are the same."""
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)


def _written_tensor(entry: TensorPlan, plan: Mapping[str, Any]) -> dict[str, Any]:
    tensors: Mapping[str, TensorPlan] = plan["tensors"]
    written: dict[str, Any] = {}

    # bits and zero are the grid's
    first = tensors.get(entry.grid_of or "")
    if first is not None and (first.bits, first.zero) == (entry.bits, entry.zero):
        written["grid_of"] = entry.grid_of
    else:
        if entry.bits != plan["activation_bits"]:
            written["bits"] = entry.bits
        written["zero"] = entry.zero

    # alpha is that of all tensors which share channels
    first = tensors.get(entry.scale_of or "")
    if first is not None and first.alpha == entry.alpha and entry.channel_scale is None:
        written["scale_of"] = entry.scale_of
    elif entry.alpha is not None:
        written["alpha"] = entry.alpha
    if entry.channel_scale is not None:
        written["channel_scale"] = _short(entry.channel_scale)

    if entry.step_of is not None:
        written["step_of"] = entry.step_of
    written |= {"low": _short(entry.low), "high": _short(entry.high)}
    return written | {"layout": list(entry.layout)}


def _written_layer(entry: LayerPlan, bits: int) -> dict[str, Any]:
    written: dict[str, Any] = {} if entry.bits == bits else {"bits": entry.bits}
    if entry.input_bits is not None:
        written["input_bits"] = entry.input_bits
    written |= {"rounding": entry.rounding, "bias_correction": entry.bias_correction}
    return written | ({"reason": entry.reason} if entry.reason else {})


def read(text: str) -> dict[str, Any]:
    """Read what :func:`write` wrote: the fields of a plan, by name.

    Raises:
        PlanError: The text is not a plan.
    """
    try:
        data = json.loads(text, object_pairs_hook=_once)
        _check_format(data)
        return _fields(data)
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        problem = "it is nested without end"
    except ValueError as error:
        problem = str(error)
    raise PlanError(f"not a plan of spiq: {problem}: mend it, or make a new one with --save-plan")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of an entry that stands there twice one would be lost."""
    found = dict(pairs)
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise ValueError(f"'{key}' stands there {count} times")
    return found


def _check_format(data: object) -> None:
    if not isinstance(data, dict) or "model_hash" not in data:
        raise ValueError("it has no model_hash")
    found = data.get("format", 1)
    if type(found) is not int or found != FORMAT:
        newer = type(found) is int and found > FORMAT
        raise PlanError(
            f"the plan was made by spiq {data.get('version')} and has format {found!r}; this spiq "
            f"reads format {FORMAT}: " + ("update it" if newer else "make a new one, --save-plan")
        )


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    data = {"left_in_float": {}, "notes": [], "input_size": None, "effort": SECONDS} | data
    blocks = ("inputs", "tensors", "layers")
    check_keys(data, ("format", *_HEAD, *blocks, "left_in_float", "notes"))
    for key in (*_HEAD, *blocks):
        if key not in data:
            raise ValueError(f"it has no {key}")

    head = {key: within(key, reader, data[key]) for key, reader in _HEAD.items()}
    return head | {
        "inputs": _by_name(data, "inputs", _input),
        "tensors": _tensors(_by_name(data, "tensors", an_object), head["activation_bits"]),
        "layers": _by_name(data, "layers", lambda entry: _layer(entry, head["weight_bits"])),
        "left_in_float": _by_name(data, "left_in_float", a_text),
        "notes": tuple(within("notes", lambda notes: map(a_text, a_list(notes)), data["notes"])),
    }


def _tensors(entries: dict[str, dict[str, Any]], bits: int) -> dict[str, TensorPlan]:
    """Read tensors; what several have in common is said by one of them."""
    grid_of = {name: _named_by(name, "grid_of", ("bits", "zero"), entries) for name in entries}
    scale_of = {
        name: _named_by(name, "scale_of", ("alpha", "channel_scale"), entries) for name in entries
    }
    alone = {name: within(f"tensor '{name}'", _tensor, entries[name]) for name in entries}

    tensors = {}
    for name, entry in alone.items():
        members = [alone[other] for other in alone if grid_of[other] == grid_of[name]]
        first = alone[grid_of[name]]
        tensors[name] = replace(
            entry,
            bits=first.bits or bits,
            zero=first.zero if math.isfinite(first.zero) else _natural_zero(members),
            alpha=alone[scale_of[name]].alpha,
        )
    return tensors


def _named_by(
    name: str, key: str, instead: tuple[str, str], entries: dict[str, dict[str, Any]]
) -> str:
    """Return the tensor that says for ``name`` what they have in common: itself, or another."""
    seen = [name]
    while entries[seen[-1]].get(key) is not None:
        last, other = seen[-1], entries[seen[-1]][key]
        if not isinstance(other, str) or other not in entries:
            raise ValueError(f"tensor '{last}': {key} names {other!r}, which is not among tensors")
        if other in seen:
            raise ValueError(f"tensor '{last}': {key} leads back to '{other}'")
        for said in instead:
            if said in entries[last]:
                raise ValueError(
                    f"tensor '{last}': its {said} is that of '{other}', which {key} names; edit it "
                    f"there, for both, or leave {key} out"
                )
        seen.append(other)
    return seen[-1]


def _natural_zero(members: Sequence[TensorPlan]) -> float:
    """Return where 0 lies between the ends of the range that the tensors of a grid span."""
    low = min(0.0, *(end for entry in members for end in entry.low))
    high = max(0.0, *(end for entry in members for end in entry.high))
    return -low / (high - low) if high - low > 0 and math.isfinite(high - low) else 0.0


def _tensor(entry: dict[str, Any]) -> TensorPlan:
    """Read one entry; what it leaves out or has in common is 0, NaN or None until it is known."""
    check_keys(entry, _TENSOR)
    layout = tuple(within("layout", lambda sizes: map(a_whole, a_list(sizes)), entry.get("layout")))
    count = math.prod(layout)
    if not 0 < count <= _MOST_CHANNELS or min(layout, default=1) < 1:
        raise ValueError(f"layout {list(layout)} is no shape of channels")
    for key in ("low", "high"):
        if key not in entry:
            raise ValueError(f"it has no {key}")

    def optional(key: str, reader: Callable[[Any], Any], otherwise: Any = None) -> Any:
        return otherwise if entry.get(key) is None else within(key, reader, entry[key])

    return TensorPlan(
        bits=optional("bits", stored_bits, 0),
        zero=optional("zero", a_number, math.nan),
        low=within("low", lambda ends: numbers(ends, count), entry["low"]),
        high=within("high", lambda ends: numbers(ends, count), entry["high"]),
        layout=layout,
        alpha=optional("alpha", a_number),
        channel_scale=optional("channel_scale", lambda scales: numbers(scales, count)),
        grid_of=entry.get("grid_of"),
        scale_of=entry.get("scale_of"),
        step_of=optional("step_of", a_text),
    )


def _layer(entry: object, bits: int) -> LayerPlan:
    layer = an_object(entry)
    check_keys(layer, _LAYER)
    of_input = layer.get("input_bits")
    return LayerPlan(
        bits=within("bits", bits_of, layer.get("bits", bits)),
        input_bits=None if of_input is None else within("input_bits", bits_of, of_input),
        rounding=within("rounding", a_text, layer.get("rounding", "nearest")),
        bias_correction=within("bias_correction", a_truth, layer.get("bias_correction", True)),
        reason=within("reason", a_text, layer.get("reason", "")),
    )


def _input(entry: object) -> tuple[Numbers, Numbers]:
    ends = an_object(entry)
    check_keys(ends, ("low", "high"))
    low, high = (within(key, lambda e: numbers(e, 1), ends.get(key)) for key in ("low", "high"))
    if not all(abs(end) <= _LARGEST for end in (*low, *high)):
        raise ValueError("low and high must be finite numbers of float32")
    if len({len(low), len(high), 1}) > 2 or max(map(operator.sub, low, high), default=0) >= 0:
        raise ValueError("low must be below high, one number for all channels or one for each")
    return low, high


def _by_name(data: dict[str, Any], key: str, read: Callable[[Any], Any]) -> dict[str, Any]:
    kind = key.removesuffix("s")
    entries = within(key, an_object, data[key])
    return {name: within(f"{kind} '{name}'", read, entry) for name, entry in entries.items()}


_HEAD: dict[str, Callable[[Any], object]] = {
    "model_hash": a_text,
    "version": a_text,
    "method": a_text,
    "target": a_text,
    "activation_bits": stored_bits,
    "weight_bits": bits_of,
    "effort": a_text,
    "input_size": lambda size: None if size is None else size_of(size),
}
"""How each entry of the head is read."""
