"""Rewrites that leave the network's function as it is, one family per file.

prepare                                     all of them, in their order
batchnorm, frozen, joined, affine, hoist    steps per channel, into layers
layer_weights, cancelled                    what weights and biases take in, and biases that say
                                            nothing
constants, cleanup, wholes, expands         what is computed before, or not at all
canonical, gemm, tokens, einsum, stacks,    layers in the spelling that has an integer kernel
turns
phases, woven                               ConvTranspose
bounds, gates, soft_gates, pads, products,  other operators in one spelling
sequences
single                                      half precision in single
equalize                                    what method dfq does besides
float_form                                  the float network that results are timed beside
"""
