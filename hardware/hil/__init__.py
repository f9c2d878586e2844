"""Hardware in the loop: every fault of the list against a real driver process, and what came of it."""
