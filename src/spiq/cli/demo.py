"""``spiq demo``."""

from spiq.cli import options, output


def demo(json: options.Json = False) -> None:
    """Quantize and measure the small network that comes with spiq."""
    from spiq.cli.render import jsonable, text
    from spiq.demo import run

    with output.steps(run.STEPS) as tell:
        result = run.run(progress=tell)
    if json:
        print(jsonable.to_json(result))
    else:
        output.show(text.demonstrated(result))
