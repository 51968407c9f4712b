"""Blocks are learned one after the other, each on what the quantized network has made of pictures.

A block is held to what the float one writes. What it reads is mixed, number by number, of what the
quantized network has come to and of float's, and its stored tensors stay unrounded here and there
(Wei et al.: "QDrop", ICLR 2022). Errors count by the planner's importance of their channel. Weights
are drawn to a decision between two integers (AdaRound) harder and harder. A block that is no better
beyond doubt on pictures kept from learning is left as rounding in one go had it.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi

import torch

from spiq.reconstruct.blocks import Block
from spiq.reconstruct.efforts import Effort
from spiq.reconstruct.form import Coins, Learned
from spiq.reconstruct.outcome import Outcome, missed, outcome_of, scale
from spiq.reconstruct.program import Program, Values, kept
from spiq.reconstruct.shelf import room
from spiq.reconstruct.weights import Weight

_RATE, _STEP_RATE, _BIAS_RATE = 0.02, 1e-3, 1e-3
"""Of Adam: for decisions; for the logarithms of steps, and zero points in shares of their grid; for
biases in deviations of the output."""

_DROP = 0.5
"""Share of numbers that stay as float has them."""

_SHARP, _RAMP = (20.0, 2.0), 100.0
"""AdaRound's exponent at first and at last, and by how much decisions are drawn harder at last.
They are from the first step on: left alone for a fifth of the steps, as in AdaRound, weights drift
back to what they were in float, and end far worse than they began."""

_CLOSING = 0.8
"""Share of the steps after which all is decided, and steps and biases make up for what that did."""

_ENOUGH, _LEAST = 1 << 20, 4
"""Numbers of a block's widest tensor that a step of learning sees at most, and pictures at least:
one of 224 x 224 has as many positions in front as 200 have behind."""

_CHUNK = 32
"""Pictures that are run together where nothing is learned."""


@dataclass
class Learner:
    """Learns a network's blocks.

    Attributes:
        program: The network.
        learned: Its quantized form, which is changed.
        importance: That of each tensor's channels, in its layout.
        effort: How much is done.
        generator: Of the random numbers, begun anew for every block: what comes of one does not
            depend on whether those before it were learned now or taken up.
        seed: What it begins with.
        micro: How many pictures the network takes at once; None for any number.
        settled: Steps and zero points that blocks before rely on.
    """

    program: Program
    learned: Learned
    importance: Mapping[str, torch.Tensor]
    effort: Effort
    generator: torch.Generator
    seed: int
    micro: int | None
    settled: set[str] = field(default_factory=set)

    def learn(
        self,
        blocks: Sequence[Block],
        pictures: torch.Tensor,
        done: Callable[[int], bool],
        tell: Callable[[int, Outcome | None], None],
    ) -> None:
        """Learn all blocks.

        Args:
            blocks: The blocks, in order.
            pictures: The pictures; the first of them are kept from learning.
            done: Takes up what was learned of a block before, and says whether there was any.
            tell: Told of each block that is done, and what became of it where it was learned now.
        """
        in_float: Values = {self.program.inputs[0]: pictures}
        quantized = self.begin(pictures)
        for number, block in enumerate(blocks):
            later = {name for other in blocks[number + 1 :] for name in other.reads}
            names = dict.fromkeys((*block.writes, *block.held))
            wanted = self.through(block, in_float, None, names)
            outcome = None
            if block.layers and block.held and not done(number):
                outcome = self._block(block, in_float, quantized, wanted)
            tell(number, outcome)
            self.settled.update(self._own(block))
            read_on = [name for name in block.writes if name in later]
            written = self.through(block, quantized, self.learned, read_on)
            in_float = needed({**in_float, **wanted}, later)
            quantized = needed({**quantized, **written}, later)

    def parts(self, block: Block) -> list[torch.nn.Module]:
        """Return what a block learns: its layers, then its steps and zero points."""
        weights = [self.learned.weights[name] for name in block.layers]
        return [*weights, *(self.learned.shared[key] for key in self._own(block))]

    def _own(self, block: Block) -> list[str]:
        """Return what is a block's to learn of grids: no block before it relies on that."""
        keys = dict.fromkeys(key for name in block.stored for key in self.learned.grids[name])
        return [key for key in keys if key not in self.settled]

    def _block(self, block: Block, in_float: Values, quantized: Values, wanted: Values) -> Outcome:
        """Learn one block; leave it as it was if it gets no better."""
        self.generator.manual_seed(self.seed + block.part.start)
        parts = self.parts(block)
        scales = {name: scale(wanted[name], self.importance.get(name)) for name in block.held}
        before = self._errors(block, quantized, wanted, scales)
        saved = [copy.deepcopy(part.state_dict()) for part in parts]
        self._descend(block, in_float, quantized, wanted, scales, float(before.mean()))
        outcome = outcome_of(block.layers, before, self._errors(block, quantized, wanted, scales))
        if not outcome.better:
            for part, state in zip(parts, saved, strict=True):
                part.load_state_dict(state)
        return outcome

    def _descend(
        self, block: Block, in_float: Values, quantized: Values, wanted: Values,
        scales: Values, before: float,
    ) -> None:  # fmt: skip
        """Take the steps of learning."""
        weights = [self.learned.weights[name] for name in block.layers]
        own = self._own(block)
        optimizer = self._optimizer(weights, own)
        coins = Coins(_DROP, self.generator, str(next(iter(wanted.values())).device))
        _harden(weights, hard=False)
        count, batch = len(next(iter(wanted.values()))), self._batch(block, in_float, wanted)
        for step in range(self.effort.steps):
            progress = step / self.effort.steps
            drawn = torch.randint(self.effort.held, count, (batch,), generator=self.generator)
            if progress >= _CLOSING:
                _harden(weights, hard=True)
                coins.share = 0.0
            optimizer.zero_grad()
            for some in drawn.split(self.micro or len(drawn)):
                loss = self._loss(block, in_float, quantized, wanted, scales, some, coins)
                (loss * len(some) / len(drawn)).backward()
            pull = _pull(weights, progress)
            if pull is not None:
                (max(before, 1e-9) * pull).backward()
            for group in optimizer.param_groups[1:]:
                group["lr"] = group["first"] * _rate(progress)
            optimizer.step()
            self.learned.bound(own)
        _harden(weights, hard=True)

    def _batch(self, block: Block, in_float: Values, wanted: Values) -> int:
        """Return how many pictures a step of learning sees."""
        tensors = [*wanted.values(), *(in_float[name] for name in block.reads)]
        most: int = _ENOUGH // max(x[0].numel() for x in tensors)
        count = min(max(most, _LEAST), self.effort.batch)
        return count if self.micro is None else -(-count // self.micro) * self.micro

    def _optimizer(self, weights: Sequence[Weight], own: Sequence[str]) -> torch.optim.Adam:
        factors = [weight.log_factor for weight in weights]
        factors += [p for key in own for p in self.learned.shared[key].parameters()]
        groups = [
            {"params": [weight.logit for weight in weights], "lr": _RATE},
            {"params": factors, "lr": _STEP_RATE, "first": _STEP_RATE},
            {"params": [w.shift for w in weights], "lr": _BIAS_RATE, "first": _BIAS_RATE},
        ]
        return torch.optim.Adam(groups)

    def _loss(
        self, block: Block, in_float: Values, quantized: Values, wanted: Values,
        scales: Values, some: torch.Tensor, coins: Coins,
    ) -> torch.Tensor:  # fmt: skip
        """Return the error of a block on some pictures, with numbers left as float has them."""
        values: Values = {}
        for name in block.reads:
            for key in self.program.keys(name, self.learned):
                x = quantized[key][some]
                exact = in_float[name][some]
                values[key] = coins.mixed(x, exact) if x.is_floating_point() else x
        self.learned.coins = coins
        try:
            self.program.run(block.part, values, self.learned)
        finally:
            self.learned.coins = None
        return self._missed(values, {n: x[some] for n, x in wanted.items()}, scales).mean()

    def _missed(self, values: Values, wanted: Values, scales: Values) -> torch.Tensor:
        found = {name: values[self.program.keys(name, self.learned)[0]] for name in scales}
        return missed(found, wanted, scales)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _errors(
        self, block: Block, quantized: Values, wanted: Values, scales: Values
    ) -> torch.Tensor:
        """Return the error of a block on each picture that is kept from learning."""
        held = slice(0, self.effort.held)
        some = {key: x[held] for key, x in quantized.items()}
        values = self.through(block, some, self.learned, block.held)
        return self._missed(values, {n: x[held] for n, x in wanted.items()}, scales)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def begin(self, pictures: torch.Tensor) -> Values:
        """Return what the first block of the quantized network reads."""
        given = {self.program.inputs[0]: pictures}
        return self.program.begin(given, self.learned)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def through(
        self, block: Block, source: Values, form: Learned | None, names: Collection[str]
    ) -> Values:
        """Return some of what a block writes for all pictures, quantized or in float."""
        reads = [key for name in block.reads for key in self.program.keys(name, form)]
        writes = [key for name in names for key in self.program.keys(name, form)]
        count = len(source[reads[0]])
        found: Values = {}
        for start in range(0, count, self.micro or _CHUNK):
            some = slice(start, start + (self.micro or _CHUNK))
            values = {key: source[key][some] for key in reads}
            self.program.run(block.part, values, form)
            for key in writes:
                if key not in found:
                    found[key] = room(count, values[key])
                found[key][some] = values[key]
        return found


def _pull(weights: Iterable[Weight], progress: float) -> torch.Tensor | None:
    """Return how far weights are from a decision, as much as that counts by now."""
    if progress >= _CLOSING:
        return None
    late = progress / _CLOSING
    first, last = _SHARP
    sharpness = last + (first - last) * (1 + cos(pi * late)) / 2
    each = [weight.undecided(sharpness) for weight in weights]
    return torch.stack(each).mean() * _RAMP**late


def _rate(progress: float) -> float:
    """Return the share of its rate at which what is continuous is learned: it falls at the end."""
    late = max(progress - _CLOSING, 0) / (1 - _CLOSING)
    return (1 + cos(pi * late)) / 2


def _harden(weights: Iterable[Weight], *, hard: bool) -> None:
    for weight in weights:
        weight.hard = hard


def needed(values: Values, later: set[str]) -> Values:
    """Return what is read later of some tensors."""
    return {key: x for key, x in values.items() if key in later or key in map(kept, later)}
