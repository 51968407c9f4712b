"""Where channels lie, operator by operator."""

import numpy as np
import pytest

from small_networks import build, floats, whole
from spiq.io.read import read
from spiq.stats.axes import channel_axes

IMAGE = "float[1,6,4,4] x"


@pytest.mark.parametrize(
    ("body", "axes"),
    [
        ("y = Relu(x)", (1,)),
        ("y = Transpose<perm=[0,2,3,1]>(x)", (3,)),
        ("y = Reshape(x, flat)", (1,)),
        ("f = Reshape(x, flat) y = Transpose<perm=[0,2,1]>(f)", (2,)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) y = Reshape(t, heads)", (2, 3)),
        ("y = Reshape(x, groups)", (1,)),
        ("g = Reshape(x, groups) n = Relu(g) y = Reshape(n, back)", (1,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = MatMul(t, w)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = LayerNormalization(t, six)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = Add(t, six)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = ReduceMean<keepdims=0>(t, space)", (1,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = Gather<axis=1>(t, first)", (2,)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) y = MatMul(f, t)", (1, 2)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) s = MatMul(t, f) y = MatMul(s, t)",
         (2,)),
    ],
)  # fmt: skip
def test_axes_of_channels(body: str, axes: tuple[int, ...]) -> None:
    known = {
        "flat": whole(1, 6, 16), "heads": whole(1, 16, 2, 3), "w": (6, 5), "space": whole(1, 2),
        "groups": whole(1, 2, 48), "back": whole(1, 6, 4, 4),
        "six": floats(*range(6)), "first": np.array(0, np.int64),
    }  # fmt: skip
    used = {name: value for name, value in known.items() if f" {name})" in body}
    graph = read(build(body, inputs=IMAGE, opset=18, **used)).graph
    assert channel_axes(graph).get(graph.outputs[0]) == axes


def test_rows_of_an_embedding_are_tokens() -> None:
    table = np.zeros((9, 5), np.float32)
    graph = read(build("y = Gather<axis=0>(t, x)", inputs="int64[1,7] x", t=table)).graph
    assert channel_axes(graph)[graph.outputs[0]] == (2,)
