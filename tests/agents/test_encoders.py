"""What networks are built of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nerfbot.agents.encoders import ACTIVATIONS, Plain, Tanh
from nerfbot.agents.malloc import keep_freed


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-7), (torch.float64, 4e-16), (torch.bfloat16, 4e-3)]
)
def test_the_tangent_is_torchs_to_rounding(dtype, bound):
    x = torch.cat([torch.linspace(-12.0, 12.0, 20_001), torch.tensor([0.0, torch.inf, -torch.inf])]).to(dtype)
    assert (Tanh()(x).double() - torch.tanh(x.double())).abs().max() < bound
    assert Tanh()(x).dtype == dtype
    assert Tanh()(torch.tensor([torch.nan], dtype=dtype)).isnan().all()


def test_its_gradient_is_the_tangents():
    x = torch.linspace(-3.0, 3.0, 50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Tanh(), (x,))
    assert ACTIVATIONS["tanh"] is Tanh


def test_it_leaves_what_it_is_given_alone():
    x = torch.randn(10)
    before = x.clone()
    Tanh()(x)
    assert torch.equal(x, before)


def test_a_grids_bytes_are_exact_in_bfloat16():
    grid = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    every = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 16, 16, 3)
    plain = Plain({"grid": grid})
    with torch.autocast("cpu", torch.bfloat16):
        short = plain({"grid": every})
    assert short.dtype == torch.bfloat16
    assert torch.equal(short.float(), plain({"grid": every}))


def test_memory_that_is_freed_is_kept_where_the_c_library_can():
    """And a second time is no harm."""
    import platform

    assert keep_freed() == keep_freed() == (platform.libc_ver()[0] == "glibc")
