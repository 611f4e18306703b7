"""Tests of vla_ros.motion."""
