"""Small questions and edits that every pass makes on a graph.

query, edit                      small questions and edits
operators                        kinds of operators, by what they do to numbers
shapes, extents, runs            shapes, how large tensors become, what a Reshape does to axes
indices, neighbours              inputs that are no pictures: indices, masks, neighbours
work, fingerprint                what a network takes to compute, and a hash of it
widened                          networks of another precision
skeleton, mapped, lazy, shelf    weights of large networks: left out, in their file, worked out
                                 late, put aside
"""
