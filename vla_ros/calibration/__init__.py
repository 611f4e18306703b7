"""What a cell has to be measured for before its numbers can be believed: so far the lateness of each device."""
