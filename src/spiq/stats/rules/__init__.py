"""The rule table: how each operator carries the statistics of its inputs to its outputs.

A rule is a pure function of a node and of the statistics of its inputs, aligned with
``node.inputs`` (None for a constant or an absent input), to the statistics of its outputs. It may
return None: the node's form is not one that the rule knows. Rule makers keep most operators to a
line; a new operator goes into the file of its family and gets a case in ``tests/stats``.

types                               what a rule is
linear, products                    layers, and products of two tensors
activations, compositions, masks    functions of one number, spelled as one operator or several, and
                                    masks
arithmetic, norms, pooling          sums and quotients, normalization, means over space
largest                             the largest of neighbouring pixels
own_total                           what is divided by its own sum or length
movement, selection                 operators that move numbers, or pick some
"""

from spiq.stats.rules.activations import ACTIVATIONS
from spiq.stats.rules.arithmetic import ARITHMETIC
from spiq.stats.rules.largest import LARGEST
from spiq.stats.rules.linear import LINEAR
from spiq.stats.rules.masks import MASKS
from spiq.stats.rules.movement import MOVEMENT
from spiq.stats.rules.norms import NORMS
from spiq.stats.rules.pooling import POOLING
from spiq.stats.rules.products import PRODUCTS
from spiq.stats.rules.selection import SELECTION
from spiq.stats.rules.types import Rule

RULES: dict[str, Rule] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **LARGEST,
    **LINEAR,
    **MOVEMENT,
    **NORMS,
    **POOLING,
    **PRODUCTS,
    **SELECTION,
    **MASKS,  # of operators that have a rule above, for what masks
}
