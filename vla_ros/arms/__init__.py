"""Arms behind one protocol: each takes a tool twist and a gripper position, and reports its state."""
