"""Published methods: what their papers fix, the plan shows."""

import numpy as np
import pytest

from network_kinds import KINDS
from small_networks import resolved_of
from spiq import Config, Plan, plan
from spiq.io.read import read
from spiq.passes.prepare import prepare


def highest(kind: str) -> np.ndarray:
    """Return beta + 6 gamma of the first BatchNormalization of a network."""
    prepared = prepare(read(KINDS[kind]()))
    first = next(node for node in prepared.model.graph if node.op_type == "Conv")
    moments = prepared.stated[str(first.outputs[0].name)]
    return np.asarray(moments.mean + 6 * np.sqrt(moments.var))


def made_by(method: str, kind: str = "convolutions") -> Plan:
    return plan(KINDS[kind](), Config(method=method))


def test_spiq_paper_gives_every_channel_its_own_range() -> None:
    made = made_by("spiq-paper")
    assert {tensor.alpha for tensor in made.tensors.values()} == {1.0}
    np.testing.assert_allclose(made.tensors["r1"].high, highest("convolutions"), rtol=1e-5)
    assert set(made.tensors["r1"].low) == {0.0}
    _, _, resolved = resolved_of(KINDS["convolutions"](), Config(method="spiq-paper"))
    tensor = resolved.tensors["r1"]
    ends = np.array(tensor.channel_scale) * tensor.grid.step * tensor.grid.qmax
    np.testing.assert_allclose(ends, made.tensors["r1"].high, rtol=1e-5)


@pytest.mark.parametrize("method", ["static", "squant", "dfq"])
def test_scalar_methods_have_one_scale_per_tensor(method: str) -> None:
    assert {tensor.alpha for tensor in made_by(method).tensors.values()} == {0.0}


@pytest.mark.parametrize(
    ("method", "rounding", "corrected"),
    [
        ("static", "nearest", True),
        ("dynamic", "nearest", True),
        ("spiq-paper", "nearest", False),
        ("dfq", "nearest", True),
        ("squant", "squant", False),
    ],
)
def test_roundings(method: str, rounding: str, corrected: bool) -> None:
    layers = made_by(method).layers.values()
    found = {(layer.rounding, layer.bias_correction) for layer in layers}
    assert found == {(rounding, corrected)}


def test_squant_differs_from_static_by_rounding_alone() -> None:
    assert made_by("squant").tensors == made_by("static").tensors


def test_dfq_tells_its_ranges_in_units_of_the_equalized_network() -> None:
    plain, high = highest("convolutions"), np.array(made_by("dfq").tensors["r1"].high)
    assert high.max() <= plain.max() * (1 + 1e-5)
    assert high.max() / high.min() < plain.max() / plain.min()
