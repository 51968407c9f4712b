"""The card of a quantized network in a repository: README.md with a head for the Hub.

https://huggingface.co/docs/hub/model-cards
"""

import json
from collections.abc import Iterator

from spiq import __version__
from spiq.quantized import QuantizeResult


def model_card(report: QuantizeResult, *, file: str, base: str | None) -> str:
    """Return the card of ``file``.

    Args:
        report: What was done.
        file: The name of the network's file.
        base: The repository that the float network is from, if it is from one.
    """
    return "\n".join([*_head(base), *_body(report, file, base)]) + "\n"


def _head(base: str | None) -> Iterator[str]:
    yield "---"
    yield "library_name: onnx"
    yield "tags: [onnx, int8, quantized, spiq]"
    if base is not None:
        yield f"base_model: {json.dumps(base)}"
        yield "base_model_relation: quantized"
    yield "---"


def _body(report: QuantizeResult, file: str, base: str | None) -> Iterator[str]:
    bits = f"W{report.weight_bits}A{report.activation_bits}"
    of = f" of [{base}](https://huggingface.co/{base})" if base is not None else ""
    yield f"\n# {file}\n"
    yield f"A quantized form{of}, made without data by spiq {__version__}.\n"
    yield "| | |"
    yield "|---|---|"
    yield f"| method | {report.method}, {bits}, for {report.target} |"
    yield f"| layers on integers | {report.quantized_layers} of {len(report.layers)} |"
    yield f"| size | {report.bytes_before} bytes before, {report.bytes_after} now |"
    for name, snr in report.snr_db.items():
        low, high = report.snr_interval_db.get(name, (snr, snr))
        yield f"| expected SNR of {_cell(name)} | {snr:.1f} dB ({low:.0f} to {high:.0f}) |"
    yield "\nThe SNR is an estimate from synthetic images; the accuracy was not measured here."
    if report.float_layers:
        yield "\nLayers in float:\n"
        yield from (f"- {_cell(one.name)}: {_cell(one.reason)}" for one in report.float_layers)
    if report.notes:
        yield "\nNotes:\n"
        yield from (f"- {_cell(note)}" for note in report.notes)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
