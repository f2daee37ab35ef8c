"""Compact models of rotating machines and vessels: fan, gearbox, compressor, mechanical seal, heat exchanger."""

import math

from firmware_sim.channels import Channel, Metrics
from firmware_sim.compact import CompactFault, Model, Scene


def _fan(scene: Scene) -> Metrics:
    """A belt-driven fan: slip slows it, its flow follows its speed and the filter."""
    slip, clog = 0.002 + 0.11 * scene.depths["belt_slip"], scene.depths["filter_clogging"]
    motor = 1480.0 * scene.wander("mains", 0.001, 10.0)
    share = (1.0 - slip) * (1.0 - 0.18 * clog)
    return {
        "motor_speed": motor,
        "speed": 0.7 * motor * (1.0 - slip),
        "filter_dp": 95.0 * (1.0 + 3.2 * clog) * (1.0 - slip) ** 2,
        "air_flow": 12_000.0 * share,
        "vibration_velocity": math.hypot(2.0, 10.0 * scene.depths["fan_imbalance"], 2.0 * scene.depths["belt_slip"]),
        "running": True,
    }


def _gearbox(scene: Scene) -> Metrics:
    """Oil heats up with load, wear roars at the gear mesh frequency."""
    wear, loss = scene.depths["gear_wear"], scene.depths["oil_loss"]
    target = scene.air_cel + 42.0 * scene.load + 35.0 * loss
    return {
        "oil_temperature": scene.lag("oil", target, 2400.0),
        "vibration_velocity": math.hypot(1.8, 4.0 * wear**3),
        "vibration_acceleration": math.hypot(0.9, 0.45 * (math.exp(3.2 * wear) - 1.0), 1.2 * loss),
        "running": True,
    }


def _compressor(scene: Scene) -> Metrics:
    """Line pressure swings between 6.5 and 7.5 bar; the machine runs loaded as long as the air that is used needs."""
    state = scene.state
    use = 0.55 * scene.load / 0.75 * scene.wander("use", 0.05, 120.0) + 0.5 * scene.depths["air_leak"]
    state["loaded"] = 1.0 if state["bar"] < 6.5 else 0.0 if state["bar"] > 7.5 else state["loaded"]
    state["bar"] = max(4.0, state["bar"] + 0.02 * (state["loaded"] - use) * scene.period_s)
    hot = 82.0 + 0.5 * (scene.air_cel - 22.0) + 4.0 * (state["loaded"] - 0.5) + 34.0 * scene.depths["cooler_fouling"]
    return {
        "line_pressure": state["bar"],
        "discharge_temperature": scene.lag("discharge", hot, 300.0),
        "separator_dp": (0.22 + 0.9 * scene.depths["separator_clogging"]) * (0.3 + 0.7 * state["loaded"]),
        "motor_current": 60.0 if state["loaded"] else 24.0,
        "loaded": state["loaded"] > 0.5,
        "running": True,
    }


def _seal(scene: Scene) -> Metrics:
    """A seal pot: its level falls as fluid is lost, the faces get hot."""
    depth = scene.depths["seal_failure"]
    return {
        "seal_temperature": scene.lag("seal", scene.air_cel + 24.0 + 26.0 * depth, 600.0),
        "seal_pot_level": 72.0 - 40.0 * depth,
        "running": True,
    }


def _exchanger(scene: Scene) -> Metrics:
    """Counter-flow, effectiveness by number of transfer units; fouling takes a share of UA."""
    foul = scene.depths["fouling"]
    hot_flow, cold_flow = 10.0 * scene.wander("hot", 0.02, 600.0), 12.0 * scene.wander("cold", 0.02, 600.0)
    hot, cold = 1.16 * hot_flow, 1.16 * cold_flow
    least, ratio = min(hot, cold), min(hot, cold) / max(hot, cold)
    units = 20.0 * (1.0 - 0.36 * foul) / least
    rest = math.exp(-units * (1.0 - ratio))
    share = (1.0 - rest) / (1.0 - ratio * rest) if ratio < 0.999 else units / (1.0 + units)
    hot_in, cold_in = 60.0 + 2.0 * (scene.load - 0.7), 14.0 + 0.3 * (scene.air_cel - 22.0)
    duty = share * least * (hot_in - cold_in)
    return {
        "hot_in_temperature": hot_in,
        "hot_out_temperature": scene.lag("hot out", hot_in - duty / hot, 120.0),
        "cold_in_temperature": cold_in,
        "cold_out_temperature": scene.lag("cold out", cold_in + duty / cold, 120.0),
        "cold_flow": cold_flow,
        "exchanger_dp": 0.3 * (cold_flow / 12.0) ** 2 * (1.0 + 1.3 * foul),
    }


