"""The way through the house: from a model without data to a quantized model.

    read -> prepare -> measure -> place and plan -> rewrite -> emit -> verify -> time

:func:`plan` is the first half, :func:`apply` the second, :func:`quantize` both.

run         what a call knows for as long as it takes, so that nothing is done twice
analysis    read, prepare and measure
decision    place and plan, once
lower       rewrite and emit
realize     lower what was decided, once, and verify it
speed       time, and which layers are quantized again in float
effort      learn from what was decided, where minutes may be taken
follow      what a plan that is followed takes the place of
"""

import os
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spiq.analysis import Analysis, Progress, silent
from spiq.config import SECONDS, Config
from spiq.decision import Decided, decide, placed_by
from spiq.effort import check_effort, with_effort
from spiq.errors import ConfigError, VerificationError
from spiq.follow import following, known_for
from spiq.planning.plan.validate import check_fits, check_settings
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized
from spiq.realize import realize
from spiq.rewriting.rounding import ROUNDINGS
from spiq.run import Run, begun
from spiq.speed import SLACK, Attempt, ParetoResult, no_slower
from spiq.speed import pareto as costs_of_accuracy
from spiq.stats.sidecar import Statistics
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx
    import onnx_ir as ir

    Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

STEPS = ("read", "prepare", "measure", "plan", "rewrite", "emit", "verify", "time")


