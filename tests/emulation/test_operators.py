"""Each operator beside ONNX Runtime; one without a case fails."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from small_modules import torch
from spiq.emulation import Network
from spiq.emulation.operators import OPERATORS
from spiq.errors import UnsupportedError
from spiq.runtime.session import session

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return np.abs(floats(*shape)) + np.float32(0.1)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def single(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def truths(*shape: int) -> np.ndarray:
    return RNG.random(shape) > 0.5


@dataclass
class Case:
    """A node: inputs in order; those in ``fixed`` are constants of the graph."""

    operator: str
    inputs: list[np.ndarray | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 21
    fixed: tuple[int, ...] = ()

    def __str__(self) -> str:
        said = "-".join(f"{k}={v}" for k, v in self.attributes.items() if k != "value")
        return f"{self.operator}-{said}"[:60]


X, Y = floats(2, 3, 8, 9), floats(2, 3, 8, 9)
ONE_BY_ONE = ["Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid",
              "HardSwish", "LeakyRelu", "Mish", "Neg", "Relu", "Round", "Selu", "Shrink",
              "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "IsNaN",
              "Identity", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "LogSoftmax", "Softmax",
              "MeanVarianceNormalization", "Size", "Dropout"]  # fmt: skip
OF_TWO = ["Add", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean",
          "Min", "Mul", "PRelu", "Sub", "Sum"]  # fmt: skip
REDUCED = ["ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
           "ReduceProd", "ReduceSum", "ReduceSumSquare"]  # fmt: skip
W = floats(6, 3, 3, 3)
GRID = [single(0.02), np.array(120, np.uint8)]
BYTES = RNG.integers(0, 256, (2, 3, 4, 4), np.uint8)
WEIGHTS = RNG.integers(0, 256, (5, 3, 3, 3), np.uint8)

CASES = [
    Case("GridSample", [X, np.clip(floats(2, 4, 5, 2), -1.2, 1.2)]),
    Case("GridSample", [X, np.clip(floats(2, 4, 5, 2), -1.2, 1.2)],
         {"mode": "nearest", "padding_mode": "border", "align_corners": 1}),
    Case("ScatterElements", [X, RNG.integers(-8, 8, (2, 3, 1, 9)), floats(2, 3, 1, 9)],
         {"axis": 2}),
    Case("Trilu", [X]),
    Case("Trilu", [X, np.array(-1, np.int64)], {"upper": 0}, fixed=(1,)),
    Case("LSTM", [floats(5, 2, 4), floats(2, 24, 4), floats(2, 24, 6), floats(2, 48)],
         {"hidden_size": 6, "direction": "bidirectional"}, outputs=3),
    Case("LSTM", [floats(5, 2, 4), floats(1, 24, 4), floats(1, 24, 6), None, None,
                  floats(1, 2, 6), floats(1, 2, 6)], {"hidden_size": 6, "direction": "reverse"}),
    *(Case("GRU", [floats(5, 2, 4), floats(1, 18, 4), floats(1, 18, 6), floats(1, 36)],
           {"hidden_size": 6, "linear_before_reset": way}, outputs=2) for way in (0, 1)),
    Case("RNN", [floats(5, 2, 4), floats(1, 6, 4), floats(1, 6, 6), floats(1, 12)],
         {"hidden_size": 6}, outputs=2),
    *(Case(name, [X]) for name in ONE_BY_ONE),
    *(Case(name, [X, floats(3, 1, 1)]) for name in OF_TWO),
    *(Case(name, [X, whole(1, -1)], {"keepdims": keep}) for name in REDUCED for keep in (0, 1)),
    Case("ReduceLogSum", [positive(2, 3, 4), whole(2)]),
    Case("ReduceMean", [X], {"axes": [2, 3]}, opset=17),
    Case("ReduceMean", [X]),
    Case("Log", [positive(3, 4)]),
    Case("Sqrt", [positive(3, 4)]),
    Case("Reciprocal", [positive(3, 4)]),
    Case("Pow", [positive(3, 4), single(2.5)]),
    Case("Gelu", [X], {"approximate": "tanh"}),
    Case("HardSigmoid", [X], {"alpha": 0.3, "beta": 0.4}),
    Case("Div", [whole(7, -7, 9), whole(2, 2, -4)]),
    Case("Mod", [whole(7, -7, 9), whole(2, 3, -4)]),
    Case("Mod", [X, positive(9)], {"fmod": 1}),
    *(Case(name, [truths(3, 4), truths(4)]) for name in ("And", "Or", "Xor")),
    Case("Swish", [X], {"alpha": 1.5}, opset=24),
    Case("Not", [truths(3, 4)]),
    Case("Where", [truths(8, 9), X, Y]),
    Case("Clip", [X, single(-0.5), single(0.7)]),
    Case("Clip", [X, None, single(0.7)]),
    Case("Clip", [BYTES, np.array(9, np.uint8), np.array(99, np.uint8)]),
    # Layers
    Case("Conv", [X, W, floats(6)], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    Case("Conv", [floats(1, 4, 9, 9), floats(6, 2, 3, 3)], {"group": 2, "dilations": [2, 2]}),
    Case("Conv", [X, W], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", [X, W], {"auto_pad": "SAME_LOWER", "strides": [3, 2]}),
    Case("Conv", [floats(2, 3, 12), floats(4, 3, 5)], {"pads": [2, 2]}),
    Case("Conv", [floats(1, 2, 5, 6, 7), floats(4, 2, 3, 3, 3)], {"pads": [1] * 6}),
    Case("ConvTranspose", [X, floats(3, 4, 3, 3), floats(4)], {"strides": [2, 2]}),
    Case("ConvTranspose", [X, floats(3, 4, 4, 4)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", [X, floats(3, 4, 3, 3)],
         {"strides": [2, 2], "pads": [1, 0, 1, 1], "output_padding": [1, 1]}),
    Case("ConvTranspose", [X, floats(3, 4, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("ConvTranspose", [X, floats(3, 2, 3, 3)], {"strides": [2, 2], "output_shape": [16, 18]}),
    Case("Gemm", [floats(3, 4), floats(5, 4), floats(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", [floats(4, 3), floats(4, 5)], {"transA": 1}),
    Case("MatMul", [floats(2, 3, 4), floats(2, 4, 5)]),
    Case("Einsum", [X], {"equation": "...->..."}),
    Case("Einsum", [floats(2, 3, 4), floats(2, 5, 4)], {"equation": "bij,bkj->bik"}),
    *(
        Case(pool, [X], {"kernel_shape": [3, 2], **how})
        for pool in ("MaxPool", "AveragePool")
        for how in (
            {},
            {"strides": [2, 2], "pads": [1, 0, 1, 1]},
            {"strides": [2, 2], "ceil_mode": 1},
            {"strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        )
    ),
    Case("MaxPool", [X], {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    Case("AveragePool", [X], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2],
                              "count_include_pad": 1}),
    Case("AveragePool", [floats(1, 2, 9)], {"kernel_shape": [3], "strides": [2]}),
    Case("BatchNormalization", [X, floats(3), floats(3), floats(3), positive(3)]),
    Case("InstanceNormalization", [X, floats(3), floats(3)], {"epsilon": 1e-3}),
    Case("LayerNormalization", [X, floats(9), floats(9)]),
    Case("LayerNormalization", [X, floats(8, 9)], {"axis": 2}),
    Case("GroupNormalization", [floats(2, 6, 4), floats(6), floats(6)], {"num_groups": 2}),
    Case("RMSNormalization", [X, floats(9)], opset=23),
    Case("LRN", [floats(1, 7, 3, 3)], {"size": 5, "alpha": 0.1}),
    Case("LRN", [floats(1, 7, 3, 3)], {"size": 3, "alpha": 0.1, "bias": 2.0}),
    Case("LpNormalization", [X], {"axis": 1}),
    # Integers
    Case("QuantizeLinear", [X, *GRID]),
    Case("QuantizeLinear", [X, single(0.03), np.array(-3, np.int8)]),
    Case("QuantizeLinear", [X, positive(3), RNG.integers(0, 99, 3, np.uint8)], {"axis": 1}),
    Case("DequantizeLinear", [BYTES, *GRID]),
    Case("DequantizeLinear", [BYTES, positive(3), np.zeros(3, np.uint8)], {"axis": 1}),
    Case("DynamicQuantizeLinear", [X], outputs=3),
    Case("ConvInteger", [BYTES, WEIGHTS, np.array(3, np.uint8), np.array(128, np.uint8)],
         {"pads": [1, 1, 1, 1]}),
    Case("MatMulInteger", [BYTES, RNG.integers(0, 256, (4, 6), np.uint8),
                           np.array(7, np.uint8), np.array(128, np.uint8)]),
    # Movement
    Case("Cast", [X], {"to": onnx.TensorProto.INT32}),
    Case("Cast", [whole(1, 2)], {"to": onnx.TensorProto.FLOAT}),
    Case("CastLike", [whole(1, 2), single(1)]),
    Case("Concat", [X, Y], {"axis": -3}),
    Case("Constant", [], {"value": numpy_helper.from_array(floats(3))}),
    Case("ConstantOfShape", [whole(2, 3)], {"value": numpy_helper.from_array(whole(7))}),
    Case("DepthToSpace", [floats(1, 8, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [floats(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", [floats(1, 2, 4, 6)], {"blocksize": 2}),
    Case("Expand", [floats(3, 1), whole(2, 1, 4)]),
    Case("Flatten", [X], {"axis": 2}),
    Case("Flatten", [X], {"axis": -1}),
    Case("Gather", [X, whole(-1, 0).reshape(2, 1)], {"axis": 1}),
    Case("Gather", [X, np.array(1, np.int64)], {"axis": 2}),
    Case("GatherElements", [floats(3, 4), RNG.integers(-4, 4, (3, 2))], {"axis": 1}),
    Case("GatherND", [X, whole(0, 1, 1, 2).reshape(2, 2)]),
    Case("ScatterND", [floats(4, 3), whole(1, 3).reshape(2, 1), floats(2, 3)]),
    Case("Pad", [X, whole(0, 0, 1, 2, 0, 0, 3, 0), single(0.5)]),
    Case("Pad", [X, whole(1, -1), single(0.5), whole(2)], fixed=(1, 3)),
    *(Case("Pad", [X, whole(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": mode}) for mode in
      ("reflect", "edge", "wrap")),
    Case("Pad", [floats(4, 5), whole(0, 2, 0, 1)], {"mode": "reflect"}),
    Case("Pad", [floats(2, 3, 4, 4), whole(0, 1, 1, 1, 0, 1, 1, 1)], {"mode": "edge"}),
    Case("Range", [whole(2)[0], whole(9)[0], whole(3)[0]]),
    Case("Reshape", [X, whole(0, -1, 4)]),
    Case("Shape", [X], {"start": 1, "end": -1}),
    Case("Slice", [X, whole(1, -1), whole(99, -99), whole(2, 3), whole(2, -2)]),
    Case("Slice", [X, whole(0, 1), whole(1, -1)]),
    Case("Split", [X, whole(2, 7)], {"axis": 3}, outputs=2),
    Case("Split", [X], {"axis": 3, "num_outputs": 2}, outputs=2),
    Case("Squeeze", [floats(1, 3, 1), whole(-1)]),
    Case("Squeeze", [floats(1, 3, 1)]),
    Case("Unsqueeze", [X, whole(0, -1)]),
    Case("Tile", [floats(2, 3), whole(2, 2)]),
    Case("Transpose", [X], {"perm": [0, 2, 3, 1]}),
    Case("Transpose", [X]),
    *(Case(name, [X], {"axis": 2, "keepdims": 0}) for name in ("ArgMax", "ArgMin")),
    Case("CumSum", [X, np.array(1, np.int64)], {"reverse": 1}),
    Case("Softmax", [X], {"axis": 1}),
    Case("TopK", [X, whole(3)], {"axis": 2}, outputs=2),
    Case("TopK", [X, whole(3)], {"largest": 0}, outputs=2),
    # Resize
    *(
        Case("Resize", [X, None, np.float32([1, 1, 2, 1.5])], {"mode": mode, **how}, fixed=(2,))
        for mode, how in (
            ("nearest", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
            ("nearest", {}),
            ("nearest", {"nearest_mode": "round_prefer_ceil"}),
            ("nearest", {"nearest_mode": "ceil", "coordinate_transformation_mode": "asymmetric"}),
            ("linear", {}),
            ("linear", {"coordinate_transformation_mode": "align_corners"}),
            ("linear", {"coordinate_transformation_mode": "asymmetric"}),
            ("cubic", {}),
            ("cubic", {"coordinate_transformation_mode": "align_corners", "cubic_coeff_a": -0.5}),
        )
    ),
    Case("Resize", [X, None, None, whole(2, 3, 5, 4)],
         {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, fixed=(3,)),
    Case("Resize", [X, None, None, whole(16, 5)], {"mode": "linear", "axes": [2, 3]}, fixed=(3,)),
]  # fmt: skip


def model(case: Case) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    names = ["" if given is None else f"in{i}" for i, given in enumerate(case.inputs)]
    outputs = [f"out{i}" for i in range(case.outputs)]
    node = onnx.helper.make_node(case.operator, names, outputs, name="node", **case.attributes)
    given = {n: array for n, array in zip(names, case.inputs, strict=True) if n}
    fixed = {names[place] for place in case.fixed}
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype), array.shape
            )
            for name, array in given.items()
            if name not in fixed
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(given[name], name) for name in fixed],
    )
    opset = onnx.helper.make_opsetid("", case.opset)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    made = onnx.shape_inference.infer_shapes(made)
    return made, {name: np.asarray(array) for name, array in given.items() if name not in fixed}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_computes_what_the_runtime_does(case: Case) -> None:
    proto, given = model(case)
    expected = session(proto.SerializeToString()).run(None, given)
    network = Network(ir.serde.deserialize_model(proto))
    found = network(**{name: torch.tensor(array) for name, array in given.items()})
    for ours, theirs in zip(found if case.outputs > 1 else [found], expected, strict=True):
        assert tuple(ours.shape) == theirs.shape
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_every_operator_has_a_case() -> None:
    assert sorted(OPERATORS) == sorted({case.operator for case in CASES})


@pytest.mark.parametrize(
    "case",
    [
        Case("Resize", [X, None, np.float32([1, 1, 0.5, 0.5])], {"mode": "linear", "antialias": 1},
             fixed=(2,)),
        Case("AveragePool", [X], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        Case("CumSum", [X, np.array(1, np.int64)], {"exclusive": 1}),
        Case("GridSample", [X, floats(2, 4, 5, 2)], {"mode": "cubic"}),
        Case("ScatterElements", [X, RNG.integers(0, 8, (2, 3, 1, 9)), floats(2, 3, 1, 9)],
             {"axis": 2, "reduction": "add"}),
        Case("GRU", [floats(5, 2, 4), floats(1, 18, 4), floats(1, 18, 6)],
             {"hidden_size": 6, "activations": ["Sigmoid", "Relu"]}),
        Case("LSTM", [floats(5, 2, 4), floats(1, 24, 4), floats(1, 24, 6)],
             {"hidden_size": 6, "clip": 3.0}),
    ],
    ids=str,
)  # fmt: skip
def test_what_of_an_operator_is_not_computed_is_said(case: Case) -> None:
    proto, given = model(case)
    network = Network(ir.serde.deserialize_model(proto))
    with pytest.raises(UnsupportedError, match=f"{case.operator} 'node' is not emulated"):
        network(**{name: torch.tensor(array) for name, array in given.items()})
