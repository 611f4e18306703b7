"""`vla-ros doctor`: one screen that says what of a cell is in order, and what to do about the rest.

Each file looks at one group: facts are gathered (files, processes, devices) apart from judging them (pure functions of the facts).
"""
