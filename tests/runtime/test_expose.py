"""Tensors inside a network can be read, and the network stays as it is."""

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.errors import ModelError
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.runtime.expose import expose

BODY = "[c] c = Conv(x, w) [r] r = Relu(c) [y] y = Neg(r)"


def test_tensors_inputs_and_outputs_are_read() -> None:
    model = read(build(BODY, inputs="float[1,3,4,4] x", w=(4, 3, 1, 1)))
    before = serialize(model)
    values = [model.graph.inputs[0], *(node.outputs[0] for node in model.graph)]
    given = {"x": np.ones((1, 3, 4, 4), np.float32)}
    found = expose(model, values).run(given)
    assert list(found) == ["x", "c", "r", "y"] and found["x"] is given["x"]
    assert np.array_equal(found["r"], np.maximum(found["c"], 0))
    assert np.array_equal(found["y"], -found["r"])
    assert serialize(model) == before


def test_outputs_are_put_back_where_the_runtime_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read(build(BODY, inputs="float[1,3,4,4] x", w=(4, 3, 1, 1)))
    before = serialize(model)
    broken = model.graph[1].outputs[0]
    monkeypatch.setattr("spiq.runtime.expose.apart", lambda _: (onnx.ModelProto(), {}))
    with pytest.raises(ModelError, match="cannot load"):
        expose(model, [broken])
    assert serialize(model) == before
