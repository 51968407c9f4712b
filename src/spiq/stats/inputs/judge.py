"""The verdict on every input that takes pictures as floats: what each convention has for itself.

What the first layers state of an input, and what their biases say beside their weights
(:mod:`spiq.stats.inputs.first_layers`), makes each usual preprocessing more or less likely
(:mod:`spiq.stats.inputs.evidence`).
"""

from dataclasses import replace

import onnx_ir as ir

from spiq.graph.extents import has_space, is_one_picture
from spiq.graph.query import dims, holds_floats
from spiq.passes.prepare import Prepared
from spiq.stats.input_axis import channel_axis, channel_count
from spiq.stats.inputs.alike import together
from spiq.stats.inputs.conventions import CONVENTIONS
from spiq.stats.inputs.evidence import BARE, Verdict, weigh
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.inputs.folded import with_biases
from spiq.stats.inputs.fourth_channel import CHANNELS, stated_apart, with_fourth
from spiq.stats.lost_norms import has_norms

_COLOURS = (1, 3, 4, None)
"""Numbers of channels that pictures have; None where it is dynamic."""


def judge(prepared: Prepared) -> dict[str, Verdict]:
    """Return what the file says of each input that takes pictures as floats, by name.

    Args:
        prepared: The network.
    """
    origin, verdicts = _origin(prepared.model), dict[str, Verdict]()
    bare = 0.0 if has_norms(prepared.model.graph) else BARE
    for value in prepared.model.graph.inputs:
        if holds_floats(value) and has_colours(value):
            layers = first_layers(value, prepared, channel_axis(value), pictures=True)
            has_fourth = channel_count(value) == CHANNELS
            apart = stated_apart(layers) if has_fourth else None
            verdict = weigh(layers, origin, bare, apart and apart[0])
            if apart is not None:
                verdict = replace(verdict, fourths=(apart[1],) * len(CONVENTIONS))
            elif has_fourth:
                verdict = with_fourth(verdict, layers)
            verdicts[str(value.name)] = with_biases(verdict, layers)
    return together(prepared.model.graph, verdicts)


def _origin(model: ir.Model) -> str:
    """Return what the file says of where it comes from."""
    said = (model.producer_name, model.doc_string, model.graph.name, model.graph.doc_string)
    return " ".join([*map(str, said), *map(str, model.metadata_props.values())]).lower()


def has_colours(value: ir.Value) -> bool:
    """Return whether an input may hold pixels: bands and spectrograms have space, no colours."""
    shape = dims(value) or []
    if not has_space(shape):
        return False
    return is_one_picture(shape) or shape[channel_axis(value)] in _COLOURS
