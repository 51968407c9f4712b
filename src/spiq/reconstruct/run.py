"""From a plan to what is learned: pictures are made, blocks learned, and both kept as they come."""

import hashlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from spiq.analysis import Analysis, Progress
from spiq.emulation.network import exact
from spiq.errors import ConfigError
from spiq.io.write import check_output, write
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import resolve
from spiq.planning.plan.values import Plan
from spiq.reconstruct.blocks import Block, blocks_of
from spiq.reconstruct.efforts import EFFORTS, Effort
from spiq.reconstruct.form import Learned
from spiq.reconstruct.learning import Learner, Outcome
from spiq.reconstruct.pictures import Maker, aims_of
from spiq.reconstruct.program import Program, program_of
from spiq.reconstruct.shelf import Cache, Shelf
from spiq.reconstruct.start import Layers, first_pictures, step_of, with_steps
from spiq.rewriting.fold_scales import norms_as_convolutions
from spiq.rewriting.round_weights import LearnedLayer

_FORMAT = 1
"""Of what is kept, counted up when something else comes of the same plan."""

_ROOM = 1.0e9
"""Bytes that the tensors of the pictures shown together may take, on a CPU; eight times that on a
GPU."""

_PAUSE = 2.0
"""Seconds between two things told."""


@dataclass(frozen=True)
class Reconstructed:
    """What was learned.

    Attributes:
        plan: The plan with the steps that were learned.
        layers: Integers, steps and biases of layers, by name.
        note: What was done, a sentence.
    """

    plan: Plan
    layers: Mapping[str, LearnedLayer]
    note: str


def reconstructed(
    analysis: Analysis,
    placement: Placement,
    plan: Plan,
    original: bytes | str,
    *,
    device: str = "auto",
    seed: int = 0,
    keep_pictures: str | os.PathLike[str] | None = None,
    tell: Progress,
) -> Reconstructed:
    """Learn what a plan leaves to be found, on pictures made from the network's statistics.

    What is done is kept under the user's cache as it comes, so that a call that is cut short is
    taken up by the next one like it.

    Args:
        analysis: What is known of the network.
        placement: What runs on integers.
        plan: Where to start; its ``effort`` says how much is done.
        original: The float network, for the runtime.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Of the random numbers.
        keep_pictures: Where the pictures are written to, an ``.npz`` file; None for nowhere.
        tell: Told what is being done.

    Raises:
        UnsupportedError: The network has operators or inputs that this cannot do.
        ConfigError: There is no such device.
        OutputError: The pictures cannot be written there.
    """
    if keep_pictures is not None:
        check_output(keep_pictures)
    device, effort = _device(device), EFFORTS[plan.effort]
    model = analysis.prepared.model.clone(deep_copy=True)
    resolved = resolve(plan, placement)
    norms_as_convolutions(model.graph, resolved)
    program = program_of(model, resolved, device)
    layers = Layers(model.graph, analysis, plan, resolved)

    learned = Learned(resolved.tensors, step_of(plan, placement), layers.weights(device), device)
    setting = (asdict(effort), device, seed, torch.__version__, _seen(analysis))
    generator = torch.Generator().manual_seed(seed)
    with exact(device):
        cache = Cache(_key(plan.version, plan.model_hash, *setting))
        pictures = _pictures(program, analysis, original, effort, device, generator, cache, tell)
    if keep_pictures is not None:
        write(_archive(images=pictures.cpu().numpy()), keep_pictures)

    blocks = blocks_of(program, learned.weights)
    with TemporaryDirectory(prefix="spiq-") as folder, exact(device):
        learner = Learner(
            program, learned, _importance(analysis.importance, device), effort, generator, seed,
            _micro(program, pictures, analysis), Shelf(Path(folder)),
            {learned.step_of[name] for name in program.inputs if name in learned.step_of},
        )  # fmt: skip
        cache = Cache(_key(plan.to_json(), *setting))
        outcomes = _learn(learner, blocks, pictures, cache, tell)
    better = sum(len(outcome.layers) for outcome in outcomes if outcome.better)
    note = (
        f"{better} of {len(learned.weights)} layers were learned anew on {len(pictures)} pictures "
        "made from the network's statistics; the others got no better by that"
    )
    return Reconstructed(with_steps(plan, learned), layers.found(learned.weights), note)


def _archive(**arrays: npt.NDArray[np.generic]) -> bytes:
    """Return arrays as an ``.npz`` file."""
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)  # type: ignore[arg-type]
    return held.getvalue()


