"""``spiq bench``."""

from itertools import product
from typing import Annotated

import typer

from spiq.cli import files, options, output, plots, texts
from spiq.errors import ConfigError

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
    from spiq.evaluation.latency import LatencyRuns, compare

    if plot is not None:
        chart.check(plot)
        files.checked(plot, source=None, force=force)
    given = files.all_given(models)
    settings = list(product(_counts("--threads", threads, 0), _counts("--batch", batch, 1)))
    with output.counting("rounds") as tell:
        results = tuple(
            compare(
                given,
                threads=its_threads,
                batch=its_batch,
                seconds=seconds / len(settings),
                runtimes=runtime.split(","),
                operators=_NAMED if profile else 0,
                shapes=texts.shapes("--shape", shape),
                progress=tell,
            )
            for its_threads, its_batch in settings
        )
    if plot is not None:
        from spiq.cli.render.plots.bench import plot_latency

        files.put(chart.drawn(plot_latency(results), plot), plot, source=None, force=force)
    if len(results) == 1:
        output.result(results[0], render_latency, json=json)
    else:
        output.result(LatencyRuns(runs=results), render_latencies, json=json)


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
