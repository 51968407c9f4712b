"""Blocks that were learned are kept as they come, and taken up by the next call like this one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from spiq.reconstruct.blocks import Block
from spiq.reconstruct.cache import Cache
from spiq.reconstruct.clock import Clock
from spiq.reconstruct.learning import Learner
from spiq.reconstruct.outcome import Outcome


@dataclass
class Kept:
    """What is kept of a network's blocks.

    Attributes:
        learner: Learns them.
        blocks: The blocks.
        cache: Where they are kept.
        clock: Told how many are done.
        outcomes: What became of those that are done, by number.
    """

    learner: Learner
    blocks: Sequence[Block]
    cache: Cache
    clock: Clock
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def done(self, number: int) -> bool:
        """Take up what was learned of a block before; return whether there was any."""
        found = self.cache.load(f"block-{number}")
        if found is None:
            return False
        for place, part in enumerate(self.learner.parts(self.blocks[number])):
            state = {k: torch.tensor(found[f"{place} {k}"]) for k, _ in part.named_parameters()}
            part.load_state_dict(state, strict=False)
        self.outcomes[number] = Outcome(self.blocks[number].layers, *map(float, found["errors"]))
        return True

    def ended(self, number: int, outcome: Outcome | None) -> None:
        """Keep a block, if it was learned now."""
        if outcome is not None:
            self.outcomes[number] = outcome
            arrays = {
                f"{place} {key}": tensor.detach().cpu().numpy()
                for place, part in enumerate(self.learner.parts(self.blocks[number]))
                for key, tensor in part.named_parameters()
            }
            errors = np.array([outcome.before, outcome.after, outcome.gain, outcome.doubt])
            self.cache.save(f"block-{number}", {**arrays, "errors": errors})
        self.clock.at((number + 1) / len(self.blocks))

    def said(self) -> str:
        """Say what is kept where work is cut short."""
        if self.cache.trouble is not None:
            return f"stopped: nothing is kept, since {self.cache.trouble}"
        count = sum(bool(block.layers) for block in self.blocks)
        kept = len(self.outcomes)
        return f"stopped: {kept} of {count} blocks are kept, and the same command goes on"
