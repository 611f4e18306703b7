"""Offline rollouts of the whole chain on a virtual clock, faster than real time, and what is concluded from them."""
