"""Results as plain values, and their text and JSON forms."""
