"""Teleoperation: each device a small file that yields readings, and one pure mapping from readings to what the tool should do."""
