"""The choices with the least expected error: scales, zero points, bits.

decide                                   all of it: place, choose group by group, write the plan
bits, mixed                              bits of tensors and layers, and as few on average as are
                                         wanted
by_group, group, facts, coupled          tensors that are decided together
within                                   groups that the stored tensors in front of them bound
scales, shared_steps, worth, given_up    their ranges and scales, steps that sums share, what scales
                                         have to gain
tensor_plans                             what the plan says of them
exclusion, relief                        what stays in float as the user wants it, or to be exact
structure, cut, give_back                what goes back to float to be fast
convert                                  what of a plan holds for another target
"""
