"""Maps of movers: reading through one is running the operator, adding through it is transposing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from spiq.io.read import read
from spiq.runtime.session import session
from spiq.stats.maps import ZERO
from spiq.stats.movers import MOVERS
from spiq.stats.routing import gather, mixture, route, scatter

SHAPE = (2, 4, 6, 5)
CHANNELS = (1, 4, 1, 1)
EVERYTHING = (1, 4, 6, 5)
ALIKE = (1, 1, 1, 1)
ANY_LAYOUT = (CHANNELS, EVERYTHING, ALIKE, (1, 1, 6, 1), (1, 4, 1, 5))


@dataclass(frozen=True)
class Case:
    """A network whose last node moves data; ``x`` has four layouts, ``z`` one of channels."""

    body: str
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] = SHAPE
    layouts: tuple[tuple[int, ...], ...] = ANY_LAYOUT
    outputs: str = "y"
    opset: int = 20


def case(body: str, *, outputs: str = "y", opset: int = 20, **constants: np.ndarray) -> Case:
    return Case(body, constants, outputs=outputs, opset=opset)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES = [
    case("y = Concat<axis=1>(x, z)"),
    case("y = Concat<axis=-3>(z, x, z)"),
    case("y = Identity(x)"),
    case("y = Dropout(x)"),
    case("y = Flatten(x)"),
    case("y = Flatten<axis=2>(x)"),
    case("y = Gather<axis=1>(x, i)", i=whole(3, 0, 0, -2)),
    case("y = Gather<axis=1>(x, i)", i=np.array(2)),
    case("y = Gather<axis=2>(x, i)", i=np.array(2)),
    case("y = Gather<axis=-1>(x, i)", i=whole(3, 0)),
    case("y = Pad(x, p)", p=whole(0, 1, 0, 0, 0, 2, 0, 0)),
    case('y = Pad<mode="edge">(x, p)', p=whole(0, 0, 0, 0, 0, 0, 0, 0)),
    case("y = Reshape(x, s)", s=whole(2, 2, 2, 6, 5)),
    Case("y = Reshape(x, s)", {"s": whole(1, 2, 4, 30)}, layouts=(CHANNELS, EVERYTHING, ALIKE)),
    case("y = Reshape(x, s)", s=whole(2, 4, 6, 1, 5, 1)),
    case("y = Reshape(x, s)", s=whole(2, -1)),
    Case("y = Reshape(x, s)", {"s": whole(2, 8, 3, 5)}, layouts=(CHANNELS, EVERYTHING, ALIKE)),
    Case("y = Expand(x, s)", {"s": whole(2, 4, 6, 5)}, (4, 1, 1), ((4, 1, 1), (1, 1, 1))),
    Case("y = SpaceToDepth<blocksize=3>(x)", shape=(2, 4, 6, 9), layouts=(CHANNELS, ALIKE)),
    case("y = Tile(x, r)", r=whole(1, 2, 3, 1)),
    case("y = Slice(x, s, e)", s=whole(0, 1), e=whole(2, 3)),
    case("y = Slice(x, s, e, a)", s=whole(-3), e=whole(2**62), a=whole(1)),
    case("y = Slice(x, s, e, a, t)", s=whole(-1), e=whole(-(2**62)), a=whole(-3), t=whole(-2)),
    case("y = Slice(x, s, e, a, t)", s=whole(3, 5), e=whole(0, 0), a=whole(1, 2), t=whole(-1, -2)),
    case("y, w = Split<axis=1>(x, n)", outputs="y, w", n=whole(1, 3)),
    case("y, w = Split<axis=-3, num_outputs=2>(x)", outputs="y, w"),
    case("y, w = Split<axis=2>(x)", outputs="y, w", opset=13),
    case("y = Transpose(x)"),
    case("y = Transpose<perm=[0,2,3,1]>(x)"),
    case("y = Unsqueeze(x, a)", a=whole(1, -1)),
    Case("y = Squeeze(x, a)", {"a": whole(-1, 2)}, (2, 4, 1, 1), (CHANNELS, ALIKE)),
    Case("y = Squeeze(x, a)", {"a": whole(0)}, (1, 4, 6, 5)),
    Case("y = Reshape(x, s)", {"s": whole(2, 4, 1, 1)}, (2, 4), ((1, 4), (1, 1))),
    Case("y = Reshape(x, s)", {"s": whole(4, 6, 5)}, (1, 4, 6, 5)),
    Case("y = Pad(x, p)", {"p": whole(0, 1, 0, 2)}, (2, 4), ((1, 4),)),
    Case("y = Pad(x, p)", {"p": whole(0, 1, 0, 0, 0, 0, 0, 0)}, (2, 1, 6, 5), (ALIKE,)),
]


def text(case: Case, size: str = "") -> onnx.ModelProto:
    size = size or ",".join(map(str, case.shape))
    given = f"float[{size}] x" + (", float[2,3,6,5] z" if "z" in case.body else "")
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": {case.opset}]> '
        f"net ({given}) => ({case.outputs}) {{ {case.body} }}"
    )
    for name, array in case.constants.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def mover(proto: onnx.ModelProto) -> ir.Node:
    return list(read(proto).graph)[-1]


PARAMETERS = [
    pytest.param(found, layout, id=f"{found.body} of {layout}")
    for found in CASES
    for layout in found.layouts
]


@pytest.mark.parametrize(("case", "layout"), PARAMETERS)
def test_reading_through_a_map_is_running_the_operator(case: Case, layout: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    proto = text(case)
    node = mover(proto)
    shapes = {"x": (case.shape, layout), "z": ((2, 3, 6, 5), (1, 3, 1, 1))}
    arrays = {name: rng.normal(size=layout) for name, (_, layout) in shapes.items()}
    names = [str(value.name) for value in node.inputs if value is not None]
    read_from = [arrays[name] for name in names if name in arrays]
    maps = route(node, [array.shape for array in read_from])
    assert maps is not None
    feed = {
        value.name: np.broadcast_to(arrays[value.name], shapes[value.name][0]).astype(np.float32)
        for value in proto.graph.input
    }
    results = session(proto.SerializeToString(), threads=1).run(None, feed)
    for entry, result in zip(maps, results, strict=True):
        found = gather(entry, read_from)
        assert found.ndim == result.ndim
        np.testing.assert_allclose(np.broadcast_to(found, result.shape), result, rtol=1e-6)


@pytest.mark.parametrize(("case", "layout"), PARAMETERS)
def test_adding_through_a_map_is_the_transpose_of_reading(
    case: Case, layout: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(8)
    node = mover(text(case))
    layouts = [(1, 3, 1, 1) if value.name == "z" else layout for value in node.inputs if value]
    layouts = layouts if node.op_type == "Concat" else layouts[:1]
    maps = route(node, layouts)
    assert maps is not None
    inputs = [rng.normal(size=layout) for layout in layouts]
    outputs = [rng.normal(size=entry.shape) for entry in maps]
    read_back = sum(
        float(np.vdot(gather(entry, inputs), out)) for entry, out in zip(maps, outputs, strict=True)
    )
    added = [scatter(entry, out, layouts) for entry, out in zip(maps, outputs, strict=True)]
    added_up = sum(
        float(np.vdot(a, b)) for parts in added for a, b in zip(inputs, parts, strict=True)
    )
    assert read_back == pytest.approx(added_up)


def test_every_mover_has_a_case() -> None:
    mixed = {"Compress", "DepthToSpace", "GatherND"}
    assert set(MOVERS) - mixed == {text(case).graph.node[-1].op_type for case in CASES}


def test_constants_of_a_concat_have_no_entry() -> None:
    body = "y = Concat<axis=1>(c, x)"
    case = Case(body, {"c": np.ones((2, 3, 6, 5), np.float32)}, layouts=(CHANNELS,))
    maps = route(mover(text(case)), [CHANNELS])
    assert maps is not None
    assert maps[0].reshape(-1).tolist() == [ZERO, ZERO, ZERO, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("case", "shows"),
    [
        (
            Case("y = DepthToSpace<blocksize=2>(x)", shape=(2, 8, 6, 5)),
            [[[0], [1]], [[2], [3]], [[4], [5]], [[6], [7]]],
        ),
        (
            Case('y = DepthToSpace<blocksize=2, mode="CRD">(x)', shape=(2, 8, 6, 5)),
            [[[0], [4]], [[1], [5]], [[2], [6]], [[3], [7]]],
        ),
        (Case("y = Reshape(x, s)", {"s": whole(2, 2, -1)}, (2, 8, 6, 5)), None),
        (
            Case(
                "a = Reshape(x, s) b = Transpose<perm=[0,1,4,2,5,3]>(a) y = Reshape(b, u)",
                {"s": whole(2, 2, 2, 2, 6, 5), "u": whole(2, 2, 12, 10)},
                (2, 8, 6, 5),
            ),
            None,
        ),
    ],
    ids=lambda value: value.body if isinstance(value, Case) else None,
)
def test_mixed_channels_show_each_of_their_entries(case: Case, shows: object) -> None:
    entry = np.arange(8).reshape(1, 8, 1, 1)
    for node in read(text(case)).graph:
        maps = route(node, [entry.shape])
        found = None if maps is not None else mixture(node, [entry.shape])
        entry = (maps or found)[0] if maps is None else entry.reshape(-1)[maps[0]]  # type: ignore[index]
    if shows is not None:
        assert entry.reshape(len(entry), 2, 1).tolist() == shows
        return
    assert entry.shape[2:] in ((2, 1), (2, 1, 1))
    assert len(entry) == 4


def test_a_mover_without_a_map_shows_everything() -> None:
    case = Case("y = GatherND<batch_dims=0>(x, i)", {"i": whole(0, 1).reshape(1, 2)})
    node = mover(text(case))
    assert route(node, [CHANNELS]) is None
    found = mixture(node, [CHANNELS])
    assert found is not None
    assert found[0].reshape(-1).tolist() == [0, 1, 2, 3]


def test_channels_that_are_padded_show_zero() -> None:
    case = Case("y = Pad(x, p)", {"p": whole(0, 1, 2, 2, 0, 2, 2, 2)})
    maps = route(mover(text(case)), [CHANNELS])
    assert maps is not None
    assert maps[0].reshape(-1).tolist() == [ZERO, 0, 1, 2, 3, ZERO, ZERO]
    assert gather(maps[0], [np.ones(CHANNELS)], zero=-5.0).reshape(-1).tolist() == [
        *(-5, 1, 1, 1, 1, -5, -5)
    ]


def test_shuffled_channels_come_back_after_the_inverse_shuffle() -> None:
    body = (
        "a = Reshape(x, s) b = Transpose<perm=[0,2,1,3,4]>(a) c = Reshape(b, u) "
        "d = Reshape(c, s) e = Transpose<perm=[0,2,1,3,4]>(d) y = Reshape(e, u)"
    )
    case = Case(body, {"s": whole(0, 2, 2, 6, 5), "u": whole(0, 4, 6, 5)})
    entry = np.arange(4.0).reshape(CHANNELS)
    for node in read(text(case, "N,4,6,5")).graph:
        maps = route(node, [entry.shape])
        assert maps is not None
        entry = gather(maps[0], [entry])
        if node.outputs[0].name == "c":
            assert entry.reshape(-1).tolist() == [0, 2, 1, 3]
    assert entry.reshape(-1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("N,4,H,W", whole(0, 4, -1)),
        ("N,4,H,W", whole(-1, 4, 12)),
        ("2,4,H,W", whole(0, 0, -1)),
        ("N,4,3,W", whole(0, 0, -1)),
    ],
)
def test_pixels_of_unknown_number_become_one_axis(size: str, shape: np.ndarray) -> None:
    node = mover(text(case("y = Reshape(x, s)", s=shape), size))
    maps = route(node, [CHANNELS])
    assert maps is not None
    assert maps[0].tolist() == np.arange(4).reshape(1, 4, 1).tolist()


@pytest.mark.parametrize(
    ("case", "layout", "size"),
    [
        (case("y = Relu(x)"), CHANNELS, ""),
        (case("y = Concat<axis=2>(x, x)"), CHANNELS, ""),
        (case("y = Concat<axis=1>(x, z)"), ALIKE, "N,C,H,W"),
        (case("y = Reshape(x, s)", s=whole(2, -1)), CHANNELS, "2,4,H,W"),
        (case("y = Reshape(x, s)", s=whole(-1, 2, 6, 5)), CHANNELS, "N,4,6,5"),
        (
            case("y = Pad(x, p, f)", p=whole(0, 1, 0, 0, 0, 0, 0, 0), f=np.ones(1, np.float32)),
            CHANNELS,
            "",
        ),
        (case("y = Pad(x, p)", p=whole(0, -1, 0, 0, 0, 0, 0, 0)), CHANNELS, ""),
        (case("y = Pad(x, p)", p=whole(1, 0, 0, 0, 0, 0, 0, 0)), CHANNELS, ""),
        (case("y = Pad(x, p, , a)", p=whole(1, 1), a=whole(1)), CHANNELS, ""),
        (case('y = Pad<mode="edge">(x, p)', p=whole(0, 1, 0, 0, 0, 0, 0, 0)), CHANNELS, ""),
        (case('y = Pad<mode="edge">(x, p)', p=whole(0, 0, 1, 0, 0, 0, 0, 0)), EVERYTHING, ""),
        (case("y = Pad(x, p)", p=whole(0, 1, 0, 0, 0, 0, 0, 0)), ALIKE, "N,C,6,5"),
        (case("y = Gather<axis=1>(x, i)", i=np.array([[0, 1]])), CHANNELS, ""),
        (case("y = Squeeze(x)"), CHANNELS, "N,4,1,1"),
        (case("i = Shape(x) y = Slice(x, s, i)", s=whole(0, 0, 0, 0)), CHANNELS, "N,4,H,W"),
        (
            case("i = Shape<start=1, end=2>(x) y = Slice(x, s, s, i)", s=whole(0)),
            CHANNELS,
            "N,4,H,W",
        ),
    ],
    ids=lambda value: value.body if isinstance(value, Case) else None,
)
def test_unknown_forms_have_no_map(case: Case, layout: tuple[int, ...], size: str) -> None:
    node = mover(text(case, size))
    layouts = [layout, layout] if "Concat" in case.body else [layout]
    assert route(node, layouts) is None


def test_operators_of_other_domains_have_no_map() -> None:
    node = ir.node("Identity", [ir.Value(name="x")], domain="com.example")
    assert route(node, [CHANNELS]) is None
