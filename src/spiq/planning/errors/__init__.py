"""Expected errors, before anything runs: ranges, importance, rounding and clipping.

network_errors                   all that errors depend on, before a grid is chosen
tensor_error, weight_error       a stored tensor, a layer's weight
error_model, averaging           rounding and clipping in closed form, and what a mean leaves of
                                 them
freedom                          how heavy a tensor's tails are
ranges, rectified, powers        the range of each channel by each width
held                             what a tensor can be by the stored ones that it is made of
importance, output_importance    how much an error counts at the outputs
expected                         what each layer is expected to lose by a plan
"""
