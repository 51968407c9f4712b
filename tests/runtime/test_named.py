"""Operators without names get some, so that their kernels can be told apart."""

from pathlib import Path

import onnx

from small_networks import build
from spiq.runtime.named import named


def network() -> onnx.ModelProto:
    model = build(
        "c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) [p] y = MaxPool<kernel_shape=[2,2]>(r)",
        w=(16, 3, 3, 3),
    )
    for node in model.graph.node:
        node.name = "p" if node.op_type == "MaxPool" else ""
    return model


def test_operators_are_called_after_what_they_write(tmp_path: Path) -> None:
    plain = network().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(plain)
    for given in (plain, str(path)):
        found = named(given)
        assert isinstance(found, bytes)
        assert [node.name for node in onnx.load_from_string(found).graph.node] == ["c", "r", "p"]


def test_what_has_names_is_left_as_it_is(tmp_path: Path) -> None:
    model = network()
    for node in model.graph.node:
        node.name = node.output[0]
    plain = model.SerializeToString()
    assert named(plain) is plain


def test_what_has_weights_beside_it_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(network(), path, save_as_external_data=True, size_threshold=0)
    assert named(str(path)) == str(path)
