"""Policies: what a bundle is, and how one turns observations into chunks of targets."""
