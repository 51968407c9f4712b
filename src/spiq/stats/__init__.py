"""Moments and bounds of every channel, from normalization layers and closed-form rules.

channel, doubt                             what is known of a channel, and how sure that is
propagate, rules, sums                     statistics of every tensor in one walk, by a rule per
                                           operator
routing, maps, movers, reshape, blocks     operators that only move data, as maps of channels
axes                                       where the channels of a tensor lie
implied, consistency, contradicted         whether what BatchNorm states can be believed
lost_norms, sidecar                        BatchNorm that is gone: whether there was any, what it
                                           said
observed, sharpened, correlation,          what pictures tell
exponential
inputs, given_input, input_notes, alike    what inputs look like, what is said of them
conventions, evidence                      the usual ways to hand pictures over, and what speaks for
                                           each
first_layers, input_views, input_axis      equations of the first layers
input_moments, folded_input,               moments where no convention holds
fourth_channel
"""
