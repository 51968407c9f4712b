"""Quantize trained neural networks to int8 without any data.

    import spiq

    result = spiq.quantize("model.onnx")
    result.save("model.int8.onnx")

Everything heavy is imported when it is first used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
"""As typing has it, whose import takes longer than all else here."""

if TYPE_CHECKING:
    from spiq.config import Config
    from spiq.errors import SpiqError
    from spiq.evaluation import evaluate
    from spiq.input_values import InputValues
    from spiq.inspection.compare import compare
    from spiq.inspection.inspect import inspect
    from spiq.pipeline import apply, pareto, plan, quantize
    from spiq.planning.plan.values import Plan
    from spiq.quantized import Quantized
    from spiq.stats.sidecar import Statistics

__all__ = [
    "Config",
    "InputValues",
    "Plan",
    "Quantized",
    "SpiqError",
    "Statistics",
    "__version__",
    "apply",
    "compare",
    "evaluate",
    "inspect",
    "pareto",
    "plan",
    "quantize",
]

_HOMES = {
    "Config": "spiq.config",
    "InputValues": "spiq.input_values",
    "Plan": "spiq.planning.plan.values",
    "Quantized": "spiq.quantized",
    "SpiqError": "spiq.errors",
    "Statistics": "spiq.stats.sidecar",
    "apply": "spiq.pipeline",
    "compare": "spiq.inspection.compare",
    "evaluate": "spiq.evaluation",
    "inspect": "spiq.inspection.inspect",
    "pareto": "spiq.pipeline",
    "plan": "spiq.pipeline",
    "quantize": "spiq.pipeline",
}


def __getattr__(name: str) -> object:
    if name == "torch":  # an extra, so it is not in __all__
        from importlib import import_module

        return import_module("spiq.torch")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'spiq' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
