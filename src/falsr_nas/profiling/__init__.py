"""Profiles of devices: which layers a space has, and how long they take."""
