"""``spiq torch``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, options, sources, texts
from spiq.cli.common import common, group
from spiq.errors import ConfigError

app = group("Keep what BatchNorm says of a PyTorch network before it is folded away.")


@app.command("stats")
@common
def stats(
    model: Annotated[Path, typer.Argument(metavar="MODEL.pt2", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="STATS.json", help="Default: print it."),
    ] = None,
    input_size: options.InputSize = None,
    allow_import: options.AllowImport = False,
    force: options.Force = False,
) -> None:
    """Write the statistics of each layer, for `spiq quantize MODEL.onnx --stats STATS.json`."""
    if not sources.is_program(model) and not sources.is_function(model):
        raise ConfigError(
            f"{str(model)!r} is no .pt2 file: save the module with torch.export.save, before it is "
            "fused"
        )
    if out is not None:
        files.checked(out, source=model, force=force)
    found = sources.statistics(
        model, allow_import=allow_import, size=texts.extent(input_size)
    ).to_json()
    files.put(found.encode(), out or files.STREAM, source=model, force=force)
