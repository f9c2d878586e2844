"""Hardware in the loop: every fault of the list against a real driver process, and the figures.

The driver under test lives in `driver`, the emulated servos in `emulator`.
"""