def _cel(metric: str, noise: float, high: float = 150.0) -> Channel:
    return Channel(metric, "Cel", -40.0, high, noise, 0.0, 2, 2.0)


_VELOCITY = Channel("vibration_velocity", "mm/s", 0.0, 45.0, 0.0, 0.04, 3, 0.15)

MODELS = (
    Model(
        "fan", 5.0,
        (
            Channel("motor_speed", "/min", 0.0, 3600.0, 1.0, 0.0, 1, 15.0),
            Channel("speed", "/min", 0.0, 3600.0, 1.0, 0.0, 1, 15.0),
            Channel("filter_dp", "Pa", 0.0, 1000.0, 0.0, 0.02, 1, 10.0),
            Channel("air_flow", "m3/h", 0.0, 30_000.0, 0.0, 0.01, 0, 200.0),
            _VELOCITY,
        ),
        (
            CompactFault("belt_slip", 3600, "LOO 1.5", ("fitter",), "tension_belt", "fan slower than its motor"),
            CompactFault("filter_clogging", 18_000, "PLU", ("fitter",), "change_filter", "filter pressure, less air"),
            CompactFault("fan_imbalance", 600, "VIB 1.2", ("fitter", "vibration"), "balance", "velocity"),
        ),
        _fan,
    ),
    Model(
        "gearbox", 10.0,
        (
            _cel("oil_temperature", 0.2),
            _VELOCITY,
            Channel("vibration_acceleration", "[g]", 0.0, 50.0, 0.0, 0.06, 4, 0.1),
        ),
        (
            CompactFault("gear_wear", 18_000, "VIB 2.4", ("fitter",), "replace_gear", "acceleration, then velocity"),
            CompactFault("oil_loss", 3600, "OHE 2.4", ("lubrication",), "fill_oil", "oil hot, acceleration"),
        ),
        _gearbox,
    ),
    Model(
        "compressor", 5.0,
        (
            Channel("line_pressure", "bar", 0.0, 16.0, 0.01, 0.0, 3, 0.2),
            _cel("discharge_temperature", 0.3),
            Channel("separator_dp", "bar", 0.0, 2.0, 0.005, 0.0, 3, 0.05),
            Channel("motor_current", "A", 0.0, 200.0, 0.0, 0.01, 1, 3.0),
        ),
        (
            CompactFault("air_leak", 3600, "ELP", ("fitter",), "seal_leak", "never unloads"),
            CompactFault("cooler_fouling", 18_000, "OHE", ("fitter",), "clean_cooler", "discharge hot"),
            CompactFault("separator_clogging", 18_000, "PLU", ("fitter",), "change_separator", "separator pressure"),
        ),
        _compressor,
        {"bar": 7.0, "loaded": 1.0},
    ),
    Model(
        "seal", 5.0, (_cel("seal_temperature", 0.2), Channel("seal_pot_level", "%", 0.0, 100.0, 0.3, 0.0, 1, 2.0)),
        (CompactFault("seal_failure", 1800, "ELP 1.1", ("fitter",), "replace_seal", "seal hot, pot empties"),),
        _seal,
    ),
    Model(
        "exchanger", 60.0,
        (
            _cel("hot_in_temperature", 0.1),
            _cel("hot_out_temperature", 0.1),
            _cel("cold_in_temperature", 0.1),
            _cel("cold_out_temperature", 0.1),
            Channel("cold_flow", "m3/h", 0.0, 50.0, 0.0, 0.006, 2, 0.5),
            Channel("exchanger_dp", "bar", 0.0, 2.0, 0.003, 0.0, 3, 0.05),
        ),
        (CompactFault("fouling", 86_400, "IHT", ("fitter",), "clean_exchanger", "transfers less, pressure drop"),),
        _exchanger,
    ),
)  # fmt: skip
