"""Measurements that dashboards show but nothing writes yet: tags and fields as they are agreed upon.

An entry goes away once `edgemesh/store/influx/measurements.py` has the measurement; from then on its panels must find
data, too.
"""

from __future__ import annotations

AWAITED: dict[str, frozenset[str]] = {}
