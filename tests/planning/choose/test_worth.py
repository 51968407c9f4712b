"""Where several scales take time, they have to gain something."""

from collections.abc import Callable

import onnx
import pytest

from network_kinds import convolutions
from small_networks import planned
from spiq.planning.choose.worth import ANY, worth
from spiq.planning.placement.groups import groups
from transformers import convnext, transformer


def shares(model: onnx.ModelProto) -> list[float]:
    """What each group of tensors asks of several scales."""
    _, placement, _ = planned(model)
    return [worth(values, placement) for values in groups(placement)]


def test_layers_take_scales_in_for_nothing() -> None:
    assert set(shares(convolutions())) == {ANY}


@pytest.mark.parametrize("build_model", [convnext, transformer])
def test_around_tokens_they_gain_3_db_or_cost_nothing(
    build_model: Callable[[], onnx.ModelProto],
) -> None:
    assert set(shares(build_model())) == {ANY, 0.5}
