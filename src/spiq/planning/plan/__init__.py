"""The plan: its values, their JSON form, whether they fit a network, and what follows from them.

values, entries                  the plan, and its entries
json, json_values                as JSON, and back
validate, tensor_checks, forms   whether it fits a network and a target
resolve, derive, grid            what it means there: scales, steps, grids
pair_sums                        weights whose products are summed in 16 bits
"""
