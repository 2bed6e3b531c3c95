"""Search for small, fast super-resolution networks, after FALSR (Chu et al., 2019)."""

__version__ = "0.1.0"
