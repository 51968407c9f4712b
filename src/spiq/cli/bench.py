"""``spiq bench``."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import files, options, output, plots, texts
from spiq.errors import ConfigError

if TYPE_CHECKING:
    from spiq.evaluation.latency import LatencyResult

_NAMED = 10
"""Operators that a profile names."""


def bench(
    models: options.Models,
    threads: Annotated[
        str, typer.Option(metavar="N[,N]", help="0: as many as there are. Several: one by one.")
    ] = "1",
    batch: Annotated[
        str, typer.Option(metavar="N[,N]", help="Size of a dynamic batch. Several: one by one.")
    ] = "1",
    seconds: Annotated[float, typer.Option(metavar="S", help="At most so long, about.")] = 20.0,
    runtime: options.Runtimes = "onnxruntime",
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Name the ten operators of each that take longest."),
    ] = False,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Time what other tools make of the first, too: ONNX Runtime's, NNCF.",
        ),
    ] = False,
    peak: Annotated[
        bool,
        typer.Option("--peak", help="Say what share of the int8 kernel's best each reaches."),
    ] = False,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N,C,H,W", help="Shape of a dynamic input; repeatable."),
    ] = None,
    plot: plots.Plot = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Measure latency; several networks or runtimes take turns and are compared with the first."""
    from spiq.cli.render.plots import chart
    from spiq.cli.render.tables.evaluation import render_latencies, render_latency
    from spiq.evaluation.latency import LatencyRuns

    if plot is not None:
        chart.check(plot)
        files.checked(plot, source=None, force=force)
    with ExitStack() as beside:
        given, called = files.all_given(models), dict[str, str]()
        if peers:
            tools = _made_by_peers(given[0], beside)
            given += tools.values()
            called = {str(path): name for name, path in tools.items()}
        timed = _timed(given, threads, batch, seconds, runtime, profile, peak, shape)
        results = tuple(_named(result, called) for result in timed)
    if plot is not None:
        from spiq.cli.render.plots.bench import plot_latency

        files.put(chart.drawn(plot_latency(results), plot), plot, source=None, force=force)
    if len(results) == 1:
        output.result(results[0], render_latency, json=json)
    else:
        output.result(LatencyRuns(runs=results), render_latencies, json=json)


def _timed(
    given: list[Path | bytes],
    threads: str,
    batch: str,
    seconds: float,
    runtime: str,
    profile: bool,
    peak: bool,
    shape: list[str] | None,
) -> "tuple[LatencyResult, ...]":
    """Time networks with each number of threads and each batch."""
    from spiq.evaluation.latency import compare

    settings = list(product(_counts("--threads", threads, 0), _counts("--batch", batch, 1)))
    with output.counting("rounds") as tell:
        return tuple(
            compare(
                given,
                threads=its_threads,
                batch=its_batch,
                seconds=seconds / len(settings),
                runtimes=runtime.split(","),
                operators=_NAMED if profile else 0,
                peak=peak,
                shapes=texts.shapes("--shape", shape),
                progress=tell,
            )
            for its_threads, its_batch in settings
        )


def _named(result: "LatencyResult", called: dict[str, str]) -> "LatencyResult":
    """Call what other tools made by their names, and not by those of temporary files."""

    def name(model: str) -> str:
        path = next((path for path in called if model.startswith(path)), None)
        return model if path is None else called[path] + model.removeprefix(path)

    models = tuple(replace(score, model=name(score.model)) for score in result.models)
    return replace(result, models=models)


def _made_by_peers(model: Path | bytes, beside: ExitStack) -> dict[str, Path]:
    """Return the networks that other tools make of the first; say which make none."""
    from spiq.evaluation.peers import made_by_peers

    folder = beside.enter_context(TemporaryDirectory(prefix="spiq-"))
    found = made_by_peers(model, Path(folder))
    for name, why in found.missing.items():
        output.note(f"{name}: {why}")
    return found.paths


def _counts(option: str, text: str, least: int) -> list[int]:
    """Return whole numbers from a text like ``1,8``.

    Raises:
        ConfigError: It has another form, or a number is below ``least``.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < least:
        raise ConfigError(f"{option} {text}: write it like 1,8, each number at least {least}")
    return found
