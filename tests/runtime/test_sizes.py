"""What a network is shown is no larger than it can be run on."""

import time

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq import Config, Plan
from spiq.errors import ModelError
from spiq.graph.extents import largest
from spiq.inspection.compare import compare
from spiq.io.read import read
from spiq.pipeline import quantize
from spiq.runtime.pictures import KINDS, SOFT_KINDS, picture, soft_picture
from spiq.runtime.ports import ANY, Sizes
from spiq.runtime.session import session
from spiq.runtime.sizes import sizes_for
from spiq.runtime.synthetic import soft_pictures, synthetic_inputs

ENLARGED = "[c1] c = Conv(x, w1) [t] t = ConvTranspose<strides=[{0},{0}]>(c, wt) "


def enlarged(stride: int, inputs: str, after: str = "[y] y = Relu(t)") -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 1, 1), "wt": (8, 4, 2, 2)}
    return build(ENLARGED.format(stride) + after, inputs=inputs, **shapes)


@pytest.mark.parametrize(
    ("inputs", "size", "numbers"),
    [
        ("float[N,3,H,W] x", 32, 8 * 32 * 32),
        ("float[N,3,20,W] x", 32, 8 * 20 * 32),
        ("float[N,3,20,30] x", 320, 8 * 20 * 30),
        ("float[5,3,20,30] x", 320, 5 * 8 * 20 * 30),
    ],
)
def test_the_largest_tensor(inputs: str, size: int, numbers: int) -> None:
    assert largest(read(enlarged(1, inputs)), (size, size)) == numbers


def test_an_ordinary_network_is_shown_what_it_was() -> None:
    assert sizes_for(read(enlarged(2, "float[N,3,H,W] x")), None) == ANY
    assert sizes_for(read(enlarged(2, "float[N,3,64,64] x")), None) == ANY


def test_what_enlarges_its_input_is_shown_smaller_ones() -> None:
    found = sizes_for(read(enlarged(100, "float[N,3,H,W] x")), None)
    assert found == Sizes(observe=(32, 32), compare=(32, 32), quick=(32, 32), batch=1)
    said = sizes_for(read(enlarged(100, "float[N,3,H,W] x")), (48, 40))
    assert said.observe == said.compare == said.quick == (48, 40)


@pytest.mark.parametrize("after", ["[y] y = Relu(t)", "[y] y = GlobalAveragePool(t)"])
def test_fewer_at_a_time_of_what_takes_much_memory(after: str) -> None:
    model = enlarged(200, "float[N,3,8,8] x", after)
    found = sizes_for(read(model), None)
    assert found.batch == 1
    opened = session(model.SerializeToString())
    assert soft_pictures(opened, number=0, sizes=found)["x"].shape == (1, 3, 8, 8)
    assert soft_pictures(opened, number=0)["x"].shape == (8, 3, 8, 8)


def test_a_network_that_enlarges_a_hundredfold_is_quantized() -> None:
    after = "[p] p = AveragePool<kernel_shape=[50,50],strides=[50,50]>(t) [c2] y = Conv(p, w2)"
    model = build(ENLARGED.format(100) + after, inputs="float[N,3,H,W] x", w1=(8, 3, 1, 1),
                  wt=(8, 4, 2, 2), w2=(4, 4, 1, 1))  # fmt: skip
    assert quantize(model).report.quantized_layers >= 2


def line_reader() -> onnx.ModelProto:
    """A network whose input has one height, which it does not state."""
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c1) "
        "[p] p = AveragePool<kernel_shape=[48,1], strides=[48,1]>(r) "
        "[q] q = Squeeze(p, axes) [t] t = Transpose<perm=[0,2,1]>(q) [m] y = MatMul(t, wm)"
    )
    constants = {"w1": (8, 3, 3, 3), "wm": (8, 5), "axes": np.array([2])}
    return build(body, inputs="float[N,3,H,W] x", **constants)


def test_a_network_that_needs_a_height_and_does_not_say_it() -> None:
    model = line_reader()
    assert sizes_for(read(model)).observe == (48, 320)
    result = quantize(model)
    assert result.report.quantized_layers == 2
    assert result.plan.input_size is None


