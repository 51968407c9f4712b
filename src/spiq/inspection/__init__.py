"""Look at a network: its layers, what is known of them, and where error arises."""
