"""Whether a network got better by what its blocks learned, from one end to the other.

Blocks get better one by one, each on what those before it write. What all of that comes to is seen
at the outputs, on the pictures that are kept from learning: both forms run on the same ones.
"""

from collections.abc import Sequence

import torch

from spiq.reconstruct.blocks import Block
from spiq.reconstruct.form import Learned
from spiq.reconstruct.learning import Learner, needed
from spiq.reconstruct.outcome import Outcome, missed, outcome_of, scale
from spiq.reconstruct.program import Values


class Start:
    """What a network begins to learn with, to be put back."""

    def __init__(self, learned: Learned) -> None:
        """Note all that can be learned."""
        self._parts = [*learned.weights.values(), *learned.shared.values()]
        self._noted = self._now()

    def _now(self) -> list[torch.Tensor]:
        return [p.detach().clone() for part in self._parts for p in part.parameters()]

    def put(self) -> None:
        """Put it where it was; what was there is noted in its place."""
        noted, self._noted = self._noted, self._now()
        parameters = (p for part in self._parts for p in part.parameters())
        with torch.no_grad():
            for parameter, value in zip(parameters, noted, strict=True):
                parameter.copy_(value)


def of_all(
    learner: Learner, blocks: Sequence[Block], pictures: torch.Tensor, start: Start
) -> Outcome:
    """Return what became of a network; without any tensor to judge by, nothing did.

    Args:
        learner: Has learned it.
        blocks: Its blocks.
        pictures: Those that are kept from learning.
        start: What it began with.
    """
    names = _judged(learner, blocks)
    layers = tuple(name for block in blocks for name in block.layers)
    if not names:
        return Outcome(layers, 0.0, 0.0, 0.0, 0.0)
    wanted = _written(learner, blocks, pictures, names, None)
    scales = {name: scale(x, learner.importance.get(name)) for name, x in wanted.items()}
    after = missed(_written(learner, blocks, pictures, names, learner.learned), wanted, scales)
    start.put()
    before = missed(_written(learner, blocks, pictures, names, learner.learned), wanted, scales)
    start.put()
    return outcome_of(layers, before, after)


def _judged(learner: Learner, blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return the outputs that have a row for each picture; if none has, the last such tensors."""
    held = [block.held for block in blocks if block.held]
    outputs = tuple(name for names in held for name in names if name in learner.program.outputs)
    return outputs or (held[-1] if held else ())


def _written(
    learner: Learner, blocks: Sequence[Block], pictures: torch.Tensor, names: Sequence[str],
    form: Learned | None,
) -> Values:  # fmt: skip
    """Return some tensors for all pictures, quantized or in float."""
    program, found = learner.program, Values()
    values = learner.begin(pictures) if form else program.begin({program.inputs[0]: pictures})
    for number, block in enumerate(blocks):
        later = {name for other in blocks[number + 1 :] for name in other.reads}
        here = [name for name in names if name in block.held]
        wanted = dict.fromkeys((*(name for name in block.writes if name in later), *here))
        written = learner.through(block, values, form, wanted)
        found |= {name: written[program.keys(name, form)[0]] for name in here}
        values = needed({**values, **written}, later)
    return found
