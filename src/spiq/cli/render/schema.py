"""JSON Schema of what ``--json`` prints, from the types of the results.

    str, int, bool, None     themselves               X | Y            anyOf
    float                    number or null           tuple, list      array
    dataclass                object, all its fields   dict, Mapping    object of such values

A number that is not finite is printed as null. Each form has a name with a number, such as
``spiq/eval/1``, which is in the JSON itself, as ``schema``. Fields may be added under a number; one
that goes, or means another thing, takes a new number. https://json-schema.org/draft/2020-12/schema
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from spiq.value_checks import one_of

Schema = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """What a command prints."""

    module: str
    result: str
    number: int = 1
    more: tuple[str, ...] = ()
    """Texts that the command adds."""
    may: tuple[str, ...] = ()
    """Texts that it adds where there is something to say."""


FORMS = {
    "quantize": Form("spiq.quantized", "QuantizeResult", 1, ("model", "output"), ("plan",)),
    "inspect": Form("spiq.inspection.inspect", "InspectResult"),
    "pareto": Form("spiq.speed", "ParetoResult"),
    "compare": Form("spiq.inspection.compare", "CompareResult"),
    "eval": Form("spiq.evaluation.loop", "Result"),
    "bench": Form("spiq.evaluation.latency", "LatencyResult"),
    "bench-runs": Form("spiq.evaluation.latency", "LatencyRuns"),
    "sweep": Form("spiq.sweep.summary", "SweepResult"),
    "card-check": Form("spiq.evaluation.check", "CheckResult"),
    "gate": Form("spiq.gate.judge", "GateResult"),
    "demo": Form("spiq.demo.run", "DemoResult", may=("report",)),
}
"""By name; `compare` is `spiq inspect` with two networks, `bench-runs` is `spiq bench` with several
numbers of threads or sizes of a batch."""

_SCORES = (
    ("spiq.evaluation.tasks.classification", "ClassificationScore"),
    ("spiq.evaluation.tasks.segmentation", "SegmentationScore"),
    ("spiq.evaluation.tasks.detection.task", "DetectionScore"),
)
"""What a score of :mod:`spiq.evaluation.task` can be."""


def identity(result: object) -> str:
    """The name of the form that a result is printed in, with its number; "": it has none."""
    named = {form.result: (name, form) for name, form in FORMS.items()}
    name, form = named.get(type(result).__name__, ("", Form("", "")))
    return f"spiq/{name}/{form.number}" if name else ""


def schema(name: str) -> Schema:
    """The JSON Schema of a form.

    Raises:
        ConfigError: There is no such form.
    """
    one_of("form", name, FORMS)
    form = FORMS[name]
    found = _of(getattr(importlib.import_module(form.module), form.result))
    text = {"type": "string"}
    own = {"schema": {"const": f"spiq/{name}/{form.number}"}} | dict.fromkeys(form.more, text)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"spiq/{name}/{form.number}",
        **found,
        "properties": own | dict.fromkeys(form.may, text) | found["properties"],
        "required": [*own, *found["required"]],
    }


def _of(kind: Any) -> Schema:
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if is_dataclass(kind):
        return _object(kind)
    if getattr(kind, "_is_protocol", False):
        found = [getattr(importlib.import_module(module), name) for module, name in _SCORES]
        return {"anyOf": list(map(_of, found))}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": list(map(_of, inner))}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {"type": "object", "additionalProperties": _of(inner[1])}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _array(inner)
    return {}


def _object(kind: Any) -> Schema:
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    return {
        "type": "object",
        "description": summary,
        "properties": {name: _of(types[name]) for name in names},
        "required": names,
    }


def _array(inner: tuple[Any, ...]) -> Schema:
    if len(inner) == 2 and inner[1] is not Ellipsis:
        return {"type": "array", "prefixItems": list(map(_of, inner)), "minItems": 2}
    return {"type": "array", "items": _of(inner[0])}


_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": ["number", "null"]},
    NoneType: {"type": "null"},
    Any: {},
}
