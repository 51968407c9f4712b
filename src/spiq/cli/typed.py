"""The command that a report tells its reader to type, from the one that was typed."""

import typer

from spiq.cli.groups import QUANTIZATION


def command(context: typer.Context) -> tuple[str, ...]:
    """Return the command that quantizes as a command line says, word by word, without an output."""
    names = {*QUANTIZATION, "plan"}
    words = ["spiq", "quantize", str(context.params["model"])]
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        source = getattr(context.get_parameter_source(str(parameter.name)), "name", "")
        if parameter.name in names and source == "COMMANDLINE":
            option = max(parameter.opts, key=len)
            if isinstance(value, bool):
                words.append(option if value else parameter.secondary_opts[0])
                continue
            given = value if isinstance(value, list) else [value]
            words += [word for one in given for word in _words(option, str(one))]
    return tuple(words)


def _words(option: str, value: str) -> list[str]:
    """Return an option and its value; as one word where the value would be taken for an option."""
    return [f"{option}={value}"] if value.startswith("-") else [option, value]
