"""What is known of a network before anything is decided: its tensors' statistics, without data.

    prepare -> what the inputs are -> measure -> what is doubtful -> (equalize)

Statistics come from BatchNormalization and a rule per operator, see :mod:`spiq.stats.propagate`;
what nothing states is observed on synthetic pictures, and on real ones if there are any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from spiq.config import Config
from spiq.errors import WARNING as WARNING
from spiq.graph.indices import integer_ends
from spiq.graph.query import weight_nodes
from spiq.io.images import listed
from spiq.io.precision import widened_from
from spiq.methods import METHODS
from spiq.passes.equalize import equalize
from spiq.passes.prepare import Prepared, prepare
from spiq.planning.errors.importance import importance_of
from spiq.runtime.images import Shown, shown
from spiq.runtime.observe import observe
from spiq.runtime.ports import ANY, Sizes
from spiq.runtime.sizes import sizes_for
from spiq.runtime.trials import tried
from spiq.runtime.unstated import unstated
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.consistency import statistics_doubts
from spiq.stats.contradicted import said
from spiq.stats.inputs.doubted import range_doubts
from spiq.stats.inputs.ends import Ends, beyond, shown_ends, single_ends, widened
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats
from spiq.stats.lost_norms import may_have_had_batchnorm
from spiq.stats.propagate import Measured, measure
from spiq.stats.sidecar import Statistics, restore
from spiq.targets import TARGETS

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""

_LISTED = 3
"""Operators without a rule that a note names."""


def silent(step: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Analysis:
    """What is known of a network.

    Attributes:
        prepared: The network, ready to be planned and rewritten.
        measured: Statistics of its tensors.
        pictured: Range that pictures fill, by input, grids may hold more where that is a guess; and
            the rows of tables that inputs index.
        notes: Assumptions made, a sentence each; what casts doubt on the result begins with
            ``WARNING``.
        images: Real images, if there are any.
        sizes: What it can be shown.
        rivals: Range of inputs that may be of another convention than the one that is shown.
    """

    prepared: Prepared
    measured: Measured
    pictured: Mapping[str, tuple[Array, Array]]
    notes: tuple[str, ...]
    images: Shown | None = None
    sizes: Sizes = ANY
    rivals: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)

    @property
    def graph(self) -> ir.Graph:
        """The prepared graph."""
        return self.prepared.model.graph

    @cached_property
    def importance(self) -> Mapping[ir.Value, Array]:
        """How much an error of each channel counts at the outputs."""
        return importance_of(self.graph, self.measured)


def analyse(
    network: ir.Model,
    config: Config,
    tell: Progress = silent,
    known_ends: Mapping[str, Ends] | None = None,
    statistics: Statistics | None = None,
) -> Analysis:
    """Prepare a network, in place, and learn what its tensors look like.

    Args:
        network: The network.
        config: The options.
        tell: Told the name of each step as it begins.
        known_ends: Ranges of inputs that a plan has decided, by name.
        statistics: What is known of layers whose BatchNorm is gone.

    Raises:
        ModelError: The network cannot be used.
        ConfigError: The options do not fit its inputs, or the statistics are of another network.
    """
    tell("prepare")
    elsewhere = not TARGETS[config.target].fuses_here
    prepared, restored = prepare(network, small_phases=elsewhere), list[str]()
    if statistics is not None:
        prepared, restored = restore(prepared, statistics)

    tell("measure")
    sizes = sizes_for(prepared.model, config.extent)
    told = inputs_of(prepared, config, sizes, known_ends)
    inputs, images = told.inputs, told.images
    notes = [*_widened(network), *told.notes, *restored]

    measured = measure(prepared, inputs)
    missing = unstated(prepared, measured)
    mostly = len(prepared.stated) >= len(missing)
    doubts = _doubts(prepared, measured, inputs, config, stated=mostly)
    if missing:
        notes.append(_observed(prepared, len(missing), yours=images is not None))
        prepared = observe(prepared, missing, told.ends, size=sizes.observe, images=images)
        measured = measure(prepared, inputs)
    notes += doubts

    if METHODS[config.method].equalizes:
        prepared = equalize(prepared)
        measured = measure(prepared, inputs)
    noted = (*notes, *_gaps(prepared.model.graph, measured))
    return Analysis(prepared, measured, told.ends, noted, images, sizes, told.rivals)


@dataclass(frozen=True)
class Inputs:
    """What is known of the inputs, by name.

    Attributes:
        inputs: Pictures of the likeliest convention, with ranges wide enough for its rivals.
        ends: The range that pictures of them fill, and indices.
        notes: What was assumed.
        images: Real images in that range, if there are any.
        rivals: The range that holds for rivals, too, of those that have any.
    """

    inputs: dict[str, ChannelStats]
    ends: dict[str, tuple[Array, Array]]
    notes: list[str]
    images: Shown | None
    rivals: dict[str, tuple[Array, Array]] = field(default_factory=dict)


def _images(prepared: Prepared, config: Config, sizes: Sizes) -> Shown | None:
    if config.images is None:
        return None
    found = listed(Path(config.images))
    graph, order = prepared.model.graph, config.input_order
    return shown(found, graph, order=order, size=sizes.observe)


def inputs_of(
    prepared: Prepared,
    config: Config,
    sizes: Sizes,
    known_ends: Mapping[str, Ends] | None = None,
) -> Inputs:
    """Learn what the inputs are, from the options, the images or the network.

    Args:
        prepared: The network.
        config: The options.
        sizes: What it can be shown.
        known_ends: Ranges of inputs that a plan has decided, by name.

    Raises:
        ConfigError: The options do not fit the inputs, or the images cannot be read.
    """
    images = _images(prepared, config, sizes)
    told = [str(v.name) for v in prepared.model.graph.inputs if config.values_of(str(v.name)).given]
    shown_range = images.own_range() if images is not None else {}
    own = {name: known for name, known in shown_range.items() if name not in told}
    open_ones = any(str(v.name) not in told for v in prepared.model.graph.inputs)
    found = judge(prepared) if open_ones else {}
    judged = {n: v for n, v in found.items() if n not in own and n not in told}
    verdicts = tried(prepared, judged, sizes.quick)
    pictured, notes = input_stats(prepared, config, known_ends, verdicts, own)
    if images is not None:
        images = images.scaled(pictured)
        pictured, doubts = images.sharpened_input(pictured)
        notes += [images.images.said(), *(WARNING + doubt for doubt in doubts)]
    wide = widened(pictured, verdicts, known_ends)
    ends = shown_ends(prepared, pictured, verdicts)
    rivals = beyond(ends, wide, verdicts)
    ends |= integer_ends(prepared.model.graph) | single_ends(prepared.model.graph, config)
    images = None if images is None else replace(images, others=ends)
    return Inputs(wide, ends, notes, images, rivals)


def _widened(network: ir.Model) -> list[str]:
    """Say that a network is not of the precision that its file has."""
    kind = widened_from(network)
    said = f"the network computes in {kind}: it was read as one of float32, inputs and outputs too"
    return [said] if kind else []


def _observed(prepared: Prepared, missing: int, *, yours: bool) -> str:
    """Say what was observed, and on what."""
    stated, shown = len(prepared.stated), "synthetic images" + " and yours" * yours
    if stated:
        return (
            f"{missing} tensors of which no BatchNorm tells ({stated} are told) were observed on "
            f"{shown}"
        )
    advice = "; export with BatchNorm kept for better ranges"
    return (
        "the file holds no BatchNorm statistics to speak of: moments were observed on "
        f"{shown} instead{advice * may_have_had_batchnorm(prepared.model.graph)}"
    )


def _doubts(
    prepared: Prepared,
    measured: Measured,
    inputs: Mapping[str, ChannelStats],
    config: Config,
    *,
    stated: bool,
) -> list[str]:
    """Return what casts doubt on what the file states, and on what the user says of inputs."""
    doubts = said(measured.contradicted)
    doubts += statistics_doubts(prepared, measured) if stated else []
    if told := {n: known for n, known in inputs.items() if config.values_of(n).given}:
        doubts += range_doubts(prepared, told)
    return [WARNING + doubt for doubt in doubts]


def _gaps(graph: ir.Graph, measured: Measured) -> list[str]:
    """Say behind which operators nothing is known, or no more than what was observed."""
    unknown = measured.unknown
    if not unknown:
        return []
    more = " and others" if len(unknown) > _LISTED else ""
    ended = any(node.inputs[0] not in measured.stats for node in weight_nodes(graph))
    result = (
        "layers behind it stay in float until the next BatchNorm"
        if ended
        else "what layers behind it read was observed"
    )
    return [f"no statistics rule for {', '.join(unknown[:_LISTED])}{more}: {result}"]