def quantize(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a network without data.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> result = spiq.quantize(model_path())
    >>> result.report.snr_db["logits"] > 20
    True

    ``result.save("model.int8.onnx")`` writes it.

    Args:
        model: Path of an ONNX file, its bytes, an ``onnx.ModelProto`` or an ``onnx_ir.Model``
            (which is not changed).
        config: The options; the defaults are W8A8, method ``spiq``, target ``onnxruntime``.
        statistics: What BatchNorm said before it was folded away: :func:`spiq.torch.statistics`,
            or ``Statistics.load`` of :mod:`spiq.stats.sidecar`.
        progress: Told the name of each step of ``STEPS`` as it begins.

    Raises:
        ModelError: The model cannot be used; the message says why and what to do.
        ConfigError: The options or the statistics do not fit the model.
        VerificationError: The result fails its check in the runtime.
    """
    with begun(model, progress or silent, statistics) as run:
        return _made(run, config or Config())


def explained(
    model: "Source",
    config: Config,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> tuple[Quantized, Analysis | None]:
    """Quantize a network, and return what is known of it, too: arguments as for :func:`quantize`.

    >>> from spiq.demo import model_path
    >>> made, known = explained(model_path(), Config())
    >>> [value.name for value in known.graph.inputs] == list(made.plan.inputs)
    True

    Returns:
        The quantized network, and what is known of the float one; None of a network so large that
        it is worked on piece by piece.
    """
    with begun(model, progress or silent, statistics) as run:
        run.again = not run.is_large
        made = _made(run, config)
        return made, run.learn(config)[1] if run.again else None


def _made(run: Run, config: Config) -> Quantized:
    if config.strong:
        check_effort(run, config)
    run.again = run.again or config.strong
    timed = config.timing and TARGETS[config.target].is_here and not run.is_large
    made = (_timed(run, config) if timed else None) or _quantized(run, config, {}).quantized
    return _with_effort(run, config, made) if config.strong else made


def _timed(run: Run, config: Config) -> Quantized | None:
    """Quantize what is faster, or little slower and more exact; None where that cannot be told."""
    gives_back = config.gives_back
    run.again = run.again or gives_back
    made = _quantized(run, config, {}, relieve=not gives_back)
    run.tell("time")
    again = partial(_quantized, run, config, relieve=False) if gives_back else None
    return no_slower(run.quickest, made, again, SLACK[config.prefer])


def _with_effort(run: Run, config: Config, made: Quantized) -> Quantized:
    """Learn from what was decided in seconds."""
    _, analysis = run.learn(config)
    decided = Decided(made.plan, placed_by(made.plan, analysis), analysis)
    return with_effort(decided, made, run, config)


def _quantized(
    run: Run, config: Config, in_float: Mapping[str, str], *, relieve: bool = True
) -> Attempt:
    """Quantize, with some nodes left in float and, besides, those that the runtime refuses."""
    for _ in range(_TRIES - 1):
        try:
            return _tried(run, config, in_float, relieve)
        except VerificationError as error:
            more = {name: why for name, why in error.nodes.items() if name not in in_float}
            if not more:
                raise
            in_float = {**in_float, **more}
    return _tried(run, config, in_float, relieve)


def _tried(run: Run, config: Config, in_float: Mapping[str, str], relieve: bool) -> Attempt:
    model_hash, analysis = run.learn(config)
    run.compare(analysis)
    decided = decide(run, config, model_hash, analysis, in_float, relieve=relieve)
    return realize(decided, run, config)


_TRIES = 4
"""How often a network is quantized at most: each time with what the runtime cannot compute on
integers, as verification found, left in float."""


def plan(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Decide how to quantize a network, and change nothing: arguments as for :func:`quantize`.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> made = spiq.plan(model_path(), spiq.Config(weight_bits=6))
    >>> made.layers["/layers/layers.0/conv/Conv"].bits
    6
    """
    with planning(model, statistics=statistics, progress=progress) as planned:
        return planned(config or Config())[0]


@contextmanager
def planning(
    model: "Source",
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> "Iterator[Callable[[Config], tuple[Plan, Analysis]]]":
    """Plan a network more than once, by options that differ in what is to stay in float.

    What is known of the network, by the first options, holds for all of them, and comes with each
    plan. Arguments are as for :func:`quantize`.
    """
    with begun(model, progress or silent, statistics) as run:

        def planned(config: Config) -> tuple[Plan, Analysis]:
            model_hash, known = run.learn(config)
            made = decide(run, config, model_hash, known).plan
            return replace(made, effort=config.effort), known

        yield planned


def apply(
    model: "Source",
    plan: Plan,
    *,
    statistics: Statistics | None = None,
    device: str = "auto",
    seed: int = 0,
    keep_pictures: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    input_order: str = Config.input_order,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a network by a plan.

    >>> import spiq
    >>> from dataclasses import replace
    >>> from spiq.demo import model_path
    >>> made = spiq.plan(model_path())
    >>> edited = replace(made, left_in_float={"/classifier/Gemm": "I want it exact"})
    >>> spiq.apply(model_path(), edited).report.float_layers[0].reason
    'I want it exact'

    Args:
        model: The model that the plan was made for.
        plan: From :func:`plan`, or :meth:`Plan.load`.
        statistics: Those that the plan was made with, if any.
        device: As in :class:`Config`; for plans with an effort of minutes or hours.
        seed: The same.
        keep_pictures: The same.
        images: Those that the plan was made with, if any: what they say of tensors decides how
            weights are rounded, too, and learning goes by them.
        input_order: Order of colours, for them.
        progress: Told the name of each step as it begins.

    Raises:
        ConfigError: What learning needs is not there, or the plan's target does not take it.
        PlanError: The plan was made for another model, or was edited beyond sense.
        ModelError: The model cannot be used.
        VerificationError: The result fails its check in the runtime.
    """
    check_settings(plan, ROUNDINGS)
    config = following(
        plan,
        device=device,
        seed=seed,
        keep_pictures=keep_pictures,
        images=images,
        input_order=input_order,
    )
    with begun(model, progress or silent, statistics) as run:
        analysis = known_for(plan, run, config)
        placement = placed_by(plan, analysis)
        followed = check_fits(analysis.graph, plan, placement)
        decided = Decided(replace(followed, effort=SECONDS), placement, analysis)
        made = realize(decided, run, config).quantized
        return with_effort(decided, made, run, config) if config.strong else made


def pareto(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> ParetoResult:
    """Work out what accuracy costs in time on this machine: arguments as for :func:`quantize`.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> spiq.pareto(model_path()).points[0].slack
    0.0

    Raises:
        ConfigError: Nothing would go back to float by these options.
    """
    config = config or Config()
    if config.strong:
        raise ConfigError(
            f"pareto weighs what effort seconds gives, not {config.effort}: leave it out"
        )
    if not config.gives_back:
        raise ConfigError("pareto needs method spiq, 8 bits and a target that runs on this machine")
    with begun(model, progress or silent, statistics) as run:
        made = _quantized(run, config, {}, relieve=False)
        run.tell("time")
        return costs_of_accuracy(run.quickest, made)
