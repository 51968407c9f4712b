"""Task cards: what they say, read and checked."""
