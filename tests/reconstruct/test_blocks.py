"""Networks come apart where few tensors are live."""

from strong import Begun, begin

import network_kinds as kinds
from small_networks import bn, build, norm, trained
from spiq.reconstruct.blocks import Block, blocks_of


def parts(start: Begun) -> tuple[Block, ...]:
    return blocks_of(start.program, start.learned.weights)


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
    for k in range(3):
        before = "r" if k == 0 else f"s{k - 1}"
        body += (
            f"b{k} = Conv<pads=[1,1,1,1]>({before}, v{k}) {bn(f'b{k}', f'm{k}')} "
            f"q{k} = Relu(m{k}) c{k} = Conv<pads=[1,1,1,1]>(q{k}, u{k}) {bn(f'c{k}', f'l{k}')} "
            f"t{k} = Add(l{k}, {before}) s{k} = Relu(t{k}) "
        )
        arrays |= {f"v{k}": (8, 8, 3, 3), f"u{k}": (8, 8, 3, 3)}
        arrays |= norm(f"m{k}", 8) | norm(f"l{k}", 8)
    start = begin(trained(build(body + "y = Conv(s2, h)", h=(4, 8, 1, 1), **arrays)))
    assert [len(block.layers) for block in parts(start)] == [3, 2, 2, 1]
    assert all(len(block.writes) == 1 for block in parts(start))
