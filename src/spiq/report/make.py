"""Make a report: of a quantization that was just made, or of a file that lies there."""

import glob
import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq import pipeline
from spiq.analysis import Analysis
from spiq.config import Config
from spiq.errors import ConfigError, ModelError, PlanError
from spiq.io.checks import is_integer
from spiq.io.metadata import metadata
from spiq.planning.choose.convert import converted_options
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized
from spiq.report.diagnosis import diagnose
from spiq.report.drawn import Drawn, check_installed, drawn
from spiq.report.facts import OutputFacts
from spiq.report.gather import Subject, gather
from spiq.report.page import page
from spiq.signature import is_of, plan_of
from spiq.speed import REASON
from spiq.stats.sidecar import Statistics


def render(subject: Subject, kit: Future[Drawn] | None = None) -> str:
    """Return the page about a network.

    Args:
        subject: What it is about.
        kit: Of :func:`spiq.report.drawn.drawing`, where that was begun.

    Raises:
        ModelError: A network cannot be loaded or run.
        ConfigError: The networks are no two forms of the same one; or what draws charts is not
            installed.
        PlanError: The plan is for another network.
    """
    check_installed()
    facts = gather(subject)
    return page(facts, diagnose(facts), drawn() if kit is None else kit.result())


def of_result(
    made: Quantized,
    model: str | bytes,
    *,
    name: str,
    command: Sequence[str],
    config: Config | None = None,
    statistics: Statistics | None = None,
    known: Analysis | None = None,
) -> Subject:
    """Return what a report of a quantization is about.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> made = spiq.quantize(model_path())
    >>> subject = of_result(made, str(model_path()), name="demo", command=["spiq", "quantize", "m"])
    >>> [output.name for output in subject.outputs]
    ['logits']

    Args:
        made: What :func:`spiq.quantize` or :func:`spiq.apply` returned.
        model: Path or bytes of the float network.
        name: What it is called.
        command: The command that quantizes like this, word by word, without an output.
        config: The options, if it was made by options.
        statistics: Kept statistics that it was made with.
        known: What is known of the float network, of :func:`spiq.pipeline.explained`.
    """
    report = made.report
    compared = (
        OutputFacts(name=output, snr_db=ratio, low=ends[0], high=ends[1])
        for output, ratio in report.snr_db.items()
        if (ends := report.snr_interval_db.get(output, (ratio, ratio)))
    )
    unknown = (OutputFacts(name=output, why_not=why) for output, why in report.no_snr.items())
    return Subject(
        model=model,
        name=name,
        quantized=made.model,
        called="the quantized network",
        plan=made.plan,
        command=tuple(command),
        config=config or Config(),
        statistics=statistics,
        outputs=(*compared, *unknown),
        latency=report.latency,
        notes=report.notes,
        known=known,
    )


def of_file(
    quantized: str | os.PathLike[str],
    model: str | bytes,
    *,
    name: str,
    command: Sequence[str],
    how: Config | Plan | None = None,
    statistics: Statistics | None = None,
) -> Subject:
    """Return what a report of a quantized file is about.

    Args:
        quantized: Path of the file; of spiq, or of another tool that keeps names.
        model: Path or bytes of the float network.
        name: What it is called.
        command: The command that quantizes like this, word by word, without an output.
        how: The options or the plan that the file was made by; by default those that it states.
        statistics: Kept statistics that it was made with.

    Raises:
        ModelError: A file cannot be read.
    """
    path = Path(quantized)
    try:
        content = path.read_bytes()
        proto = onnx.load_from_string(content)
    except (OSError, DecodeError) as error:
        raise ModelError(f"{str(path)!r}: it cannot be read as ONNX: {error}") from error
    if not any(map(is_integer, proto.graph.node)):
        raise ModelError(
            f"{str(path)!r} is not quantized: give the quantized form of the network, or leave it "
            "out"
        )
    config = how if isinstance(how, Config) else None
    plan, known = how if isinstance(how, Plan) else None, None
    if plan is None:
        config = config or stated(content)
        plan, known = _planned(model, config, statistics, proto.graph)
    return Subject(
        model=model,
        name=name,
        quantized=content,
        called=path.name,
        plan=plan,
        command=tuple(command),
        config=config or Config(),
        statistics=statistics,
        notes=plan.notes,
        own_plan=is_of(metadata(content), plan),
        known=known,
    )


def _planned(
    model: str | bytes, config: Config, statistics: Statistics | None, graph: onnx.GraphProto
) -> tuple[Plan, Analysis]:
    """Plan a network by options, with those layers in float that are in a quantized file.

    A file may have layers in float that were faster there on the machine that made it.
    """
    with pipeline.planning(model, statistics=statistics) as planned:
        plan, known = planned(config)
        given_back = in_float(graph).intersection(plan.layers)
        if given_back:
            exclude = (*config.exclude, *map(glob.escape, sorted(given_back)))
            plan, known = planned(replace(config, exclude=exclude))
    reasons = {
        name: REASON if name in given_back else reason
        for name, reason in plan.left_in_float.items()
    }
    return replace(plan, left_in_float=reasons), known


def in_float(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the layers of a quantized graph whose weights are not integers."""
    integers = {
        name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output
    }
    return {
        node.name
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul") and integers.isdisjoint(node.input[1:2])
    }


def stated(content: bytes) -> Config:
    """Return the options that a quantized file states, as far as it does."""
    try:
        made = plan_of(content)
        return Config() if made is None else converted_options(made, made.target)
    except (ConfigError, PlanError):
        return Config()
