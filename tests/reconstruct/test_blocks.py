"""Networks come apart where few tensors are live."""

import numpy as np
from strong import Begun, begin

import network_kinds as kinds
from small_modules import torch
from small_networks import bn, build, norm, trained
from spiq.reconstruct.batches import rows_of
from spiq.reconstruct.blocks import Block, blocks_of


def parts(start: Begun) -> tuple[Block, ...]:
    rows = rows_of(start.program, torch.zeros(3, 3, 16, 16), None)
    return blocks_of(start.program, start.learned.weights, rows)


def test_blocks_are_the_whole_network_in_order() -> None:
    start = begin(kinds.residual())
    found = parts(start)
    assert [block.part.start for block in found[1:]] == [block.part.stop for block in found[:-1]]
    assert (found[0].part.start, found[-1].part.stop) == (0, len(start.program.steps))
    assert sorted(name for block in found for name in block.layers) == sorted(start.learned.weights)


def test_what_a_block_reads_was_written_before_it() -> None:
    start = begin(kinds.residual())
    known = set(start.program.inputs)
    for block in parts(start):
        assert set(block.reads) <= known
        known |= set(block.writes)
    assert set(start.program.outputs) <= known


def test_a_residual_block_stays_whole() -> None:
    body = f"a = Conv(x, w) {bn('a', 'n')} r = Relu(n) "
    arrays = {"w": (8, 3, 1, 1), **norm("n", 8)}
    for k in range(4):
        before = "r" if k == 0 else f"s{k - 1}"
        body += (
            f"b{k} = Conv<pads=[1,1,1,1]>({before}, v{k}) {bn(f'b{k}', f'm{k}')} "
            f"q{k} = Relu(m{k}) c{k} = Conv<pads=[1,1,1,1]>(q{k}, u{k}) {bn(f'c{k}', f'l{k}')} "
            f"t{k} = Add(l{k}, {before}) s{k} = Relu(t{k}) "
        )
        arrays |= {f"v{k}": (8, 8, 3, 3), f"u{k}": (8, 8, 3, 3)}
        arrays |= norm(f"m{k}", 8) | norm(f"l{k}", 8)
    start = begin(trained(build(body + "y = Conv(s3, h)", h=(4, 8, 1, 1), **arrays)))
    assert [len(block.layers) for block in parts(start)] == [5, 4, 1]
    assert all(len(block.writes) == 1 for block in parts(start))


def test_no_block_ends_where_pictures_have_no_rows_of_their_own() -> None:
    body = (
        f"a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) {bn('a', 'n')} r = Relu(n) b = Conv(r, k) "
        "o = Relu(b) c = Conv(o, k2) p = Relu(c) d = Conv(p, k3) q = Relu(d) "
        "t = Transpose<perm=[0,2,3,1]>(q) f = Reshape(t, flat) h = MatMul(f, v) "
        "h2 = Relu(h) h3 = MatMul(h2, v2) h4 = Relu(h3) z = MatMul(h4, v3) y = Reshape(z, back)"
    )
    arrays = {"w": (8, 3, 3, 3), "k": (8, 8, 1, 1), "v": (8, 16), "v2": (16, 16), "v3": (16, 4)}
    arrays |= {"k2": (8, 8, 1, 1), "k3": (8, 8, 1, 1)}
    sizes = {"flat": np.array([-1, 8]), "back": np.array([-1, 64, 4])}
    start = begin(trained(build(body, **arrays, **sizes, **norm("n", 8))))
    first, second = parts(start)
    assert len(first.layers) == 4 and len(second.layers) == 3
    assert second.writes == ("y",)


def test_a_block_without_floats_at_its_end_is_held_to_the_last_that_it_has() -> None:
    body = f"a = Conv(x, w) {bn('a', 'n')} r = Relu(n) c = Conv(r, u) y = ArgMax<axis=1>(c)"
    made = build(body, outputs="int64[N,1,M,K] y", w=(8, 3, 3, 3), u=(5, 8, 1, 1), **norm("n", 8))
    (block,) = parts(begin(trained(made)))
    assert block.writes == () and block.held == ("c",)
