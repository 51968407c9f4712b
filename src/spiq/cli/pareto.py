"""``spiq pareto``."""

import typer

from spiq.cli import options, output, sources, texts


def pareto(
    context: typer.Context,
    model: options.Model,
    target: options.Target = "onnxruntime",
    exclude: options.Exclude = None,
    input_range: options.InputRange = None,
    input_mean: options.InputMean = None,
    input_std: options.InputStd = None,
    input_size: options.InputSize = None,
    input_order: options.InputOrder = "RGB",
    images: options.Images = None,
    card: options.Card = None,
    allow_import: options.AllowImport = False,
    json: options.Json = False,
) -> None:
    """Show what accuracy costs in time, on this machine: which layers to leave in float."""
    from spiq import pipeline
    from spiq.cli.render.tables import quantization as tables
    from spiq.config import Config

    seen_as = options.preprocessing(context)
    config = Config(
        target=target,
        exclude=tuple(exclude or ()),
        input_range=seen_as.input_range,
        input_mean=seen_as.input_mean,
        input_std=seen_as.input_std,
        input_size=texts.extent(input_size),
        input_order=seen_as.input_order,
        images=images,
    )
    network = sources.network(model, allow_import=allow_import, size=texts.extent(input_size))
    with output.steps(pipeline.STEPS) as tell:
        found = pipeline.pareto(network, config, progress=tell)
    output.result(found, tables.render_pareto, json=json)
