"""What a quantized file says of how it was made, in its metadata.

spiq.version, spiq.method    by what
spiq.plan                    by which plan, as far as that holds for another target
spiq.plan_hash               of all of the plan

Ranges and scales are most of a plan, a sixth of some files; without them it is a hundredth at most,
and another target's are chosen anew.
"""

import hashlib
import os
from collections.abc import Mapping

import onnx_ir as ir

from spiq.errors import PlanError
from spiq.io.metadata import metadata
from spiq.planning.choose.convert import carried
from spiq.planning.plan.values import Plan

_VERSION, _METHOD, _PLAN, _HASH = "spiq.version", "spiq.method", "spiq.plan", "spiq.plan_hash"


def sign(model: ir.Model, plan: Plan) -> None:
    """Write into a quantized network by which plan it was made, in place."""
    model.metadata_props[_VERSION] = plan.version
    model.metadata_props[_METHOD] = plan.method
    model.metadata_props[_PLAN] = carried(plan).to_json()
    model.metadata_props[_HASH] = _hash(plan)


def plan_of(source: str | os.PathLike[str] | bytes) -> Plan | None:
    """Return the plan of a quantized file, as far as it holds for another target.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> result = spiq.quantize(model_path(), spiq.Config(weight_bits=6))
    >>> plan = plan_of(result.model)
    >>> plan.layers == result.plan.layers, len(plan.tensors)
    (True, 0)

    Args:
        source: Path of an ONNX file, or its content.

    Returns:
        The plan; None where the file was not made by spiq, or is none.

    Raises:
        PlanError: What the file says of it is damaged.
    """
    said = metadata(source)
    if _METHOD not in said:
        return None
    try:
        return Plan.from_json(said.get(_PLAN, ""))
    except PlanError as error:
        where = "the given bytes" if isinstance(source, bytes) else repr(os.fspath(source))
        raise PlanError(
            f"{where}: give the float network and its plan, since what the file says of it cannot "
            f"be read: {error}"
        ) from error


def is_of(said: Mapping[str, str], plan: Plan) -> bool:
    """Return whether a file with this metadata was made by just this plan."""
    return said.get(_HASH) == _hash(plan)


def _hash(plan: Plan) -> str:
    return hashlib.sha256(plan.to_json().encode()).hexdigest()
