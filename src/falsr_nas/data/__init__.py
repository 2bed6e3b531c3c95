"""Photographs in; pairs of low and high resolution, patches and validation batches out."""
