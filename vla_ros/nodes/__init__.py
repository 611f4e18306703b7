"""Thin ROS 2 nodes: they store what arrives, hand it to the rooms below, and publish what comes of it."""
