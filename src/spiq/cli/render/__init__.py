"""Results as tables for people, and as CSV and JSON for machines; all are siblings over values."""
