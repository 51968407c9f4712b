"""From a plan to what is learned: pictures are made, blocks learned, and both kept as they come."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from spiq.analysis import Analysis, Progress
from spiq.config import SECONDS, Config
from spiq.emulation.network import exact
from spiq.io.write import check_output, write
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import resolve
from spiq.planning.plan.values import Plan
from spiq.reconstruct.batches import (
    batch_of,
    declared_batch,
    in_batches,
    room_for,
    rows_of,
    tried,
)
from spiq.reconstruct.blocks import Block, blocks_of
from spiq.reconstruct.cache import Cache, digest, forget
from spiq.reconstruct.clock import Clock
from spiq.reconstruct.efforts import EFFORTS, Effort
from spiq.reconstruct.form import Learned
from spiq.reconstruct.kept import Kept
from spiq.reconstruct.learning import Learner
from spiq.reconstruct.outcome import Outcome
from spiq.reconstruct.pictures import Maker, aims_of
from spiq.reconstruct.program import Program, program_of
from spiq.reconstruct.start import Layers, bounds, first_pictures, shared_grids, with_grids
from spiq.reconstruct.whole import Start, of_all
from spiq.rewriting.fold_scales import norms_as_convolutions
from spiq.rewriting.round_weights import LearnedLayer


@dataclass(frozen=True)
class Reconstructed:
    """What was learned.

    Attributes:
        plan: The plan with the steps and zero points that were learned; one of effort seconds where
            nothing came of it.
        layers: Integers, steps and biases of layers, by name.
        notes: What was done, a sentence each.
    """

    plan: Plan
    layers: Mapping[str, LearnedLayer]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Work:
    """What making pictures and learning have in common.

    Attributes:
        analysis: What is known of the network.
        original: The float network, for the runtime.
        program: The network.
        effort: How much is done.
        batch: How many pictures the network takes at once; None for any number.
        device: Where it is done.
        seed: Of the random numbers.
        tell: Told what is being done.
    """

    analysis: Analysis
    original: bytes | str
    program: Program
    effort: Effort
    batch: int | None
    device: str
    seed: int
    tell: Progress

    def key(self, *parts: object) -> str:
        """Return the hash of what comes of it, where that depends on more."""
        return digest(asdict(self.effort), self.device, self.seed, torch.__version__, *parts)


def reconstructed(
    analysis: Analysis,
    placement: Placement,
    plan: Plan,
    original: bytes | str,
    config: Config,
    tell: Progress,
) -> Reconstructed:
    """Learn what a plan leaves to be found, on pictures made from the network's statistics.

    What is done is kept under the user's cache as it comes, so that a call that is cut short is
    taken up by the next one like it. Where no block gets better, or the network does not by what
    its blocks learned, the plan is given back, as one of effort seconds.

    Args:
        analysis: What is known of the network.
        placement: What runs on integers.
        plan: Where to start; its ``effort`` says how much is done.
        original: The float network, for the runtime.
        config: Where it is done, by which random numbers, and where the pictures are written to.
        tell: Told what is being done.

    Raises:
        UnsupportedError: The network has operators or inputs that this cannot do.
        OutputError: The pictures cannot be written there, or the disk is full.
    """
    if config.keep_pictures is not None:
        check_output(config.keep_pictures)
    resolved, device = resolve(plan, placement), _device(config)
    model = analysis.prepared.model.clone(deep_copy=True)
    norms_as_convolutions(model.graph, resolved)
    program = program_of(model, resolved, device)

    forget()
    with exact(device):
        batch, rows = _batches(analysis, original, program, device)
        effort = in_batches(EFFORTS[plan.effort], batch)
        work = _Work(analysis, original, program, effort, batch, device, config.seed, tell)
        made = _pictures(work, plan)
    if config.keep_pictures is not None:
        write(_archive(images=made.cpu().numpy()), config.keep_pictures)

    layers = Layers(model.graph, analysis, plan, resolved)
    learned = Learned(
        resolved.tensors,
        shared_grids(plan, placement, resolved.tensors),
        layers.weights(device),
        layers.read,
        bounds(placement),
        device,
    )
    blocks, real = blocks_of(program, learned.weights, rows), _images(work)
    with exact(device):
        outcomes, whole = _learn(work, learned, blocks, torch.cat([made, *real]), plan)
    if not any(outcome.better for outcome in outcomes) or not whole.better:
        return Reconstructed(replace(plan, effort=SECONDS), {}, ())
    notes = _said(learned, outcomes, len(made), len(real))
    return Reconstructed(with_grids(plan, learned), layers.found(learned.weights), notes)


def _device(config: Config) -> str:
    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _batches(
    analysis: Analysis, original: bytes | str, program: Program, device: str
) -> tuple[int | None, frozenset[str]]:
    """Return how many pictures the network takes at once, and which tensors have a row of each."""
    declared = declared_batch(analysis.graph, program)
    few = first_pictures(original, analysis, program, tried(declared)).to(device)
    batch = batch_of(program, few, declared)
    return batch, rows_of(program, few, batch)


def _said(learned: Learned, outcomes: Sequence[Outcome], made: int, real: int) -> tuple[str, ...]:
    """Say what was learned, and on what."""
    count = len(learned.weights)
    better = sum(len(outcome.layers) for outcome in outcomes if outcome.better)
    images = f" and {real} image{'s' * (real > 1)} of yours" if real else ""
    others = "; the others got no better beyond doubt" if better < count else ""
    return (
        f"{better} of {count} layers were learned anew on {made} pictures made from the network's "
        f"statistics{images}{others}",
    )


def _archive(**arrays: npt.NDArray[np.generic]) -> bytes:
    """Return arrays as an ``.npz`` file."""
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)  # type: ignore[arg-type]
    return held.getvalue()


def _importance(importance: Mapping[ir.Value, np.ndarray], device: str) -> dict[str, torch.Tensor]:
    return {
        str(value.name): torch.tensor(array, dtype=torch.float32, device=device)
        for value, array in importance.items()
    }


def _pictures(work: _Work, plan: Plan) -> torch.Tensor:
    """Return pictures that meet what is known of the network: as kept, or made."""
    known, device = work.analysis, work.device
    low, high = (
        torch.tensor(np.asarray(end), dtype=torch.float32, device=device)
        for end in known.pictured[work.program.inputs[0]]
    )
    aims = aims_of(known.graph, known.measured.stats, device)
    aimed = () if aims is None else (aims.axes, aims.mean, aims.deviation, aims.weight)
    cache = Cache(work.key(plan.version, plan.model_hash, low, high, known.sizes, *aimed))
    found = cache.load("pictures")
    if found is None:
        try:
            shares = _made(work, (low, high))
        except KeyboardInterrupt:
            work.tell("stopped: pictures were still being made, and begin anew")
            raise
        found = {"bytes": (shares * 255).round().to(torch.uint8).cpu().numpy()}
        cache.save("pictures", found)
    return low + (high - low) * (torch.tensor(found["bytes"], device=device).float() / 255)


def _made(work: _Work, ends: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return pictures that meet what is known of the network, in shares of the input's range."""
    work.tell("draw pictures")
    known, program = work.analysis, work.program
    start = first_pictures(work.original, known, program, work.effort.pictures).to(work.device)
    aims = aims_of(known.graph, known.measured.stats, work.device)
    low, high = ends
    if aims is None:
        return ((start - low) / (high - low)).clamp(0, 1)
    batch = work.batch or room_for(program, start[:1])
    maker = Maker(program, aims, low, high, batch, torch.Generator().manual_seed(work.seed))
    return maker.made(start, work.effort.moves, Clock(work.tell, "make pictures").at)


