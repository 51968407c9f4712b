"""``spiq pareto``."""

import typer

from spiq.cli import files, options, output, plots, sources, texts


def pareto(
    context: typer.Context,
    model: options.Model,
    target: options.Target = "onnxruntime",
    exclude: options.Exclude = None,
    exclude_type: options.ExcludeType = None,
    exclude_between: options.ExcludeBetween = None,
    input_range: options.InputRange = None,
    input_mean: options.InputMean = None,
    input_std: options.InputStd = None,
    input_size: options.InputSize = None,
    input_order: options.InputOrder = "RGB",
    images: options.Images = None,
    card: options.Card = None,
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
    network = sources.network(model, allow_import=allow_import, size=texts.extent(input_size))
    with output.steps(pipeline.STEPS) as tell:
        found = pipeline.pareto(network, config, progress=tell)
    if plot is not None:
        from spiq.cli.render.plots.pareto import plot_pareto

        picture = chart.drawn(plot_pareto(found, name=model.name), plot)
        files.put(picture, plot, source=model, force=force)
    output.result(found, tables.render_pareto, json=json)
