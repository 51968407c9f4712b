"""What the network's inputs look like: told, judged by what the file says, and put in words.

conventions                the usual ways to hand pictures over, and how likely each is
views, joined,             what the first layers say of an input, as equations, and of inputs
first_layers               that lie side by side
moments                    mean and deviation of an input, solved from them
biases                     what they say of it where normalization was folded away
evidence                   how likely each convention is by all that speaks for it
folded, fourth_channel     what fits no convention: from biases alone, or beside colours
alike, judge               the verdict on each input, and on those that are pictures made in one way
notes                      what is said of an input
given, doubted             what options say of an input, and whether its first layers agree
integers                   what inputs of integers hold
inferred                   what the network says of it where options say nothing
ends                       the range that an input is shown, and that of its grid
known                      all of it: the statistics of each input
"""
