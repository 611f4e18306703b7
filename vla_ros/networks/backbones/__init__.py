"""Backbones: what turns images, words and robot state into the feature of one frame."""
