"""Causes: what the table says, how sure it is, and what a table of one's own must hold."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch.causes import BY_METRIC, Finding, built_in, name_cause, read_causes
from edgemesh.dispatch.evidence import strongest_first
from edgemesh.dispatch.triage import triage
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import AlertKind, Evidence
from tests.unit.dispatch.plant import alert, evidence

MACHINE = AlertKind.MACHINE
METRIC_OF = {
    "head": "head_residual", "balance": "current_residual", "winding": "winding_temperature", "phase": "current_l1",
    "unbalance": "current_unbalance", "slip": "belt_slip", "filter": "filter_dp", "separator": "separator_dp",
    "exchanger": "exchanger_dp", "transfer": "duty", "loaded": "loaded", "line": "line_pressure",
    "gas": "discharge_temperature", "oil": "oil_temperature", "face": "seal_temperature", "pot": "seal_pot_level",
    "travel": "valve_deviation", "terminal": "terminal_l1", "processor": "soc_temperature", "supply": "under_voltage",
    "disk": "disk_percent", "humidity": "humidity", "dew": "dew_margin", "door": "door_open", "cooling": "cooling",
    "air": "air_temperature", "suction": "suction_pressure", "discharge": "discharge_pressure", "flow": "flow",
    "hf": "vibration_acceleration", "vibration": "vibration_velocity", "bearing": "bearing_temperature",
    "current": "motor_current", "surge": "flow_scatter", "rattle": "vibration_scatter",
}  # fmt: skip
SIGNS = sorted(f"{channel}{way}" for channel in METRIC_OF for way in "+-")
FAULTS = {
    "inlet_valve_closing": ("inlet", "pump", "suction- discharge- flow- current- surge+ head- hf+ vibration+"),
    "strainer_clogging": ("inlet", "pump", "suction- discharge-"),
    "outlet_valve_closing": ("outlet", "pump", "flow- discharge+ current-"),
    "leak": ("leak", "pump", "balance+ head-"),
    "impeller_wear": ("impeller", "pump", "head- discharge- flow-"),
    "cavitation": ("cavitation", "pump", "head- surge+ discharge- current- flow- hf+ vibration+"),
    "bearing_wear": ("bearing", "pump", "hf+ bearing+ vibration+ rattle+"),
    "imbalance": ("mechanical", "pump", "vibration+ rattle+"),
    "misalignment": ("mechanical", "pump", "vibration+"),
    "looseness": ("looseness", "pump", "rattle+"),
    "phase_loss": ("phase", "pump", "phase- unbalance+ current+"),
    "winding_fault": ("winding", "pump", "balance+ unbalance+ winding+"),
    "motor_fouling": ("cooling", "pump", "winding+"),
    "reverse_rotation": ("reverse", "pump", "flow- discharge- current- surge+ head-"),
    "valve_stiction": ("valve", "tank", "travel+"),
    "sensor_drift": ("gauge", "pump", "discharge+"),
    "sensor_noise": ("meter", "pump", "surge+"),
    "air_leak": ("air_leak", "compressor", "loaded+"),
    "cooler_fouling": ("cooler", "compressor", "gas+"),
    "separator_clogging": ("separator", "compressor", "separator+"),
    "belt_slip": ("belt", "fan", "slip+ flow-"),
    "filter_clogging": ("filter", "fan", "flow- filter+"),
    "fan_imbalance": ("mechanical", "fan", "vibration+ rattle+"),
    "gear_wear": ("gears", "gearbox", "hf+ vibration+"),
    "oil_loss": ("oil", "gearbox", "oil+"),
    "seal_failure": ("seal", "pump", "pot- face+"),
    "gas_loss": ("refrigerant", "cold-room", "cooling+"),
    "door_open": ("door", "cold-room", "air+"),
    "bad_contact": ("contact", "cabinet", "terminal+"),
    "fan_failed": ("ventilation", "cabinet", "air+"),
    "water_ingress": ("damp", "cabinet", "humidity+ dew-"),
    "blocked_air": ("gateway_heat", "pi", "processor+"),
    "weak_supply": ("gateway_supply", "pi", "supply+"),
    "disk_filling": ("gateway_disk", "pi", "disk+"),
    "fouling": ("fouling", "exchanger", "exchanger+"),
}
"""Faults of the simulator: cause, class of the asset, and the signs that configs/rules.toml shows at full depth."""
TABLE = """
channel = [["*flow*", "flow"]]
metric = [["*flow*", "b"]]
kind = { machine = "b", sensor = "b", silent = "b", gateway = "b" }
[[cause]]
name = "a"
cause = "too little"
title = "Look at {asset}"
skills = { operator = 0.5 }
duration = "20min"
verify = "10min"
parts = ["hose"]
signs = [{ needs = ["flow-"] }]
[[cause]]
name = "b"
cause = "who knows"
title = "Look"
skills = {}
"""


def sign(text: str, score: float = 2.0) -> Evidence:
    up = text.endswith("+")
    return evidence(METRIC_OF[text[:-1]], 9.0 if up else 0.0, "< 1" if up else "> 1", score)


def test_every_row_names_its_own_cause() -> None:
    """Whatever order the signs of a row come in, the table names the row's cause."""
    for cause in built_in().cause:
        for row in cause.signs:
            shown = [sign(text) for text in row.needs]
            asset_class = cause.asset_class.strip("*") or "pump"
            orders = itertools.permutations(shown)
            assert {name_cause(MACHINE, order, asset_class).cause.name for order in orders} == {cause.name}, row