def _device(name: str) -> str:
    """Return the device to be used.

    Raises:
        ConfigError: It is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, and PyTorch finds none: choose cpu, or auto")
    return name


def _key(*parts: object) -> str:
    """Return the hash of all that something depends on."""
    return hashlib.sha256(repr((_FORMAT, *parts)).encode()).hexdigest()[:32]


def _seen(analysis: Analysis) -> object:
    """Return what tells one way of looking at a network from another: ranges, sizes and images."""
    images = None if analysis.images is None else str(analysis.images.images.path.resolve())
    ends = {name: tuple(map(np.ndarray.tolist, span)) for name, span in analysis.pictured.items()}
    return images, ends, analysis.sizes


def _importance(importance: Mapping[ir.Value, np.ndarray], device: str) -> dict[str, torch.Tensor]:
    return {
        str(value.name): torch.tensor(array, dtype=torch.float32, device=device)
        for value, array in importance.items()
    }


def _pictures(
    program: Program, analysis: Analysis, original: bytes | str, effort: Effort, device: str,
    generator: torch.Generator, cache: Cache, tell: Progress,
) -> torch.Tensor:  # fmt: skip
    """Return pictures: as kept, or made; real ones behind them, if there are any."""
    low, high = (
        torch.tensor(np.asarray(end), dtype=torch.float32, device=device)
        for end in analysis.pictured[program.inputs[0]]
    )
    found = cache.load("pictures")
    if found is None:
        made = _made(program, analysis, original, effort, device, (low, high), generator, tell)
        found = {"bytes": (made * 255).round().to(torch.uint8).cpu().numpy()}
        cache.save("pictures", found)
    shares = torch.tensor(found["bytes"], device=device).float() / 255
    pictures = low + (high - low) * shares
    if analysis.images is not None:
        real = np.concatenate([np.asarray(one, np.float32) for one in analysis.images.arrays()])
        pictures = torch.cat([pictures, torch.tensor(real, device=device)])
    return pictures


def _made(
    program: Program, analysis: Analysis, original: bytes | str, effort: Effort, device: str,
    ends: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator, tell: Progress,
) -> torch.Tensor:  # fmt: skip
    """Return pictures that meet what is known of the network, in shares of the input's range."""
    tell("draw pictures")
    start = first_pictures(original, analysis, program, effort.pictures).to(device)
    aims = aims_of(analysis.graph, analysis.measured.stats, device)
    low, high = ends
    if aims is None:
        return (start - low) / (high - low)
    batch = _micro(program, start, analysis) or _batch(program, start[:1], device)
    maker = Maker(program, aims, low, high, batch, generator)
    return maker.made(start, effort.moves, _Clock(tell, "make pictures").at)


def _batch(program: Program, one: torch.Tensor, device: str) -> int:
    """Return how many pictures may be shown together."""
    with torch.no_grad():
        values = program.begin({program.inputs[0]: one})
        program.run(slice(0, len(program.steps)), values)
    taken = 2 * sum(x.nbytes for x in values.values())
    room = _ROOM if device == "cpu" else 8 * _ROOM
    return int(min(max(room // taken, 1), 64 if device == "cpu" else 256))


def _micro(program: Program, pictures: torch.Tensor, analysis: Analysis) -> int | None:
    """Return how many pictures the network takes at once; None for any number.

    A file may say one, and compute any number all the same: that is tried.
    """
    declared = next(v for v in analysis.graph.inputs if v.name == program.inputs[0]).shape
    size = None if declared is None else declared[0]
    if not isinstance(size, int):
        return None
    two = pictures[: 2 * size]
    try:
        together = _outputs(program, two)
        apart = [_outputs(program, part) for part in two.split(size)]
    except (RuntimeError, ValueError, IndexError):
        return size
    same = all(
        one.shape == torch.cat(parts).shape and torch.allclose(one, torch.cat(parts), atol=1e-3)
        for one, *parts in zip(together, *apart, strict=True)
    )
    return None if same else size


@torch.no_grad()  # type: ignore[untyped-decorator]
def _outputs(program: Program, pictures: torch.Tensor) -> list[torch.Tensor]:
    values = program.begin({program.inputs[0]: pictures})
    program.run(slice(0, len(program.steps)), values)
    return [values[name] for name in program.outputs]


def _learn(
    learner: Learner,
    blocks: Sequence[Block],
    pictures: torch.Tensor,
    cache: Cache,
    tell: Progress,
) -> list[Outcome]:
    """Learn all blocks; take up those that were learned before, and keep each as it is done."""
    clock, outcomes = _Clock(tell, "learn"), dict[int, Outcome]()

    def done(number: int) -> bool:
        found = cache.load(f"block-{number}")
        if found is None:
            return False
        for place, part in enumerate(learner.parts(blocks[number])):
            state = {key: torch.tensor(found[f"{place} {key}"]) for key in part.state_dict()}
            part.load_state_dict(state)
        before, after = found["errors"]
        outcomes[number] = Outcome(blocks[number].layers, float(before), float(after))
        return True

    def ended(number: int, outcome: Outcome | None) -> None:
        if outcome is not None:
            outcomes[number] = outcome
            arrays = {
                f"{place} {key}": tensor.cpu().numpy()
                for place, part in enumerate(learner.parts(blocks[number]))
                for key, tensor in part.state_dict().items()
            }
            cache.save(
                f"block-{number}", arrays | {"errors": np.array([outcome.before, outcome.after])}
            )
        clock.at((number + 1) / len(blocks))

    try:
        learner.learn(blocks, pictures, done, ended)
    except KeyboardInterrupt:
        tell(f"stopped: {len(outcomes)} of {len(blocks)} blocks are kept")
        raise
    return list(outcomes.values())


class _Clock:
    """Tells how far something is, and how long it may still take, now and then."""

    def __init__(self, tell: Progress, what: str) -> None:
        self.tell, self.what = tell, what
        self.begin = self.told = time.perf_counter()
        tell(what)

    def at(self, share: float) -> None:
        """Take note of the share that is done."""
        now = time.perf_counter()
        if now - self.told < _PAUSE:
            return
        self.told = now
        left = (now - self.begin) * (1 - share) / share
        text = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        self.tell(f"{self.what}: {share:.0%}, {text} left")
