"""Results as JSON: the fields of the dataclasses by name; what is no finite number is null."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def render_json(result: "DataclassInstance", **more: str) -> str:
    """Return a result as JSON text.

    Args:
        result: A result, such as a ``QuantizeResult``.
        more: What the command adds, such as the file that it wrote; it comes first.
    """
    return json.dumps(more | _plain(asdict(result)), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
