"""``spiq demo``."""

from spiq.cli import options, output


def demo(json: options.Json = False) -> None:
    """Quantize and measure the small network that comes with spiq."""
    from spiq.cli.render.tables.evaluation import render_demo
    from spiq.demo import run

    with output.steps(run.STEPS) as tell:
        result = run.run(progress=tell)
    output.result(result, render_demo, json=json)
