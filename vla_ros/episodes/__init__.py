"""Recorded episodes: LeRobotDataset v3.0 folders, written and read without LeRobot."""
