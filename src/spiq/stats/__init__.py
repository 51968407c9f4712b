"""Moments and bounds of every channel, from normalization layers and closed-form rules.

channel, doubt                             what is known of a channel, and how sure that is
propagate, rules, sums                     statistics of every tensor in one walk, by a rule per
                                           operator
routing, maps, movers, reshape, blocks     operators that only move data, as maps of channels
axes, input_axis                           where the channels of a tensor, or of an input, lie
implied, consistency, contradicted         whether what BatchNorm states can be believed
lost_norms, sidecar                        BatchNorm that is gone: whether there was any, what it
                                           said
observed, sharpened, correlation,          what pictures tell
exponential
inputs                                     what the network's inputs look like
"""
