"""The plan: its values, their JSON form, whether they fit a network, and what follows from them."""
