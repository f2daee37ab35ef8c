"""What can be read about a Linux machine below /proc and /sys; a row of PROBES is a metric."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_SOC_ZONES = ("cpu-thermal", "soc-thermal", "cpu_thermal", "x86_pkg_temp")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: the root of the file system, and the path whose disk is watched."""

    root: Path
    disk: Path


@dataclass(frozen=True, slots=True)
class Probe:
    """A metric of the machine: `read` gives its value, or raises as `read_value` expects when there is none."""

    metric: str
    unit: str
    read: Callable[[Place], float]


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Jiffies of all processors since the start: those spent working, and all."""

    busy: int
    total: int

    def percent_since(self, before: CpuTimes) -> float | None:
        """Load of all processors together between two readings, 0..100; None when no time has passed."""
        total = self.total - before.total
        if total <= 0:
            return None
        return min(100.0, max(0.0, 100.0 * (self.busy - before.busy) / total))


def read_cpu(place: Place) -> CpuTimes:
    """The counters of /proc/stat. OSError, ValueError or LookupError when there are none."""
    words = _text(place, "proc/stat").split("\n", 1)[0].split()
    if not words or words[0] != "cpu":
        raise ValueError("no line of all processors")
    # user nice system idle iowait irq softirq steal; the guest times that follow are in user already
    times = [int(word) for word in words[1:9]]
    return CpuTimes(busy=sum(times) - times[3] - times[4], total=sum(times))


def read_name(place: Place) -> str:
    """The host's name, or an empty text."""
    try:
        return _text(place, "proc/sys/kernel/hostname").strip()
    except OSError:
        return ""


def read_value(probe: Probe, place: Place) -> float | None:
    """The probe's value now, or None when the machine has none."""
    try:
        return probe.read(place)
    except (OSError, ValueError, LookupError, ArithmeticError):
        return None


def _text(place: Place, path: str) -> str:
    return (place.root / path).read_text(encoding="ascii", errors="replace")


def _load(place: Place) -> float:
    return float(_text(place, "proc/loadavg").split()[0])


def _uptime(place: Place) -> float:
    return float(_text(place, "proc/uptime").split()[0])


def _memory(place: Place) -> float:
    fields = dict(line.split(":", 1) for line in _text(place, "proc/meminfo").splitlines() if ":" in line)
    total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 100.0 * (1.0 - available / total)


def _disk(place: Place) -> float:
    """Used share of what a user may use, as `df` counts it."""
    disk = os.statvfs(place.disk)
    used = disk.f_blocks - disk.f_bfree
    return 100.0 * used / (used + disk.f_bavail)


def _temperature(place: Place) -> float:
    """The zone of the processor, else the first one; millidegrees in the file."""
    zones = sorted((place.root / "sys/class/thermal").glob("thermal_zone*"))
    types = {zone: (zone / "type").read_text(encoding="ascii", errors="replace").strip() for zone in zones}
    zone = next((zone for kind in _SOC_ZONES for zone in zones if types[zone] == kind), zones[0])
    return int((zone / "temp").read_text(encoding="ascii")) / 1000.0


def _throttled(mask: int) -> Callable[[Place], float]:
    return lambda place: float(bool(int(_text(place, _THROTTLED), 16) & mask))


PROBES = (
    Probe("load_1min", "1", _load),
    Probe("memory_percent", "%", _memory),
    Probe("disk_percent", "%", _disk),
    Probe("soc_temperature", "Cel", _temperature),
    Probe("under_voltage", "1", _throttled(0x1)),
    Probe("frequency_capped", "1", _throttled(0x2)),
    Probe("throttled", "1", _throttled(0x4)),
    Probe("soft_limit", "1", _throttled(0x8)),
    Probe("throttled_since_boot", "1", _throttled(0xF0000)),
    Probe("uptime", "s", _uptime),
)
