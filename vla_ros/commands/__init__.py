"""What `vla-ros` does with the live service: run it in the twin, talk to it, measure it."""
