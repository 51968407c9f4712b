"""The choices with the least expected error: scales, zero points, bits."""
