"""What all tests share: one hypothesis profile, so that a failure here is a failure everywhere."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "fast",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("mutation", settings.get_profile("fast"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("fast")
