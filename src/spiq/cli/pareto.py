"""``spiq pareto``."""

import typer

from spiq.cli import files, groups, options, output, plots, sources, texts


@groups.taking(groups.LOOKED_AT, before="allow_import")
def pareto(
    context: typer.Context,
    model: options.Model,
    allow_import: options.AllowImport = False,
    plot: plots.Plot = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Show what accuracy costs in time, on this machine: which layers to leave in float."""
    from spiq import pipeline
    from spiq.cli.render.plots import chart
    from spiq.cli.render.tables import quantization as tables

    if plot is not None:
        chart.check(plot)
        files.checked(plot, source=model, force=force)
    config = options.looked_at(context)
    network = sources.network(
        model, allow_import=allow_import, size=texts.extent(context.params["input_size"])
    )
    with output.steps(pipeline.STEPS) as tell:
        found = pipeline.pareto(network, config, progress=tell)
    if plot is not None:
        from spiq.cli.render.plots.pareto import plot_pareto

        picture = chart.drawn(plot_pareto(found, name=model.name), plot)
        files.put(picture, plot, source=model, force=force)
    output.result(found, tables.render_pareto, json=json)
