"""What is faster in float goes back to float, conversions counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest

from spiq.planning.choose import cut, give_back
from spiq.planning.choose.cut import Measured
from spiq.planning.choose.give_back import given_back
from spiq.planning.choose.structure import Operator, Structure, Tensor, owners

MICRO = 1e-6
ELEMENTS = 20_000
TO_INTEGERS, TO_FLOAT = 9 + 0.52e-3 * ELEMENTS, 6 + 0.73e-3 * ELEMENTS
"""Microseconds to quantize and to dequantize a tensor of these networks."""


def chain(*weights: int, errors: Sequence[float] = ()) -> Structure:
    """Layers in a row, of so many weights and so much expected error: a, b, c, ..."""
    names = "abcdefgh"[: len(weights)]
    operators = tuple(
        Operator(name, True, True, count, error, (f"{name}_out",))
        for name, count, error in zip(names, weights, errors or weights, strict=True)
    )
    last = len(names) - 1
    between = (Tensor(n, (n + 1,), False, ELEMENTS) for n in range(last))
    first, final = Tensor(None, (0,), False, ELEMENTS), Tensor(last, (), True, ELEMENTS)
    return Structure(operators, (first, *between, final))


def times(structure: Structure, in_float: list[float], on_integers: list[float]) -> Measured:
    names = [one.name for one in structure.operators]

    def seconds(taken: list[float]) -> Mapping[str, float]:
        return {name: MICRO * one for name, one in zip(names, taken, strict=True)}

    return Measured(seconds(in_float), seconds(on_integers), {})


def test_slow_layers_at_the_beginning_go_back() -> None:
    structure = chain(10, 10, 1000, 1000)
    measured = times(structure, [20, 20, 200, 200], [90, 90, 50, 50])
    assert given_back(structure, measured) == ["a", "b"]


def test_an_island_stays_on_integers_where_conversions_cost_more_than_it_loses() -> None:
    structure = chain(1000, 10, 1000)
    lost = 0.9 * (TO_INTEGERS + TO_FLOAT)
    assert given_back(structure, times(structure, [900, 10, 900], [50, 10 + lost, 50])) == []
    lost = 1.1 * (TO_INTEGERS + TO_FLOAT) + 10
    assert given_back(structure, times(structure, [900, 10, 900], [50, 10 + lost, 50])) == ["b"]


def test_accuracy_that_lacks_is_bought_with_the_time_that_integers_gain() -> None:
    structure = chain(10, 10, 10, 1000, errors=(0.60, 0.25, 0.10, 0.05))
    measured = times(structure, [90, 90, 90, 90], [50, 50, 50, 50])
    # all on integers is the fastest, and the first layer in float takes 40 us more
    assert given_back(structure, measured, 0.0, enough=0.5) == []
    # where other layers gain more, as much may be paid
    structure = chain(10, 10, 10, 10, 1000, errors=(0.60, 0.25, 0.10, 0.0, 0.05))
    measured = times(structure, [90, 90, 90, 20, 90], [50, 50, 50, 120, 50])
    cheap = given_back(structure, measured)
    assert cheap == ["d"]
    assert given_back(structure, measured, 0.0, enough=0.5) == ["a", "d"]
    assert given_back(structure, measured, 0.0, enough=1.0) == ["d"]


def test_what_loses_most_goes_back_where_that_costs_little() -> None:
    structure = chain(10, 10, 10, 1000, errors=(0.90, 0.02, 0.05, 0.03))
    measured = times(structure, [60, 60, 60, 60], [50, 50, 50, 50])
    now = 4 * 50 + TO_INTEGERS + TO_FLOAT
    assert given_back(structure, measured, slack=9 / now) == []
    assert given_back(structure, measured, slack=11 / now) == ["a"]
    assert given_back(structure, measured, slack=31 / now) == ["a", "b", "c"]


def test_half_of_the_weights_stay_however_slow() -> None:
    structure = chain(10, 10, 10, 100)
    assert given_back(structure, times(structure, [1, 1, 1, 1], [90, 90, 90, 90])) == [
        "a", "b", "c"
    ]  # fmt: skip


def test_fewer_weights_stay_where_that_is_said() -> None:
    structure = chain(10, 20, 10, 25)
    measured = times(structure, [1, 1, 1, 1], [90, 90, 90, 90])
    assert given_back(structure, measured) == ["a", "c"]
    assert given_back(structure, measured, kept=0.25) == ["a", "b", "c"]


def test_never_goes_all_back() -> None:
    structure = chain(10, 20, 10, 25)
    slow = times(structure, [1, 1, 1, 1], [90, 80, 90, 90])
    assert given_back(structure, slow, kept=0.0) == ["a", "c", "d"]
    products = chain(0, 0)  # of two tensors: no weights that would stay
    assert given_back(products, times(products, [1, 1], [90, 95])) == ["b"]
    alone = chain(10)
    assert given_back(alone, times(alone, [1], [90]), kept=0.0) == []


def test_hardly_any_gain_is_none() -> None:
    structure = chain(10, 1000)
    assert given_back(structure, times(structure, [96, 200], [100, 100])) == []


def test_the_cut_is_the_best_of_all_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(give_back, "WORTH", 1.0)
    structure = chain(1, 1, 1, 1, 1)
    # the second operator is read twice, and the fourth has to stay in float
    tensors = list(structure.tensors)
    tensors[2] = replace(tensors[2], readers=(2, 4))
    operators = list(structure.operators)
    operators[3] = replace(operators[3], on_integers=False, is_layer=False)
    structure = Structure(tuple(operators), tuple(tensors))
    measured = times(structure, [60, 20, 70, 10, 55], [30, 90, 20, 10, 40])
    network = cut.cut_network(structure, measured, 0.0)
    choices = [
        frozenset(n for n, on in enumerate(sides) if on)
        for sides in product([False, True], repeat=5)
        if not sides[3]
    ]
    least = min(network.seconds(choice) for choice in choices)
    assert network.seconds(network.cut()) == pytest.approx(least)


def test_what_one_kernel_does_together_moves_together() -> None:
    layers = chain(10, 1000)
    relu = Operator("r", True, False, 0, 0.0, ("r_out",))
    operators = (layers.operators[0], relu, layers.operators[1])
    ends = [(None, (0,), False), (0, (1,), False), (1, (2,), False), (2, (), True)]
    structure = Structure(operators, tuple(Tensor(*end, ELEMENTS) for end in ends))
    # in float a kernel bears the name of the last, on integers that of the first
    in_float, on_integers = {"r": 20e-6, "b": 400e-6}, {"a": 90e-6, "b": 50e-6}
    assert given_back(structure, Measured(in_float, on_integers, {})) == ["a"]


def test_a_layer_whose_kernel_is_not_found_stays() -> None:
    structure = chain(10, 1000)
    measured = Measured({"b": 300e-6}, {"a": 200e-6, "b": 50e-6}, {})
    assert given_back(structure, measured) == []


@pytest.mark.parametrize(
    ("kernel", "owner"),
    [
        ("a", "a"),
        ("a_token_12", "a"),
        ("a_out_nchwc", "a"),
        ("b_out_bn_nchwc", "b"),
        ("b/QuickGeluFusion/", "b"),
        ("b_unfolded_token_3", "b"),
        ("given_nchwc", "b"),
        ("a_out_quantized", None),
        ("ReorderInput_token_4", None),
    ],
)
def test_kernels_bear_names_of_operators_or_tensors(kernel: str, owner: str | None) -> None:
    # between a and b lay an operator that is gone
    structure = replace(chain(1, 1), next_names={"given": "gone", "gone": "b_out"})
    assert owners(structure, [kernel]).get(kernel) == owner
