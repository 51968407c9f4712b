"""Write integers into the graph: QuantizeLinear and DequantizeLinear, or their dynamic form.

qdq, weights, wide                          QuantizeLinear and DequantizeLinear, of tensors and of
                                            weights
moved                                       conversions of what was only moved left out
sink, affines, merged                       factors behind movers, affine steps and factors around
                                            products in float: less to read and write
dynamic                                     the dynamic form
gates, products, constants, pixels          operators and inputs that want another form, or none
channel_padding                             channels of zeros, for the runtime's speed
half, sizes                                 what stays in float in half precision, and fixed sizes,
                                            where a target wants them
"""
