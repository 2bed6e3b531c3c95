"""A candidate in, its score out (paper, V)."""
