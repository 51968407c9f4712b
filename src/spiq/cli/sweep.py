"""``spiq sweep``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import engines, options, output, plots, texts
from spiq.errors import ConfigError

if TYPE_CHECKING:
    from spiq.sweep.summary import SweepResult


def sweep(
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CARD.toml[=MODEL.onnx]...",
            help="Task cards; the network is model.onnx beside the card, or the one given.",
            show_default=False,
        ),
    ] = None,
    card: Annotated[
        list[str] | None,
        typer.Option(metavar="CARD.toml[=MODEL.onnx]", help="The same; repeatable."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Default: all methods.", show_default=False),
    ] = None,
    bits: Annotated[
        str, typer.Option(metavar="W8A8,...", help="Bits of weights and activations.")
    ] = "W8A8",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Keeps results; what is there is not measured again. Or s3://... and the like.",
        ),
    ] = "spiq-sweep",
    force: Annotated[bool, typer.Option("--force", help="Measure all cells again.")] = False,
    on: engines.On = "local",
    jobs: engines.Jobs = None,
    threads: engines.Threads = None,
    memory: engines.Memory = None,
    latency: Annotated[bool, typer.Option(help="Measure latency, too.")] = True,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the cells as CSV.", show_default=False),
    ] = None,
    plot: plots.Plot = None,
    json: options.Json = False,
) -> None:
    """Quantize and measure networks by every method at every bit width."""
    from spiq.cli.render.tables.sweep import render_sweep
    from spiq.sweep import cells
    from spiq.sweep.run import run

    names = cells.methods(methods)
    widths = cells.bits(bits, names)
    networks = cells.subjects([*(card or ()), *(more or ())], limit=limit)
    _check_files(csv, plot, latency=latency)
    with _saying_where(out), output.processes() as tell:
        result = run(
            networks,
            names,
            widths,
            folder=out,
            on=on,
            jobs=jobs,
            threads=threads,
            memory=texts.size("--memory", memory),
            latency=latency,
            force=force,
            progress=tell,
        )
    _write_files(result, csv, plot)
    output.result(result, render_sweep, json=json)
    _warn_of_failures(result)


def _check_files(csv: Path | None, plot: Path | None, *, latency: bool) -> None:
    """Check where to write, before the work that takes time."""
    from spiq.cli.render.plots import chart
    from spiq.io.write import check_output

    if csv is not None:
        check_output(csv)
    if plot is not None:
        chart.check(plot)
        check_output(plot)
        if not latency:
            raise ConfigError("--plot is of accuracy against latency: leave --no-latency out")


@contextmanager
def _saying_where(out: str) -> Iterator[None]:
    """Say where the results are of a sweep that is stopped."""
    try:
        yield
    except KeyboardInterrupt:
        output.warn(f"interrupted; what is done is in {out}: the same command goes on from there")
        raise


def _write_files(result: "SweepResult", csv: Path | None, plot: Path | None) -> None:
    from spiq.io.write import write

    if csv is not None:
        from spiq.cli.render.csv import render_csv

        write(render_csv(result).encode(), csv)
    if plot is not None:
        from spiq.cli.render.plots import chart
        from spiq.cli.render.plots.sweep import plot_sweep

        write(chart.drawn(plot_sweep(result), plot), plot)


def _warn_of_failures(result: "SweepResult") -> None:
    if failed := [cell for cell in result.cells if cell.state == "failed"]:
        first = f"{failed[0].network} {failed[0].method} {failed[0].bits}: {failed[0].reason}"
        output.warn(f"{len(failed)} of {len(result.cells)} cells failed, such as {first}")
