"""Look at a network: its layers, what is known of them, and where error arises.

inspect, layers                       a network before it is quantized
compare, counterparts, tensor_sums    two networks, tensor by tensor
in_single                             a float network as it was read, to be run
"""
