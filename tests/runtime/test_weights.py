"""Weights are handed to the runtime beside the message, which has their names alone."""

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.errors import ModelError
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.runtime.session import session, spare_threads, threads_of_all
from spiq.runtime.weights import apart, opened_with, taken

BODY = "[c] c = Conv(x, w) [y] y = Add(c, b)"
GIVEN = {"x": np.random.default_rng(0).normal(size=(1, 32, 4, 4)).astype(np.float32)}


@pytest.fixture
def whole() -> bytes:
    network = build(BODY, inputs="float[1,32,4,4] x", w=(16, 32, 1, 1), b=(16, 1, 1))
    return serialize(read(network))


def outputs(opened: object) -> np.ndarray:
    return opened.run(None, GIVEN)[0]  # type: ignore[attr-defined, no-any-return]


def test_the_network_is_the_same_without_weights_in_its_message(whole: bytes) -> None:
    model = read(whole)
    proto, weights = apart(model)
    assert list(weights) == ["w"]  # the bias is short, and may be a shape for all that is known
    assert len(proto.SerializeToString()) < len(whole) // 2
    assert np.array_equal(outputs(opened_with(proto, weights)), outputs(session(whole)))
    assert serialize(model) == whole


def test_weights_are_taken_out_of_a_message(whole: bytes) -> None:
    proto = onnx.load_from_string(whole)
    weights = taken(proto)
    content = proto.SerializeToString()
    assert list(weights) == ["w"] and len(content) < len(whole) // 2
    assert np.array_equal(outputs(session(content, weights=weights)), outputs(session(whole)))


def test_a_weight_that_is_not_handed_over_is_not_looked_for_in_files(whole: bytes) -> None:
    proto, _ = apart(read(whole))
    with pytest.raises(ModelError, match="cannot load"):
        session(proto.SerializeToString())


def test_a_network_that_runs_beside_leaves_a_core() -> None:
    with threads_of_all(4):
        assert spare_threads() == 3
    with threads_of_all(1):
        assert spare_threads() == 1
    assert spare_threads() >= 1