def test_height_and_width_as_they_are_said() -> None:
    body = "[c1] c1 = Conv(x, w1) [f] f = Flatten(c1) [o] y = Gemm(f, wg)"
    constants = {"w1": (4, 3, 1, 1), "wg": (4 * 24 * 40, 5)}
    model = build(body, inputs="float[N,3,H,W] x", **constants)
    with pytest.raises(ModelError, match="--input-size"):
        quantize(model)
    result = quantize(model, Config(input_size=(24, 40)))
    assert result.report.quantized_layers == 2
    assert Plan.from_json(result.plan.to_json()).input_size == (24, 40)


def test_height_is_that_of_channels_first_or_last() -> None:
    first, last = (
        session(build("[y] y = Relu(x)", inputs=f"float[{shape}] x").SerializeToString())
        for shape in ("N,3,H,W", "N,H,W,3")
    )
    shapes = [synthetic_inputs(one, images=1, size=(16, 24))["x"].shape for one in (first, last)]
    assert shapes == [(1, 3, 16, 24), (1, 16, 24, 3)]


@pytest.mark.parametrize("shape", [(3, 16, 65536), (3, 65536, 16)])
def test_long_pictures_are_drawn_in_no_time(shape: tuple[int, int, int]) -> None:
    """Letters were as large as the long side would have them, and took gigabytes."""
    start = time.process_time()
    drawn = [picture(number, shape) for number in range(len(KINDS))]
    drawn += [soft_picture(number, shape) for number in range(len(SOFT_KINDS))]
    assert time.process_time() - start < 5
    for image in drawn:
        assert image.shape == shape
        assert np.isfinite(image).all()


def with_positions(count: int, inputs: str = "float[N,3,H,W] x") -> onnx.ModelProto:
    """Patches of 8 x 8 pixels, to which a table of so many positions is added."""
    body = (
        "[c] c = Conv<strides=[8,8]>(x, w) [r] r = Reshape(c, shape) "
        "[t] t = Transpose<perm=[0,2,1]>(r) [p] p = Add(t, positions) [m] m = MatMul(p, wm) "
        "[e] e = Relu(m) [h] y = MatMul(e, wh)"
    )
    constants = {"w": (16, 3, 8, 8), "wm": (16, 32), "wh": (32, 4), "positions": (1, count, 16)}
    return build(body, inputs=inputs, shape=np.array([0, 0, -1]), **constants)


@pytest.mark.parametrize("inputs", ["float[N,3,H,W] x", "float[N,C,H,W] x"])
def test_a_table_of_positions_has_one_size(inputs: str) -> None:
    """Vision transformers are exported with height and width open, and run at one size alone."""
    model = with_positions(49, inputs)
    assert sizes_for(read(model)).compare == (56, 56)
    result = quantize(model)
    assert result.report.quantized_layers == 3
    compared = compare(model.SerializeToString(), result.model)
    assert compared.tensors


def words(positions: int) -> onnx.ModelProto:
    body = (
        "[e] e = Gather(table, ids) [n] n = Shape<start=1,end=2>(ids) "
        "[z] z = Constant<value_ints=[0]>() [s] s = Slice(positions, z, n) [a] a = Add(e, s) "
        "[m] m = MatMul(a, wm) [r] r = Relu(m) [h] y = MatMul(r, wh)"
    )
    constants = {"table": (50, 16), "positions": (positions, 16), "wm": (16, 32), "wh": (32, 4)}
    return build(body, inputs="int64[N,T] ids", **constants)


@pytest.mark.parametrize(("positions", "length"), [(512, 320), (200, 128), (20, 16)])
def test_words_are_no_more_than_their_table_has_positions(positions: int, length: int) -> None:
    model = words(positions)
    assert sizes_for(read(model)).observe == (length, length)
    assert quantize(model).report.quantized_layers == 2


def test_words_beside_a_picture_are_few() -> None:
    body = (
        "[e] e = Gather(table, ids) [a] a = Add(e, positions) [m] m = MatMul(a, wm) "
        "[g] g = ReduceMean<axes=[1],keepdims=0>(m) [c] c = Conv(x, w) "
        "[p] p = GlobalAveragePool(c) [f] f = Flatten(p) [k] y = Add(f, g)"
    )
    constants = {"table": (50, 16), "positions": (1, 16, 16), "wm": (16, 8), "w": (8, 3, 3, 3)}
    model = build(body, inputs="int64[N,T] ids, float[N,3,H,W] x", **constants)
    assert quantize(model).report.quantized_layers == 2
