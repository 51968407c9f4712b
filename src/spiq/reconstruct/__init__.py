"""The strong mode: pictures made from the network's own statistics, and blocks learned on them.

Needs PyTorch, and is imported only where an effort of minutes or hours is asked for. A plan says
where to start; what comes back is the plan with other steps, and the integers and biases that a
rounding in one go would not have found.
"""

from spiq.reconstruct.run import Reconstructed, reconstructed

__all__ = ["Reconstructed", "reconstructed"]
