"""Einsum of two tensors is a matrix product, where it is one."""

import numpy as np
import pytest

from small_networks import build, run
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.einsum import einsum_products


@pytest.mark.parametrize(
    ("equation", "sizes", "operators"),
    [
        ("abc,adc->abd", ("2,3,4", "2,5,4"), "Transpose MatMul"),
        ("abij,abjd->abid", ("2,3,4,5", "2,3,5,6"), "MatMul"),
        ("bihd,bjhd->bhij", ("2,3,4,5", "2,6,4,5"), "Transpose Transpose MatMul"),
        ("bhij,bjhd->bihd", ("2,3,4,5", "2,5,3,6"), "Transpose MatMul Transpose"),
        ("bhwc,cd->bhwd", ("2,3,4,5", "5,6"), "MatMul"),
        ("bhwc,dc->bdhw", ("2,3,4,5", "6,5"), "Transpose MatMul Transpose"),
        ("abc,adc->abcd", ("2,3,4", "2,5,4"), "Einsum"),
        ("abc,abc->ab", ("2,3,4", "2,3,4"), "Einsum"),
        ("abc,adc->ad", ("2,3,4", "2,5,4"), "Einsum"),
        ("aab,ab->ab", ("2,2,3", "2,3"), "Einsum"),
        ("abcd,aecd->abe", ("2,3,4,5", "2,6,4,5"), "Einsum"),
    ],
)
def test_a_product_is_written_as_one(equation: str, sizes: tuple[str, str], operators: str) -> None:
    given = f"float[{sizes[0]}] x, float[{sizes[1]}] z"
    proto = build(f'y = Einsum<equation="{equation}">(x, z)', inputs=given)
    model = read(proto)
    einsum_products(model)
    assert [node.op_type for node in model.graph] == operators.split()
    rng = np.random.default_rng(0)
    shapes = {name: tuple(map(int, s.split(","))) for name, s in zip("xz", sizes, strict=True)}
    feed = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    expected, found = run(proto, feed)["y"], run(serialize(model), feed)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
