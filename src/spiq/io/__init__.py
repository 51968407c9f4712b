"""Files to checked graphs and back.

read                             from a file, bytes or a model to one checked graph:
archives, external, outline,     what the file is, and where its weights are
weight_tensors
opset, experimental,             its operators' version, those of ONNX's first years and those
contributed                      of the runtime's own,
functions, precision             its own functions, its precision
told                             sizes that it leaves open and its operators tell
metadata                         what it says of itself
checks, schema, sizes, limits    whether it can be used
write, stream, atomic            a file, whole or not at all
images, video                    unlabelled images, of files, arrays and films
user_cache                       where what is kept from call to call lies
"""
