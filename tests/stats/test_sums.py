"""The spread of a sum, as far as the layer behind it contradicts independence."""

import numpy as np
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.passes.batchnorm import Moments
from spiq.stats.channel import stats
from spiq.stats.rules.linear import linear
from spiq.stats.sums import corrected

SUMMED = stats(np.zeros((1, 4, 1, 1)), np.arange(1.0, 5).reshape(1, 4, 1, 1))


@pytest.mark.parametrize("body", ["s = Add(x, z) c = Conv(s, w)", "s = Add(x, z) c = Conv(s, v)"])
@pytest.mark.parametrize(
    ("excess", "raised"), [(0.5, 1), (1.6, 1), (3.2, 2), (16, 10)], ids=lambda n: f"{n}"
)
def test_variance_is_raised_by_what_channels_do_not_explain(
    body: str, excess: float, raised: float
) -> None:
    constants = {"w": (6, 4, 1, 1), "v": (6, 4, 3, 3)}
    used = {name: shape for name, shape in constants.items() if f", {name})" in body}
    model = read(build(body, inputs="float[N,4,9,9] x, float[N,4,9,9] z", outputs="c", **used))
    add, layer = list(model.graph)
    predicted = linear(layer, [SUMMED, None])
    assert predicted is not None
    var = excess * predicted[0].var.reshape(-1)
    found = corrected(add.outputs[0], SUMMED, {"c": Moments(np.zeros(6), var)})
    np.testing.assert_allclose(found.var, raised * SUMMED.var)
    np.testing.assert_array_equal(found.mean, SUMMED.mean)


def test_nothing_changes_where_no_layer_states_anything() -> None:
    model = read(
        build("s = Add(x, z) c = Conv(s, w)", inputs="float[N,4,9,9] x, float[N,4,9,9] z",
              outputs="c", w=(6, 4, 1, 1))
    )  # fmt: skip
    assert corrected(model.graph[0].outputs[0], SUMMED, {}) is SUMMED
