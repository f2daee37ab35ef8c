"""The hall on MQTT: steps it in wall time, publishes what its devices say, obeys injections and repairs."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from firmware_sim.broker import Broker, Watch
from firmware_sim.channels import Metrics
from firmware_sim.firmware import message
from firmware_sim.hall import Hall, UnknownTarget
from firmware_sim.link import Lane, Link
from firmware_sim.pacing import ticks
from firmware_sim.scenario import Scenario

log = logging.getLogger("firmware_sim")

LANES = 16
"""Most lanes for telemetry: that many devices may wait for the broker at once."""
BACKLOG = 200
"""Samples that a lane holds back for a slow broker before it drops the oldest."""


class Stage:
    """A hall that plays in wall time.

    Every `period_s` seconds it moves `steps` simulated seconds and publishes the last of them. `ramp_s` (wall
    seconds) overrides the time that faults take to full depth.
    """

    def __init__(
        self,
        hall: Hall,
        site: str,
        broker: Broker,
        watch: Watch,
        *,
        period_s: float = 0.1,
        steps: int = 1,
        scenario: Scenario | None = None,
        ramp_s: float | None = None,
    ) -> None:
        self._hall, self._site, self._scenario, self._ramp_s = hall, site, scenario, ramp_s
        self._period_s, self._steps = period_s, steps
        self._lanes = [Lane(limit=BACKLOG) for _ in range(min(LANES, len(hall.devices)))]
        self._lane_of = {device: self._lanes[crc32(device.encode()) % len(self._lanes)] for device in hall.devices}
        self._truth = Lane(durable=True)
        self._link = Link(
            broker,
            f"{site}-hall",
            watch,
            [*self._lanes, self._truth],
            topics=(f"firmware-sim/{site}/inject", f"firmware-sim/{site}/repair"),
            on_message=self._hear,
        )

    @property
    def dropped(self) -> int:
        """Samples that were never published, because the broker was away or too slow."""
        return sum(lane.dropped for lane in self._lanes)

    @property
    def sent(self) -> int:
        """Samples that the broker has acknowledged."""
        return sum(lane.sent for lane in self._lanes)

    async def connect(self) -> None:
        """Keeps the connection up until cancelled."""
        await self._link.run()

    async def play(self) -> None:
        """Moves the hall until cancelled, connected or not."""
        async for elapsed_s in ticks(self._period_s):
            if self._scenario is not None:
                injection = self._scenario.due(elapsed_s, self._hall.healthy())
                if injection is not None:
                    self._hall.inject(injection.fault, injection.asset, ramp_s=self._sim_ramp_s(self._ramp_s))
            samples: dict[str, Metrics] = {}
            for _ in range(self._steps):
                samples = self._hall.step()
            self._publish(samples)
            self._tell()

    def _sim_ramp_s(self, wall_s: float | None) -> float | None:
        return None if wall_s is None else wall_s * self._steps / self._period_s

    def _publish(self, samples: Mapping[str, Metrics]) -> None:
        at_ns = time.time_ns()
        devices = self._hall.devices
        for device, metrics in samples.items():
            self._lane_of[device].put(*message(devices[device].kind, device, metrics, at_ns))

    def _tell(self) -> None:
        """Publishes what became true of the faults since the last call."""
        for event in self._hall.take_events():
            body = {
                "event": event.event,
                "fault": event.fault,
                "asset": event.asset,
                "device": event.device,
                "metric": event.metric,
                "at_ns": time.time_ns(),
                "id": event.id,
            }
            self._truth.put(f"firmware-sim/{self._site}/truth", _encode(body))
            log.info("%s: %s %s", event.asset, event.fault, event.event)

    def _hear(self, topic: str, payload: bytes) -> None:
        """An injection or a repair; what makes no sense is said once and ignored."""
        try:
            body = json.loads(payload)
            if not isinstance(body, dict):
                raise UnknownTarget("no JSON object")
            if topic.endswith("/inject"):
                self._inject(body)
            else:
                self._repair(body)
        except (ValueError, RecursionError) as error:
            log.warning("ignored a message on %s: %s", topic, error)
        self._tell()

    def _inject(self, body: dict[str, Any]) -> None:
        ramp_s = body.get("ramp_s", self._ramp_s)
        if ramp_s is not None and (isinstance(ramp_s, bool) or not isinstance(ramp_s, int | float)):
            raise UnknownTarget("ramp_s is no number")
        self._hall.inject(
            str(body.get("fault")),
            str(body.get("asset")),
            device=_optional(body, "device"),
            metric=_optional(body, "metric"),
            ramp_s=self._sim_ramp_s(ramp_s),
        )

    def _repair(self, body: dict[str, Any]) -> None:
        skills = body.get("skills")
        if not isinstance(skills, list | dict):
            raise UnknownTarget("skills is neither a list nor an object")
        asset = str(body.get("asset"))
        reply: dict[str, object] = {
            "asset": asset,
            "executor": _optional(body, "executor"),
            "order": _optional(body, "order"),
        }
        try:
            repair = self._hall.repair(asset, [str(skill) for skill in skills], _optional(body, "action"))
        except UnknownTarget as error:
            reply |= {"fits": True, "mended": [], "left": [], "note": str(error)}
        else:
            reply |= {"fits": repair.fits, "mended": repair.mended, "left": repair.left, "note": repair.note}
            reply["verdict"] = repair.verdict
        self._truth.put(f"firmware-sim/{self._site}/repaired", _encode(reply))


def _optional(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    return None if value is None else str(value)


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
