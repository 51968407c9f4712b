"""What touches a runtime: emission of QuantizeLinear / DequantizeLinear, sessions, verification."""