@pytest.mark.parametrize("fault", FAULTS)
def test_the_faults_of_the_simulator_are_named(fault: str) -> None:
    """The signs that a fault shows name its cause, with nothing left unexplained."""
    cause, asset_class, signs = FAULTS[fault]
    found = name_cause(MACHINE, [sign(text) for text in signs.split()], asset_class)
    assert found.cause.name == cause
    assert found.confidence in (0.5, 1.0)


def test_what_fits_does_not_change_the_cause_of_inlet_and_outlet() -> None:
    """Suction that falls is the inlet, discharge that rises is the outlet, whatever else goes with it."""
    for name in ("inlet", "outlet"):
        row = built_in().get(name).signs[0]
        for extra in row.fits:
            shown = [*(sign(text, 3.0) for text in row.needs), sign(extra, 1.0)]
            assert name_cause(MACHINE, shown, "pump").cause.name == name


@given(st.lists(st.tuples(st.sampled_from(SIGNS), st.floats(allow_nan=True, width=32)), max_size=24))
def test_any_evidence_has_a_cause_and_a_confidence(shown: list[tuple[str, float]]) -> None:
    """Whatever a detector sends, there is one cause of the table, and a confidence from 0 to 1."""
    together = strongest_first(tuple(sign(text, score) for text, score in shown)) or [evidence("mystery")]
    found = name_cause(MACHINE, together, "pump")
    assert found.cause in built_in().cause
    assert 0.0 <= found.confidence <= 1.0
    assert found.evidence in together


@given(st.floats(min_value=0.1, max_value=9.0), st.floats(min_value=0.01, max_value=0.99))
def test_what_speaks_against_it_costs_confidence(score: float, share: float) -> None:
    """The confidence is the share of the strength that the cause explains: all of it without a contradiction."""
    clear = name_cause(MACHINE, [sign("suction-", score)], "pump")
    doubtful = name_cause(MACHINE, [sign("suction-", score), sign("bearing+", score * share)], "pump")
    assert (clear.cause.name, clear.confidence) == ("inlet", 1.0)
    assert doubtful.cause.name == "inlet"
    assert doubtful.confidence == pytest.approx(1.0 / (1.0 + share), abs=1e-3)


def test_causes_that_explain_the_same_share_the_confidence() -> None:
    """Vibration of a gearbox may be its gears or its balance: the first is named, and half as sure."""
    shown = [sign("hf+"), sign("vibration+")]
    assert name_cause(MACHINE, shown, "gearbox") == Finding(built_in().get("gears"), 0.5, shown[0])
    assert name_cause(MACHINE, shown, "pump").cause.name == "mechanical"


def test_a_metric_alone_is_never_sure() -> None:
    """Where no signs are known, the strongest metric names the cause, worth half at most; else nobody knows."""
    lone = name_cause(MACHINE, [evidence("oil_level", value=None, normal="")], "gearbox")
    assert lone.confidence == BY_METRIC
    assert name_cause(MACHINE, [evidence("mystery", normal="")]).confidence == 0.0


def test_an_order_is_told_parts_and_times() -> None:
    """What the table knows of the work reaches its plan."""
    plan = triage(alert(sign("vibration+"), sign("bearing+")), Asset(id="P-101", asset_class="pump"))
    assert (plan.parts, plan.duration_s, plan.verify_s) == (("bearing", "shaft seal"), 6 * 3600.0, 40 * 60.0)
    assert plan.confidence == 1.0


def test_a_table_of_ones_own_is_taken() -> None:
    """Somebody else's table names somebody else's causes."""
    table = read_causes(TABLE)
    found = name_cause(MACHINE, [sign("flow-")], "pump", table)
    assert (found.cause.name, found.confidence, found.cause.parts) == ("a", 1.0, ("hose",))
    assert name_cause(MACHINE, [sign("flow+")], "pump", table).cause.name == "b"
    assert name_cause(AlertKind.SILENT, [sign("flow-")], "pump", table).cause.name == "b"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("channel =", "channel", "Expected '='"),
        ('["*flow*", "b"]', '["*flow*", "c"]', "no cause `c`"),
        ('machine = "b"', 'machine = "c"', "no cause `c`"),
        ('machine = "b", ', "", "says nothing of machine"),
        ('name = "b"', 'name = "a"', "same name"),
        ('["flow-"]', '["flaw-"]', "`flaw-`, which is of no `channel`"),
        ('["flow-"]', '["flow"]', "matching regex"),
        ('["flow-"]', '["flow-"], fits = ["flow-"]', "both needs `flow-`"),
        ("operator = 0.5", "operator = 1.5", "<= 1.0"),
        ('"20min"', '"20"', "duration with its unit"),
        ("title", "tilte", "tilte"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(old: str, new: str, problem: str) -> None:
    """Each mistake is named; nothing of such a table is used."""
    assert old in TABLE
    with pytest.raises(ValueError, match=problem):
        read_causes(TABLE.replace(old, new, 1))


def test_the_table_has_no_row_that_can_never_count() -> None:
    """Each channel of a sign is reached by some metric, and each cause by signs, a metric or a kind."""
    table = built_in()
    assert {name for _, name in table.channel if name} == METRIC_OF.keys()
    named = {name for _, name in table.metric} | set(table.kind.values())
    assert [cause.name for cause in table.cause if not cause.signs and cause.name not in named] == []
    with pytest.raises(KeyError):
        table.get("nobody")
    assert msgspec.structs.asdict(table.get("inlet"))["duration"] == 1200.0
