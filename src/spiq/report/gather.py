"""Gather what a report tells of a float network and its quantized form.

The plan says what was decided, the analysis what is known, and both networks run side by side say
what came of it. Where the quantized file was made by another plan than the one at hand, what is
expected is that of the plan, and what is measured that of the file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spiq.analysis import WARNING, Analysis, analyse
from spiq.config import Config
from spiq.graph.query import weight_nodes
from spiq.graph.work import macs
from spiq.inspection.in_single import AsRun, in_single
from spiq.io.read import read
from spiq.planning.plan.values import Plan
from spiq.report.facts import Facts, InputFacts, LayerFacts, OtherTime, OutputFacts
from spiq.report.layers import layer_facts
from spiq.report.timing import by_layer, named, other_times
from spiq.runtime.agreement import Agreement
from spiq.runtime.profile import kernel_times
from spiq.runtime.reference import reference, results
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_inputs
from spiq.runtime.timing import Latency
from spiq.stats.exponential import exponential
from spiq.stats.sidecar import Statistics

_PICTURES, _WORK = 4, 1e9
"""Synthetic pictures that both networks are shown, and multiply-accumulates that all of them may
take; one picture may take any number."""

_SECONDS = 0.15
"""How long each network is run to see what its kernels take."""

_INPUT = "input '"
"""What notes of inputs begin with."""


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        model: The float network, its path or bytes.
        name: What it is called.
        quantized: The quantized one.
        called: What it is called.
        plan: What was decided, or would be where another tool decided.
        command: The command that quantizes like this, word by word, without an output.
        config: The options that the plan was made with.
        statistics: Kept statistics that it was made with.
        outputs: How far each output is from float's, where that is known already.
        latency: Its time beside float's, where that is known already.
        notes: Assumptions made, and doubts.
        own_plan: Whether the plan is the one that was followed.
        known: What is known of the float network, where it was learned with just this config.
    """

    model: str | bytes
    name: str
    quantized: bytes
    called: str
    plan: Plan
    command: tuple[str, ...]
    config: Config = field(default_factory=Config)
    statistics: Statistics | None = None
    outputs: tuple[OutputFacts, ...] = ()
    latency: Latency | None = None
    notes: tuple[str, ...] = ()
    own_plan: bool = True
    known: Analysis | None = None


def gather(subject: Subject) -> Facts:
    """Return everything that a report tells.

    Raises:
        ModelError: A network cannot be loaded or run.
        ConfigError: The networks are no two forms of the same one.
        PlanError: The plan is for another network.
    """
    plan, notes = subject.plan, subject.notes
    known = subject.known or _analysed(subject)
    pictures = _pictures(known)
    networks = in_single(subject.model, subject.name), in_single(subject.quantized, subject.called)
    layers = layer_facts(known, plan, networks, images=pictures)
    timed, others = _timed(networks, known, layers)
    return Facts(
        model=subject.name,
        quantized=subject.called,
        command=subject.command,
        method=plan.method,
        target=plan.target,
        bits=_bits(layers, plan),
        bytes_before=_size(subject.model),
        bytes_after=len(subject.quantized),
        layers=timed,
        latency=subject.latency,
        outputs=subject.outputs or output_facts(_compared(networks, known)),
        inputs=tuple(_inputs(known, plan, notes)),
        notes=tuple(note for note in notes if not note.startswith(WARNING)),
        warnings=tuple(n.removeprefix(WARNING) for n in notes if n.startswith(WARNING)),
        others=others,
        pictures=pictures,
        own_plan=subject.own_plan,
    )


def _pictures(known: Analysis) -> int:
    work = sum(macs(node) or 0 for node in weight_nodes(known.graph))
    return int(np.clip(_WORK // max(work, 1), 1, _PICTURES))


def _size(model: str | bytes) -> int:
    return len(model) if isinstance(model, bytes) else Path(model).stat().st_size


def output_facts(estimates: Mapping[str, Agreement | str]) -> tuple[OutputFacts, ...]:
    """Return how far outputs are from float's, from estimates or why there is none."""
    return tuple(
        OutputFacts(name=name, why_not=one)
        if isinstance(one, str)
        else OutputFacts(name=name, snr_db=one.db, low=one.low, high=one.high)
        for name, one in estimates.items()
    )


def _analysed(subject: Subject) -> Analysis:
    """Return what is known of the network, with the inputs that the plan has decided."""
    plan = subject.plan
    config = replace(subject.config, method=plan.method, input_size=plan.input_size)
    return analyse(
        read(subject.model), config, known_ends=plan.inputs, statistics=subject.statistics
    )


def _compared(networks: tuple[AsRun, AsRun], known: Analysis) -> dict[str, Agreement | str]:
    """Run both networks on pictures that nothing was chosen by, as verification does."""
    in_float, quantized = networks
    made = exponential(known.graph, known.measured)
    ends, sizes, rivals = known.pictured, known.sizes, known.rivals
    wanted = reference(in_float.source, ends, sizes=sizes, exponential=made, rivals=rivals)
    opened = session(quantized.source, name=quantized.name)
    found = [results(opened, inputs, where=quantized.name) for inputs in wanted.every]
    return wanted.estimates(found)


def _timed(
    networks: tuple[AsRun, AsRun], known: Analysis, layers: tuple[LayerFacts, ...]
) -> tuple[tuple[LayerFacts, ...], tuple[OtherTime, ...]]:
    """Return the layers with their times, and the times of what is no layer."""
    opened = session(networks[1].source, optimize=False, name=networks[1].name)
    feeds = synthetic_inputs(opened, known.pictured, images=1, size=known.sizes.compare)
    (before, others_before), (after, others_after) = (
        by_layer(known.prepared, kernel_times(network, feeds, seconds=_SECONDS))
        for network in (named(networks[0]), networks[1].source)
    )
    timed = (
        replace(layer, float_ms=before.get(layer.name), ms=after.get(layer.name))
        for layer in layers
    )
    return tuple(timed), other_times(others_before, others_after)


def _inputs(known: Analysis, plan: Plan, notes: tuple[str, ...]) -> Iterator[InputFacts]:
    for name, (low, high) in plan.inputs.items():
        pictured = known.pictured.get(name, (np.array(low), np.array(high)))
        said = next((note for note in notes if f"{_INPUT}{name}':" in note), "")
        yield InputFacts(
            name=name,
            low=min(low),
            high=max(high),
            pictured=(float(np.min(pictured[0])), float(np.max(pictured[1]))),
            said=said.removeprefix(WARNING).removeprefix(f"{_INPUT}{name}': "),
            sure=not said.startswith(WARNING),
        )


def _bits(layers: tuple[LayerFacts, ...], plan: Plan) -> str:
    """Return such as W8A8; a mean where the bits of layers differ."""
    known = [layer for layer in layers if layer.bits is not None]
    count = sum(layer.parameters for layer in known) or 1
    mean = sum((layer.bits or 0) * layer.parameters for layer in known) / count
    return f"W{mean:.3g}A{plan.activation_bits}" if known else f"A{plan.activation_bits}"
