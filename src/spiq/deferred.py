"""Import SymPy when it is used, not with onnx_ir, which wants it for sums of unknown sizes alone.

It takes a quarter of a second, 0.25 of 0.65 s of CPU time of all imports, of commands that take one
or two. ``onnx_ir`` imports it at its beginning, and a module of its own that reads its functions as
it is imported; both come in lazily (:class:`importlib.util.LazyLoader`) while ``onnx_ir`` is
imported, and at no other time: who imports SymPy besides has it at once.
"""

import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

_HOST, _LAST = "onnx_ir", "onnx_ir._symbolic_shapes"


class _Deferring:
    """Finds both modules as the usual finder does, to be loaded later."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: object = None
    ) -> "ModuleSpec | None":
        if name not in ("sympy", _LAST) or _HOST not in sys.modules:
            return None
        from importlib.machinery import PathFinder
        from importlib.util import LazyLoader

        if name == _LAST:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def defer() -> None:
    """Let ``onnx_ir``, where nobody has imported it yet, come in without SymPy."""
    if _HOST not in sys.modules:
        sys.meta_path.insert(0, _Deferring())
