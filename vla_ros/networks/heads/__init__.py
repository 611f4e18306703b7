"""Heads: what turns the features of a window of frames into a chunk of actions."""
