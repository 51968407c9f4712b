"""Imports point one way: what each room may import, and that no two modules import each other.

Imports inside functions and those for types count like all others.
"""

import ast
import graphlib
from pathlib import Path

import pytest

import spiq

SOURCE = Path(spiq.__file__).parent
FACADE = {"__init__", "__main__", "planning"}
"""The front door, which hands out names of every room, and a room that only holds rooms."""

BASE = {"errors", "targets", "methods", "value_checks", "input_values", "config"}
GRAPHS = BASE | {"graph", "passes"}
PLANS = GRAPHS | {"stats", "planning.placement", "planning.plan"}
CHOICES = PLANS | {"planning.errors", "planning.choose"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "targets": set(),
    "methods": set(),
    "value_checks": {"errors"},
    "input_values": {"errors", "value_checks"},
    "config": BASE - {"config"},
    "graph": {"errors"},
    "io": {"errors", "graph"},
    "passes": BASE | {"graph"},
    "stats": GRAPHS,
    "stats.inputs": GRAPHS | {"stats"},
    "planning.placement": GRAPHS | {"stats"},
    "planning.plan": GRAPHS | {"stats", "planning.placement"},
    "planning.errors": PLANS,
    "planning.choose": PLANS | {"planning.errors"},
    "rewriting": PLANS,
    "emit": PLANS | {"rewriting"},
    "runtime": PLANS | {"stats.inputs", "io"},
    "analysis": CHOICES | {"stats.inputs", "io", "runtime"},
    "run": BASE | {"graph", "io", "passes", "stats", "planning.choose", "runtime", "analysis"},
    "pixels": GRAPHS | {"io", "stats", "stats.inputs"},
    "inspection": CHOICES | {"io", "runtime", "analysis"},
    "emulation": {"errors"},
    "quantized": CHOICES | {"io", "runtime", "inspection", "emulation"},
    "decision": CHOICES | {"analysis", "run"},
    "signature": CHOICES | {"io"},
    "lower": CHOICES | {"io", "rewriting", "emit", "runtime", "analysis", "signature"},
    "speed": {"errors", "planning.choose", "runtime", "quantized"},
    "reconstruct": CHOICES | {"io", "rewriting", "runtime", "analysis", "emulation", "lower"},
    "realize": CHOICES
    | {"io", "rewriting", "runtime", "run", "inspection", "quantized", "decision", "lower"}
    | {"reconstruct", "speed"},
    "effort": {"errors", "config", "run", "quantized", "decision", "realize", "speed"},
    "follow": {"config", "planning.plan", "analysis", "run", "effort"},
    "pipeline": CHOICES
    | {"rewriting", "analysis", "run", "quantized", "decision", "realize", "speed"}
    | {"effort", "follow"},
    "convert": CHOICES
    | {"rewriting", "analysis", "run", "quantized", "decision", "realize", "effort", "follow"}
    | {"pipeline"},
    "torch": CHOICES | {"io", "analysis", "quantized", "pipeline"},
    "report": CHOICES
    | {"io", "runtime", "analysis", "inspection", "quantized", "decision", "signature", "speed"}
    | {"pipeline"},
    "engine": {"errors", "value_checks"},
    "evaluation": BASE | {"io", "passes", "stats.inputs", "runtime", "engine"},
    "sweep": BASE | {"io", "runtime", "pipeline", "engine", "evaluation"},
    "gate": BASE | {"evaluation"},
    "hub": BASE | {"quantized"},
    "demo": BASE | {"pipeline", "report", "evaluation"},
    "cli": BASE
    | {"io", "stats", "planning.plan", "runtime", "analysis", "inspection", "quantized"}
    | {
        "speed",
        "pixels",
        "signature",
        "convert",
        "pipeline",
        "torch",
        "report",
        "evaluation",
        "sweep",
        "gate",
        "hub",
    }
    | {"demo"},
}


DECIDES = {"graph", "passes", "stats", "stats.inputs", "rewriting", "emit"} | {
    name for name in MAY_IMPORT if name.startswith("planning")
}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports(name: str) -> set[str]:
    """Return the modules of spiq that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            candidates = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            continue
        for full in candidates:
            inner = full.removeprefix("spiq.")
            if full == inner:
                continue
            outer = inner.rpartition(".")[0]
            found.add(inner if inner in MODULES else outer or "__init__")
    return found - {name}


def room(module: str) -> str:
    """Return the room of a module: a room inside of another, as stats.inputs, or the outer one."""
    outer, *inner = module.split(".")
    inside = ".".join([outer, *inner[:1]])
    return inside if inside in MAY_IMPORT else outer


@pytest.mark.parametrize("name", sorted(set(MODULES) - FACADE))
def test_a_module_imports_only_what_its_room_may(name: str) -> None:
    allowed = MAY_IMPORT[room(name)] | {room(name), "__init__"}
    assert {other for other in imports(name) if room(other) not in allowed} == set()


def test_no_modules_import_each_other() -> None:
    order = graphlib.TopologicalSorter({name: imports(name) - FACADE for name in MODULES})
    order.prepare()  # raises graphlib.CycleError with the circle


def test_rooms_are_in_one_order() -> None:
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()
    assert set(map(room, set(MODULES) - FACADE)) <= set(MAY_IMPORT)


def test_what_decides_and_writes_opens_no_runtime() -> None:
    for name, path in MODULES.items():
        if room(name) in DECIDES:
            assert "onnxruntime" not in {
                alias.name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Import)
                for alias in node.names
            }
