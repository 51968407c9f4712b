"""Look at a network: its layers, what is known of them, and where error arises.

inspect, layers                       a network before it is quantized
compare, counterparts, tensor_sums    two networks, tensor by tensor
exposed, feeds                        each opened with all its tensors, and what both are shown
in_single                             a float network as it was read, to be run
"""
