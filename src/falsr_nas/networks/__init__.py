"""Genomes as torch modules, and the hand-made networks they are compared with."""
