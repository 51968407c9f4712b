"""Tables for people, a module for each kind of result."""
