"""`vla-ros robot`: a person's commands to the real arm, without the service; and the check-list for the metal.

Every check moves the arm a little, measures, and judges: what it saw is a value, and the judgement a pure function of it.
"""
