"""``spiq gate``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, options, output
from spiq.cli.streams import WORSE
from spiq.errors import OutputError


def gate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", show_default=False)],
    quantized: Annotated[Path, typer.Argument(metavar="QUANTIZED.onnx", show_default=False)],
    card: Annotated[
        Path,
        typer.Option(metavar="CARD.toml", help="Says which images, and how.", show_default=False),
    ],
    baseline: Annotated[
        Path, typer.Option(metavar="FILE.json", help="What it is to be no worse than.")
    ] = Path("spiq-baseline.json"),
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from this network.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="With --update: check the speed, too.")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: as many as there are.")] = 0,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="Add a summary in Markdown.", show_default=False),
    ] = None,
    outside: options.Outside = False,
    json: options.Json = False,
) -> None:
    """Fail, with exit code 3, where a quantized network is worse than a committed baseline."""
    from spiq import evaluation
    from spiq.cli.render.tables.gate import render_gate
    from spiq.gate import baseline as baselines
    from spiq.gate import judge
    from spiq.gate.summary import markdown

    if summary is not None:
        files.checked(summary, force=True)
    if update:
        files.checked(baseline, force=True)
    old = None if update and not baseline.exists() else baselines.load(baseline)
    asked = speed or (old is not None and judge.SPEED in old.checks)
    read = evaluation.read(card, outside=outside)
    with output.counting("images") as tell:
        result, values = judge.measured(
            files.located(model),
            files.located(quantized),
            read,
            limit=limit,
            threads=threads,
            speed=asked,
            progress=tell,
        )
    if update:
        old = judge.renewed(values, result, old)
        files.put(baselines.text(old).encode(), baseline, force=True)
    assert old is not None
    found = replace(judge.judged(values, old, result), reference=str(model), network=str(quantized))
    if summary is not None:
        _add(markdown(found), summary)
    output.result(found, render_gate, json=json)
    for doubt in found.warnings:
        output.warn(doubt)
    if not found.passed:
        raise typer.Exit(WORSE)


def _add(text: str, file: Path) -> None:
    """Add to a file, as the summaries of CI services are."""
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise OutputError(f"--summary {file}: cannot be written: {error.strerror}") from error
