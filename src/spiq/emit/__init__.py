"""Write integers into the graph: QuantizeLinear and DequantizeLinear, or their dynamic form."""
