"""Write integers into the graph: QuantizeLinear and DequantizeLinear, or their dynamic form.

qdq, weights, wide                          QuantizeLinear and DequantizeLinear, of tensors and of
                                            weights
moved, merged                               conversions of what was only moved left out, factors
                                            around products made one
dynamic                                     the dynamic form
gates, products, constants, sink, pixels    operators and inputs that want another form, or none
channel_padding                             channels of zeros, for the runtime's speed
half, sizes                                 what stays in float in half precision, and fixed sizes,
                                            where a target wants them
"""
