"""Roles: what a channel is to its asset, the same for every asset of a class, whatever its devices are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from edgemesh.detect.base.windows import Channel


def roles_of(asset: str, channels: Sequence[Channel], places: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The role of each channel: its metric; or `PLACE/METRIC` where several devices of the asset have that metric.

    The place of a device is the first of `places` (patterns of device names, and what they are) that fits, or what is
    left of its name without the asset's. ValueError: two channels would have the same role, or one would have none.

    >>> roles_of("pump-7", [("pump-7-de", "velocity", "mm/s"), ("pump-7-nde", "velocity", "mm/s"), ("m7", "flow", "1")])
    ('de/velocity', 'nde/velocity', 'flow')
    >>> roles_of("pump-7", [("s1", "velocity", "mm/s"), ("s2", "velocity", "mm/s")], {"s1": "de", "*": "nde"})
    ('de/velocity', 'nde/velocity')
    """
    devices: dict[str, list[str]] = {}
    for device, metric, _ in channels:
        devices.setdefault(metric, []).append(device)
    roles = [
        metric if len(devices[metric]) == 1 else f"{_place_of(asset, device, metric, places or {})}/{metric}"
        for device, metric, _ in channels
    ]
    for place, role in enumerate(roles):
        if (first := roles.index(role)) < place:
            one, other, metric = channels[first][0], channels[place][0], channels[place][1]
            wish = "give them different `places` in [[detection.model]]"
            raise ValueError(f"{metric} of {one} and of {other} would both be {role} of {asset}; {wish}")
    return tuple(roles)


def _place_of(asset: str, device: str, metric: str, places: Mapping[str, str]) -> str:
    for pattern, place in places.items():
        if fnmatchcase(device, pattern):
            return place
    left = device.removeprefix(asset).removesuffix(asset).strip("-_")
    if left and left != device:
        return left
    raise ValueError(
        f"several devices of {asset} have {metric}, and the name of {device} does not say which one it is; "
        f'say it in [[detection.model]], like places = {{ "{device}" = "inlet" }}'
    )
