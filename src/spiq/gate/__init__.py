"""A gate for continuous integration: no quantized network that is worse than the last one."""
