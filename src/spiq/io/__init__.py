"""Files to checked graphs and back: the only room that knows the file format."""
