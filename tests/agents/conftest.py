"""Small networks on one thread: with more, threads wait for one another longer than they work."""

import torch

torch.set_num_threads(1)
