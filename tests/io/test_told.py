"""Sizes that a file leaves open are read off what reads the input."""

import numpy as np
import onnx
import pytest

import spiq
from small_networks import bn, build, floats, norm, trained
from spiq.graph.query import dims
from spiq.io.read import read

PICTURE = [None, 3, None, None]
CONV = "[c] c = Conv(x, w) "


@pytest.mark.parametrize(
    ("inputs", "body", "constants", "told"),
    [
        ("float[N,C,H,W] x", "[c] y = Conv(x, w)", {"w": (8, 3, 3, 3)}, PICTURE),
        ("float[N,C,H,W] x", "[c] y = Conv<group=3>(x, w)", {"w": (9, 1, 3, 3)}, PICTURE),
        ("float[N,C,T] x", "[c] y = Conv(x, w)", {"w": (8, 80, 3)}, [None, 80, None]),
        ("float[N,C,H,W] x", "[c] y = ConvTranspose(x, w)", {"w": (3, 8, 2, 2)}, PICTURE),
        ("float[N,F] x", "[c] y = Gemm<transB=1>(x, w)", {"w": (8, 12)}, [None, 12]),
        ("float[N,F] x", "[c] y = Gemm(x, w)", {"w": (12, 8)}, [None, 12]),
        ("float[N,T,F] x", "[c] y = MatMul(x, w)", {"w": (12, 8)}, [None, None, 12]),
        (
            "float[N,H,W,C] x",
            "[t] t = Transpose<perm=[0,3,1,2]>(x) [a] a = Sub(t, m) [c] y = Conv(a, w)",
            {"w": (8, 4, 3, 3), "m": floats(0.5)},
            [None, None, None, 4],
        ),
        (
            "float[N,C,H,W] x",
            "[p] p = Pad(x, pads) [c] y = Conv(p, w)",
            {"w": (8, 3, 3, 3), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
            [None, 3, None, None],
        ),
        (
            "float[T,N,F] x",
            "[l] y, h, c = LSTM<hidden_size=4>(x, w, r)",
            {"w": (1, 16, 6), "r": (1, 16, 4)},
            [None, None, 6],
        ),
    ],
)
def test_what_reads_an_input_tells_its_size(
    inputs: str, body: str, constants: dict[str, object], told: list[int | None]
) -> None:
    model = read(build(body, inputs=inputs, **constants))  # type: ignore[arg-type]
    assert dims(model.graph.inputs[0]) == told


@pytest.mark.parametrize(
    ("inputs", "body", "constants"),
    [
        # one channel would be repeated for all of a mean's
        ("float[N,C,H,W] x", "[a] a = Sub(x, m) [r] y = Relu(a)", {"m": (1, 3, 1, 1)}),
        # padded along the channels: the kernel's are not the input's
        (
            "float[N,C,H,W] x",
            "[p] p = Pad(x, pads) [c] y = Conv(p, w)",
            {"w": (8, 4, 3, 3), "pads": np.array([0, 0, 1, 1, 0, 1, 1, 1])},
        ),
        # two that disagree: the runtime says which
        (
            "float[N,C,H,W] x",
            "[c] c = Conv(x, w) [d] d = Conv(x, v) [a] y = Add(c, d)",
            {"w": (8, 3, 3, 3), "v": (8, 4, 3, 3)},
        ),
    ],
)
def test_what_leaves_a_choice_tells_nothing(
    inputs: str, body: str, constants: dict[str, object]
) -> None:
    model = read(build(body, inputs=inputs, **constants))  # type: ignore[arg-type]
    assert dims(model.graph.inputs[0]) == [None] * 4


@pytest.mark.parametrize(("opset", "channels"), [(11, 3), (17, 3), (17, 5)])
def test_a_network_whose_channels_are_open_is_quantized(opset: int, channels: int) -> None:
    """Hugging Face's exporter names them num_channels; they were taken for a height.

    The runtime is to know what was told, too: without, it is shown three.
    """
    body = f"{CONV}{bn('c', 'n')}[r] r = Relu(n) [d] y = Conv(r, v)"
    constants = {"w": (8, channels, 3, 3), "v": (4, 8, 1, 1), **norm("n", 8)}
    inputs = f"float[N,{channels},16,16] x"
    closed = trained(build(body, inputs=inputs, opset=opset, **constants))
    model = onnx.ModelProto()
    model.CopyFrom(closed)
    for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim, "NCHW", strict=True):
        dim.dim_param = name
    result = spiq.quantize(model, spiq.Config(timing=False))
    assert result.report.quantized_layers == 2
    assert result.report.snr_db["y"] > 25
