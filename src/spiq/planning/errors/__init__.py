"""Expected errors, before anything runs: ranges, importance, rounding and clipping."""
