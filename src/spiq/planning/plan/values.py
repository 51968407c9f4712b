"""The plan of a quantization: everything that was decided, and nothing that follows from it.

Analysis writes it, people may edit it, and :mod:`spiq.planning.plan.resolve` works out what it
means on a network. It is plain data, in units of the prepared network, with the hash of the model
that it was made for; it goes to JSON and back without loss, see :mod:`spiq.planning.plan.json`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from spiq.config import SECONDS
from spiq.errors import PlanError
from spiq.planning.plan.entries import LayerPlan, Numbers, TensorPlan
from spiq.planning.plan.json import read, write


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a quantization decides.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> made = spiq.plan(model_path())
    >>> made.layers["/classifier/Gemm"].rounding
    'correlated'
    >>> spiq.Plan.from_json(made.to_json()) == made
    True

    Attributes:
        model_hash: Hash of the model that the plan was made for.
        version: Version of spiq that made the plan.
        method: Name of the method.
        target: Name of the target runtime.
        activation_bits: Bits of activations, where a tensor says nothing else.
        weight_bits: Bits of weights, where a layer says nothing else.
        inputs: Low and high end of each input, one number per channel or one for all.
        tensors: How each stored tensor is stored, by name.
        layers: How each quantized layer is rounded, by name.
        left_in_float: Why each other layer stays in float, by name. A layer named here stays in
            float even where ``layers`` names it.
        notes: Assumptions made, a sentence each.
        effort: ``seconds``, or ``minutes`` or ``hours`` where roundings and steps are learned from
            this plan on, each time that it is followed.
        input_size: Height and width of pictures where the network leaves them open, as it was told.
    """

    model_hash: str
    version: str
    method: str
    target: str
    activation_bits: int
    weight_bits: int
    inputs: dict[str, tuple[Numbers, Numbers]]
    tensors: dict[str, TensorPlan]
    layers: dict[str, LayerPlan]
    left_in_float: dict[str, str]
    notes: tuple[str, ...] = field(default=())
    input_size: int | tuple[int, int] | None = None
    effort: str = SECONDS

    def to_json(self) -> str:
        """Return the plan as JSON, one tensor or layer to a line."""
        return write(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what :meth:`to_json` wrote, edited or not.

        Raises:
            PlanError: The text is not a plan.
        """
        return cls(**read(text))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan from a file.

        Raises:
            PlanError: The file cannot be read or holds no plan.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise PlanError(f"{path}: cannot read the plan: {reason}: check the path") from error
        except UnicodeDecodeError as error:
            raise PlanError(
                f"{path}: not a plan of spiq: it is no text: make one with --save-plan"
            ) from error
        try:
            return cls.from_json(text)
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from error
