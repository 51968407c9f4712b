"""Small questions and edits that every pass makes on a graph."""
