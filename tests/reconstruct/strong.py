"""What the tests of the strong mode share; whoever imports this needs PyTorch."""

from dataclasses import dataclass

import onnx
import onnx_ir as ir

from small_modules import torch
from spiq import Config, Plan, pipeline
from spiq.analysis import Analysis
from spiq.decision import placed_by
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.reconstruct.efforts import Effort
from spiq.reconstruct.form import Learned
from spiq.reconstruct.program import Program, program_of
from spiq.reconstruct.start import Layers, bounds, shared_grids
from spiq.rewriting.fold_scales import norms_as_convolutions
from spiq.run import begun

LITTLE = Effort(pictures=24, held=8, moves=20, steps=100, batch=8)


@dataclass
class Begun:
    """A network where learning begins."""

    analysis: Analysis
    plan: Plan
    placement: Placement
    resolved: Resolved
    program: Program
    learned: Learned
    layers: Layers
    shipped: bytes


def begin(model: onnx.ModelProto, weight_bits: int = 4, activation_bits: int = 8) -> Begun:
    config = Config(weight_bits=weight_bits, activation_bits=activation_bits)
    made = pipeline.quantize(model, config)
    with begun(model, lambda step: None) as run:
        _, analysis = run.learn(config)
        placement = placed_by(made.plan, analysis)
        resolved = resolve(made.plan, placement)
        changed: ir.Model = analysis.prepared.model.clone(deep_copy=True)
        norms_as_convolutions(changed.graph, resolved)
        program = program_of(changed, resolved, "cpu")
        layers = Layers(changed.graph, analysis, made.plan, resolved)
        learned = Learned(
            resolved.tensors,
            shared_grids(made.plan, placement, resolved.tensors),
            layers.weights("cpu"),
            layers.read,
            bounds(placement),
            "cpu",
        )
        return Begun(analysis, made.plan, placement, resolved, program, learned, layers, made.model)


def outputs(start: Begun, x: torch.Tensor, form: Learned | None) -> list[torch.Tensor]:
    with torch.no_grad():
        values = start.program.begin({start.program.inputs[0]: x}, form)
        start.program.run(slice(0, len(start.program.steps)), values, form)
    return [values[start.program.keys(name, form)[-1]] for name in start.program.outputs]
