"""Plays the Gen3's controller: what it makes of commands (`motion`), and the Kortex protocol in front of it."""
