"""The strong mode: pictures made from the network's own statistics, and blocks learned on them.

Needs PyTorch, and is imported only where an effort of minutes or hours is asked for. A plan says
where to start; what comes back is the plan with other steps, and the integers and biases that a
rounding in one go would not have found.

run, efforts, clock       all of it, how much of it, and how long it may still take
start, program            the rounding in one go, and the network in PyTorch
pictures                  pictures with the moments that are stated
blocks, batches, shelf    the network in blocks, and what each reads of all pictures
learning, form            how it is learned, and the quantized form that is learned
grids, weights            steps, zero points, integers and biases of that form
outcome, whole            whether a block, and whether the network, got better by it
cache, kept               what is kept from call to call
"""

from spiq.reconstruct.run import Reconstructed, reconstructed

__all__ = ["Reconstructed", "reconstructed"]
