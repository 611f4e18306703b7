"""Cameras behind one protocol: each gives frames stamped at exposure."""
