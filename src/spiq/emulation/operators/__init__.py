"""What PyTorch computes of ONNX: one table, operator to function.

integers                                 to and from integers
layers, recurrent, reductions, resize    layers and normalization, LSTM and its kin, sums along
                                         axes, Resize
pointwise, curves                        functions of one number
movement, selection                      operators that move numbers, or pick some
"""

from spiq.emulation.operators.integers import INTEGERS
from spiq.emulation.operators.layers import LAYERS
from spiq.emulation.operators.movement import MOVEMENT
from spiq.emulation.operators.pointwise import POINTWISE
from spiq.emulation.operators.recurrent import RECURRENT
from spiq.emulation.operators.reductions import REDUCTIONS
from spiq.emulation.operators.resize import RESIZE
from spiq.emulation.operators.selection import SELECTION
from spiq.emulation.step import Compute

OPERATORS: dict[str, Compute] = {
    **INTEGERS,
    **LAYERS,
    **MOVEMENT,
    **POINTWISE,
    **RECURRENT,
    **REDUCTIONS,
    **RESIZE,
    **SELECTION,
}

__all__ = ["OPERATORS"]
