"""`nerfbot bench limits`: what it measures can be built and called."""

import numpy as np

from nerfbot.bench.limits import everything_on
from nerfbot.limits import ActuatorLimiter, Measured


def test_every_limit_that_it_measures_is_enforced_in_every_mode():
    spec, channels = everything_on(["position", "velocity", "effort"])
    limiter = ActuatorLimiter(spec, channels)
    assert not any(item.problem for item in limiter.report)
    still = np.zeros((1, 3))
    limited = limiter.apply(still + 1.0, Measured(still, still, still), 0.0, np.zeros((1, 4)))
    assert np.isfinite(limited.value).all()