def _images(work: _Work) -> list[torch.Tensor]:
    """Return the user's images, if there are any."""
    images = work.analysis.images
    if images is None:
        return []
    arrays = (torch.tensor(np.asarray(one, np.float32)) for one in images.arrays())
    return [one.to(work.device)[: work.batch or 1] for one in arrays]


def _learn(
    work: _Work, learned: Learned, blocks: Sequence[Block], pictures: torch.Tensor, plan: Plan
) -> tuple[list[Outcome], Outcome]:
    """Learn all blocks; take up those that were learned before, and keep each as it is done.

    Returns:
        What became of each block, and of all together.
    """
    begun = Start(learned)
    importance = _importance(work.analysis.importance, work.device)
    inputs = [learned.grids.get(name, ()) for name in work.program.inputs]
    settled = {key for keys in inputs for key in keys}
    learner = Learner(
        work.program, learned, importance, work.effort, torch.Generator(), work.seed, work.batch,
        settled,
    )  # fmt: skip
    start = (*learned.start(), *importance.items())
    cache = Cache(work.key(plan.to_json(), pictures, *start))
    kept = Kept(learner, blocks, cache, Clock(work.tell, "learn"))
    try:
        learner.learn(blocks, pictures, kept.done, kept.ended)
        whole = of_all(learner, blocks, pictures[: work.effort.held], begun)
    except KeyboardInterrupt:
        work.tell(kept.said())
        raise
    return list(kept.outcomes.values()), whole
