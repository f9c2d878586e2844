"""Learning: networks, PPO, explorers and their signals, saved policies. Needs the extra `train`.

It knows environments, not plants: whatever Gymnasium can step in a batch can be learned here.
"""
