"""The nerf layer and its leases for any Gymnasium environment, single or vector.

`wrap` puts them all on; each wrapper also works on its own. They keep an environment's spec: what
`gymnasium.make(env.spec)` builds is wrapped alike, because all their arguments are plain data.
"""

from nerfbot.wrappers.action import NerfAction, NerfActionVector
from nerfbot.wrappers.compose import wrap
from nerfbot.wrappers.observation import NerfObservation, NerfObservationVector
from nerfbot.wrappers.powers import Powers, PowersVector
from nerfbot.wrappers.reveal import RevealLift, RevealLiftVector

__all__ = [
    "NerfAction",
    "NerfActionVector",
    "NerfObservation",
    "NerfObservationVector",
    "Powers",
    "PowersVector",
    "RevealLift",
    "RevealLiftVector",
    "wrap",
]

# An environment's spec names a wrapper by its module: the name that stays is this package's.
for _wrapper in (NerfAction, NerfObservation, Powers, RevealLift):
    _wrapper.__module__ = __name__
