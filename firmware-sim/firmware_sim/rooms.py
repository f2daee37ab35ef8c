"""Compact models of rooms and boxes: cold room, electrical cabinet, gateway."""

import math

from firmware_sim.channels import Channel, Metrics
from firmware_sim.compact import CompactFault, Model, Scene

_DEFROST_EVERY_S, _DEFROST_S = 6 * 3600.0, 480.0


def _cold_room(scene: Scene) -> Metrics:
    """Thermostat 3 to 5 Cel, four defrosts a day, doors opened in shift; gas loss weakens the cooling."""
    state, room = scene.state, scene.state["room"]
    defrosts = scene.second % _DEFROST_EVERY_S < _DEFROST_S
    state["on"] = 1.0 if room > 5.0 else 0.0 if room < 3.0 else state["on"]
    on = bool(state["on"]) and not defrosts
    opened = scene.in_shift and scene.rng.random() < 0.04
    outside = scene.air_cel - room
    door_s = 20.0 if opened else 0.0
    door_s = scene.period_s if scene.depths["door_open"] > 0.0 else door_s
    warmer = outside / 4000.0 * scene.period_s + outside / 900.0 * door_s
    state["room"] = (
        room + warmer - (0.6 / 60.0 * (1.0 - 0.55 * scene.depths["gas_loss"]) * scene.period_s if on else 0.0)
    )
    return {
        "air_temperature": scene.lag("air seen", state["room"], 120.0),
        "humidity": 85.0 + (5.0 if door_s else 0.0),
        "compressor_current": 8.0 if on else 0.2,
        "cooling": on,
        "door_open": door_s > 0.0,
    }


def _dew_share(air_cel: float, dew_cel: float) -> float:
    """Relative humidity (%) of air with this dew point; Magnus formula."""
    return 100.0 * math.exp(17.62 * dew_cel / (243.12 + dew_cel) - 17.62 * air_cel / (243.12 + air_cel))


def _cabinet(scene: Scene) -> Metrics:
    """Terminals heat up with the square of the load; a bad contact adds to one, a dead fan to all."""
    heat, depths = scene.load**2, scene.depths
    inside = scene.lag("inside", scene.air_cel + 5.0 + 5.0 * heat + 26.0 * depths["fan_failed"], 1800.0)
    dew = min(inside - 0.5, 14.0 * scene.wander("dew", 0.05, 7200.0) + 19.0 * depths["water_ingress"])
    rises = (16.0, 16.6, 15.5 + 45.0 * depths["bad_contact"])
    terminals = {f"terminal_l{k}": scene.lag(f"l{k}", inside + rise * heat, 600.0) for k, rise in enumerate(rises, 1)}
    currents = {f"current_l{k}": 100.0 * scene.load * share for k, share in enumerate((1.0, 1.02, 0.98), 1)}
    return {"air_temperature": inside, "humidity": _dew_share(inside, dew), **terminals, **currents}


def _gateway(scene: Scene) -> Metrics:
    """A Raspberry Pi: its processor follows air and load; logs fill its disk."""
    hot = scene.air_cel + 22.0 + 12.0 * scene.load + 36.0 * scene.depths["blocked_air"]
    soc = scene.lag("soc", hot, 120.0)
    short = scene.depths["weak_supply"] > 0.0 and scene.rng.random() < 0.2
    return {
        "soc_temperature": soc,
        "disk_percent": 35.0 + 0.5 * math.sin(scene.second / 43_200.0) + 62.0 * scene.depths["disk_filling"],
        "under_voltage": short,
        "throttled": soc > 82.0,
    }


def _cel(metric: str, noise: float) -> Channel:
    return Channel(metric, "Cel", -40.0, 150.0, noise, 0.0, 2, 2.0)


MODELS = (
    Model(
        "cold-room", 60.0,
        (
            _cel("air_temperature", 0.1),
            Channel("humidity", "%", 0.0, 100.0, 1.0, 0.0, 1, 5.0),
            Channel("compressor_current", "A", 0.0, 30.0, 0.05, 0.01, 2, 1.0),
        ),
        (
            CompactFault("gas_loss", 7200, "LOO", ("refrigeration",), "refill", "cools longer, then gets warm"),
            CompactFault("door_open", 0, "OTH 5", ("operator",), "close_door", "gets warm"),
        ),
        _cold_room,
        {"room": 4.0, "on": 0.0},
    ),
    Model(
        "cabinet", 30.0,
        (
            _cel("air_temperature", 0.2),
            Channel("humidity", "%", 0.0, 100.0, 1.0, 0.0, 1, 5.0),
            *(_cel(f"terminal_l{k}", 0.2) for k in (1, 2, 3)),
            *(Channel(f"current_l{k}", "A", 0.0, 250.0, 0.0, 0.005, 1, 5.0) for k in (1, 2, 3)),
        ),
        (
            CompactFault("bad_contact", 18_000, "OHE 4.2", ("electrician",), "tighten_contact", "one terminal hot"),
            CompactFault("fan_failed", 0, "OHE", ("electrician",), "replace_fan", "air in the cabinet hot"),
            CompactFault("water_ingress", 7200, "OTH 5", ("electrician",), "seal_cabinet", "damp, then condensation"),
        ),
        _cabinet,
    ),
    Model(
        "pi", 10.0,
        (_cel("soc_temperature", 0.5), Channel("disk_percent", "%", 0.0, 100.0, 0.02, 0.0, 2, 1.0)),
        (
            CompactFault("blocked_air", 3600, "OHE", ("automation",), "clear_air", "processor hot, throttled"),
            CompactFault("weak_supply", 0, "OTH 4.4", ("automation",), "replace_supply", "under-voltage"),
            CompactFault("disk_filling", 36_000, "OTH", ("automation",), "free_disk", "disk fills"),
        ),
        _gateway,
    ),
)  # fmt: skip
