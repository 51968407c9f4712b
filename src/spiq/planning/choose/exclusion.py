"""Which operators the options keep in float: by name, by type, and by where they lie.

    by name      the layers whose name matches a glob pattern; where none does, other operators
    by type      every operator of that type, as the prepared network has it
    between      every operator on a way from one place to another

A place is a tensor, or an operator, which then belongs to what lies between. Of a tensor that
preparing took away, as of one that a BatchNormalization read, the next one stands for it. With R(x)
the operators that x leads to and L(y) those that lead to y, R(x) and L(y) both hold what lies
between.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.query import layer_nodes
from spiq.planning.choose.structure import left_of

_REASON = "excluded"


def excluded(graph: ir.Graph, config: Config, next_names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the operators that the options keep in float, and the reason.

    Args:
        graph: The prepared network.
        config: The options.
        next_names: Those of :class:`spiq.passes.prepare.Prepared`.

    Raises:
        ConfigError: An option matches nothing; the message names what comes close.
    """
    names: list[str] = []
    for pattern in config.exclude:
        names += _by_name(graph, pattern)
    for kind in config.exclude_type:
        names += _by_type(graph, kind)
    for pair in config.exclude_between:
        names += _between(graph, *(_place(graph, name, next_names) for name in pair))
    return dict.fromkeys(names, _REASON)


def _by_name(graph: ir.Graph, pattern: str) -> list[str]:
    layers = [str(node.name) for node in layer_nodes(graph)]
    for names in (layers, [str(node.name) for node in graph]):
        if matching := [name for name in names if fnmatchcase(name, pattern)]:
            return matching
    hint = _hint(pattern.strip("*?"), layers, "layers have names like")
    raise ConfigError(f"exclude {pattern!r} matches no layer: {hint}")


def _by_type(graph: ir.Graph, kind: str) -> list[str]:
    if matching := [str(node.name) for node in graph if node.op_type.lower() == kind.lower()]:
        return matching
    types = sorted({node.op_type for node in graph})
    raise ConfigError(
        f"exclude_type {kind!r}: no operator is of this type: the network that is worked on has "
        f"{', '.join(types)}"
    )


def _place(graph: ir.Graph, name: str, next_names: Mapping[str, str]) -> str:
    """Return the name of a tensor or operator, or of what is left of a tensor."""
    known = {str(node.name) for node in graph} | _tensors(graph).keys()
    return left_of(name, known, next_names) or name


def _between(graph: ir.Graph, begin: str, end: str) -> list[str]:
    option = f"exclude_between {begin!r}, {end!r}"
    after = _reached(_readers(graph, begin, option), lambda node: node.successors())
    before = _reached(_writers(graph, end, option), lambda node: node.predecessors())
    if found := [str(node.name) for node in graph if node in after and node in before]:
        return found
    raise ConfigError(f"{option}: no operator lies between: {end!r} does not depend on {begin!r}")


def _readers(graph: ir.Graph, name: str, option: str) -> Sequence[ir.Node]:
    """The operators that a region begins with: one of this name, or those that read the tensor."""
    if named := [node for node in graph if node.name == name]:
        return named
    return list(dict.fromkeys(_tensor(graph, name, option).consumers()))


def _writers(graph: ir.Graph, name: str, option: str) -> Sequence[ir.Node]:
    """The operators that a region ends with: one of this name, or what writes the tensor."""
    if named := [node for node in graph if node.name == name]:
        return named
    producer = _tensor(graph, name, option).producer()
    return [] if producer is None else [producer]


def _tensors(graph: ir.Graph) -> dict[str, ir.Value]:
    written = (value for node in graph for value in node.outputs)
    return {str(value.name): value for value in (*graph.inputs, *written)}


def _tensor(graph: ir.Graph, name: str, option: str) -> ir.Value:
    values = _tensors(graph)
    if name not in values:
        known = [*values, *(str(node.name) for node in graph)]
        hint = _hint(name, known, "tensors have names like")
        raise ConfigError(f"{option}: there is no tensor and no operator {name!r}: {hint}")
    return values[name]


def _reached(
    begin: Iterable[ir.Node], following: Callable[[ir.Node], Iterable[ir.Node]]
) -> set[ir.Node]:
    found, waiting = set[ir.Node](), list(begin)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += following(node)
    return found


def _hint(name: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    some = ", ".join(repr(one) for one in close or known[:3])
    return f"did you mean {some}?" if close else f"{otherwise} {some}"
