"""Tests of vla_ros.config."""
