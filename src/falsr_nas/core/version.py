"""The version of falsr_nas."""

__version__ = "0.2.0"
