"""LSTM, GRU and RNN, step by step, in every direction; with their usual activations.

    LSTM  i, o, f, c = W x + R h + b;  C = s(f) C + s(i) tanh(c);  h = s(o) tanh(C)
    GRU   z, r = s(W x + R h + b);  n = tanh(W x + b + r (R h + b'));  h = (1 - z) n + z h
    RNN   h = tanh(W x + R h + b)

as ONNX orders the gates, which is another order than PyTorch's.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from spiq.emulation.step import Compute, Given, Step, optional

State = tuple[torch.Tensor, ...]
Cell = Callable[[Step, torch.Tensor, State, torch.Tensor, torch.Tensor, torch.Tensor], State]
"""What a step makes of one input, the state, W, R and the bias of one direction."""

_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _lstm_cell(
    step: Step, x: torch.Tensor, state: State, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor
) -> State:
    hidden, cell = state
    ours, theirs = b.chunk(2)
    gates = F.linear(x, w, ours) + F.linear(hidden, r, theirs)
    i, o, f, c = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru_cell(
    step: Step, x: torch.Tensor, state: State, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor
) -> State:
    hidden, (ours, theirs) = state[0], b.chunk(2)
    z, reset, new = F.linear(x, w, ours).chunk(3, dim=-1)
    rz, rr, rn = r.chunk(3)
    bz, br, bn = theirs.chunk(3)
    z = torch.sigmoid(z + F.linear(hidden, rz, bz))
    reset = torch.sigmoid(reset + F.linear(hidden, rr, br))
    if step.get("linear_before_reset", 0):
        new = torch.tanh(new + reset * F.linear(hidden, rn, bn))
    else:
        new = torch.tanh(new + F.linear(reset * hidden, rn, bn))
    return ((1 - z) * new + z * hidden,)


def _rnn_cell(
    step: Step, x: torch.Tensor, state: State, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor
) -> State:
    ours, theirs = b.chunk(2)
    return (torch.tanh(F.linear(x, w, ours) + F.linear(state[0], r, theirs)),)


def _recurrent(cell: Cell, states: int) -> Compute:
    def compute(step: Step, given: Given) -> tuple[torch.Tensor, ...]:
        _check(step, given)
        x, w, r = given[:3]
        directions, _, size = r.shape
        bias = optional(given, 3)
        bias = x.new_zeros(directions, 2 * r.shape[1]) if bias is None else bias
        starts = [optional(given, 5 + place) for place in range(states)]
        zeros = x.new_zeros(directions, x.shape[1], size)
        starts = [zeros if start is None else start for start in starts]

        rows, ends = [], []
        for at in range(directions):
            backwards = at == 1 or step.get("direction", "forward") == "reverse"
            state = tuple(start[at] for start in starts)
            row = []
            for part in x.flip(0) if backwards else x:
                state = cell(step, part, state, w[at], r[at], bias[at])
                row.append(state[0])
            rows.append(torch.stack(row[::-1] if backwards else row))
            ends.append(state)
        last = [torch.stack(each) for each in zip(*ends, strict=True)]
        return (torch.stack(rows, dim=1), *last)[: len(step.outputs)]

    return compute


def _check(step: Step, given: Given) -> None:
    """Refuse what is not computed here."""
    usual = _USUAL[step.operator]
    activations = step.get("activations", None) or usual
    known = [
        activations[at : at + len(usual)] == usual for at in range(0, len(activations), len(usual))
    ]
    if not all(known):
        raise step.refuse(f"its activations are {', '.join(activations)}")
    if optional(given, 4) is not None or optional(given, 7) is not None:
        raise step.refuse("its sequences have lengths of their own, or it has peepholes")
    if any(step.get(name, 0) for name in ("clip", "layout", "input_forget")):
        raise step.refuse("it clips, couples its gates or has the batch first")


RECURRENT: dict[str, Compute] = {
    "GRU": _recurrent(_gru_cell, 1),
    "LSTM": _recurrent(_lstm_cell, 2),
    "RNN": _recurrent(_rnn_cell, 1),
}
