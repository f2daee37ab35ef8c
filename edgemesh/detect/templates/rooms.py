"""Cold rooms, electrical cabinets, and the gateways themselves."""

from __future__ import annotations

from typing import Any

from edgemesh.detect.templates.form import PRACTICE, Of, Parameter, Row, Stage, Template, Values, of

_SPOIL = "What is stored spoils and has to be thrown away."
_DOOR = "Close the door; check defrost, evaporator fan and compressor; move the goods if it lasts."


def _hold(values: Values) -> Values:
    return {"patience": f"{of(values, 'hold_min'):g}min"}


_COOLING = Row(
    "cooling duty", "cooling", "above", "{asset} cools for {value} of its time",
    "Refrigerant is lost or the evaporator is iced: soon the room gets warm.",
    "Call refrigeration before the temperature says so; check ice, fans and gas.", PRACTICE,
    warning=Stage(0.85, "30min"), critical=Stage(0.97, "1h"), clear=0.75, clear_hold="30min", more={"smooth": "1h"},
)  # fmt: skip
_PATIENCE = Parameter(
    "hold_min", "minutes that door or defrost may disturb; 15 without them", 45.0, least=0.0, most=240.0
)


def _warm(warning: float, critical: float, clear: float, source: str) -> Row:
    return Row(
        "too warm", "air_temperature", "above", "{asset} at {value} {unit}, limit {level}", _SPOIL, _DOOR, source,
        warning=Stage(warning, "patience"), critical=Stage(critical, "60min"), clear=Of("level", 1.0, clear),
        clear_hold="10min",
    )  # fmt: skip


_MEDICINE = (
    Row(
        "too warm", "air_temperature", "above", "{asset} at {value} {unit}, limit {level}", _SPOIL, _DOOR,
        "WHO guides, from secondary copies", warning=Stage(7.5, "patience"), critical=Stage(8.0, "patience"), clear=7.0,
        clear_hold="30min",
    ),
    Row(
        "too cold", "air_temperature", "below", "{asset} at {value} {unit}, limit {level}",
        "Vaccines lose their effect when they freeze.", "Raise the thermostat; separate and test what may have frozen.",
        "WHO guides, from secondary copies", warning=Stage(2.5, "15min"), critical=Stage(2.0, "30min"), clear=3.0,
        clear_hold="30min",
    ),
    Row(
        "freezing", "air_temperature", "below", "{asset} at {value} {unit}: freezing",
        "Vaccines lose their effect when they freeze.", "Move the goods now; mark them as suspect.",
        "WHO guides, from secondary copies", critical=Stage(0.0, "5min"), clear=1.0, clear_hold="30min",
    ),
    _COOLING,
)  # fmt: skip


def _cabinet_channels(_: Values) -> tuple[dict[str, Any], ...]:
    terminals = ["terminal_l1", "terminal_l2", "terminal_l3"]
    rises = tuple(
        {"kind": "difference", "metric": f"terminal_rise_l{k}", "of": name, "less": "air_temperature"}
        for k, name in enumerate(terminals, 1)
    )
    return (
        {"kind": "span", "metric": "terminal_span", "of": terminals},
        *rises,
        {"kind": "dew_margin"},
    )


_NETA = "NETA MTS bands for infrared, from secondary copies"
_CABINET = (
    Row(
        "terminal hotter than the others", "terminal_span", "above",
        "terminals of {asset} differ by {value} {unit}, limit {level}", "A bad contact: it burns off or starts a fire.",
        "Tighten and clean the contact with the power off: when possible at warning, at once at critical.",
        _NETA, warning=Stage(4.0, "10min"), critical=Stage(15.0, "2min"), clear=Of("level", 1.0, -1.0),
        clear_hold="10min",
    ),
    Row(
        "terminal rise", "terminal_rise_l[123]", "above",
        "terminal of {asset} {value} {unit} above the air, limit {level}",
        "A bad contact or an overload: insulation ages, at worst a fire.", "Measure the load; tighten the contact.",
        _NETA, warning=Stage(Of("rise"), "10min"), critical=Stage(Of("rise", 2.0), "2min"),
        clear=Of("level", 1.0, -2.0), clear_hold="10min",
    ),
    Row(
        "cabinet hot", "air_temperature", "above", "air in {asset} at {value} {unit}, limit {level}",
        "Electronics age fast and fail.", "Clean filter and fan; close the door of the heat source.", PRACTICE,
        warning=Stage(45.0, "10min"), critical=Stage(55.0, "5min"), clear=Of("level", 1.0, -3.0), clear_hold="10min",
    ),
    Row(
        "cabinet damp", "humidity", "above", "air in {asset} at {value} {unit}, limit {level}", "Contacts corrode.",
        "Close door and glands; check the heater.", PRACTICE, warning=Stage(70.0, "10min"), clear=65.0,
        clear_hold="10min",
    ),
    Row(
        "condensation", "dew_margin", "below", "{asset} is {value} {unit} from its dew point",
        "Water on live parts: a short circuit.", "Heat the cabinet now; find where the damp comes from.", PRACTICE,
        critical=Stage(2.0, "5min"), clear=3.0, clear_hold="10min",
    ),
)  # fmt: skip

_BOARD = "Raspberry Pi documentation"
_PI = (
    Row(
        "processor hot", "soc_temperature", "above", "{asset} at {value} {unit}, limit {level}",
        "The firmware slows the gateway down from 80 Cel.", "Clear its air; add a heat sink or a fan.", _BOARD,
        warning=Stage(70.0, "5min"), critical=Stage(80.0, "60s"), clear=Of("level", 1.0, -5.0), clear_hold="5min",
    ),
    Row(
        "under-voltage", "under_voltage", "above", "{asset} gets too little voltage",
        "It may stop, and its card may be damaged.", "Change the power supply or its cable.", _BOARD,
        critical=Stage(0.5, "0s"), clear=0.5, clear_hold="10min",
    ),
    Row(
        "throttled", "throttled", "above", "{asset} is slowed down by its firmware", "Readings and rules come late.",
        "Cool it; check its power supply.", _BOARD, critical=Stage(0.5, "0s"), clear=0.5, clear_hold="10min",
    ),
    Row(
        "was throttled", "throttled_since_boot", "above", "{asset} was slowed down or short of voltage since its start",
        "It will happen again at the next load or the next hot day.",
        "Check power supply and cooling; restart it then.",
        _BOARD, warning=Stage(0.5, "0s"), clear=0.5,
    ),
    Row(
        "disk full", "disk_percent", "above", "disk of {asset} {value} {unit} full, limit {level}",
        "When it is full the oldest readings go.", "Free space; see what wrote it.", PRACTICE,
        warning=Stage(80.0, "10min"), critical=Stage(95.0, "60s"), clear=Of("level", 1.0, -5.0), clear_hold="60s",
    ),
    Row(
        "many writes", "written_gb_per_day", "above", "{asset} writes {value} {unit}, limit {level}",
        "A consumer card is worn out within months.", "Set a write budget; use an industrial card or an SSD.", PRACTICE,
        warning=Stage(20.0, "1h"), critical=Stage(100.0, "1h"), clear=Of("level", 0.8), clear_hold="1h",
    ),
    Row(
        "clock ahead", "clock_offset", "above", "clock of {asset} {value} {unit} ahead", "Times of readings are wrong.",
        "Check the time server and the network.", PRACTICE, warning=Stage(0.5, "10min"), critical=Stage(5.0, "60s"),
        clear=0.1, clear_hold="10min",
    ),
    Row(
        "clock behind", "clock_offset", "below", "clock of {asset} {value} {unit} behind",
        "Times of readings are wrong.",
        "Check the time server and the network.", PRACTICE, warning=Stage(-0.5, "10min"), critical=Stage(-5.0, "60s"),
        clear=-0.1, clear_hold="10min",
    ),
)  # fmt: skip

_DEVICE = (
    Row(
        "device silent", "*", "periods", "", "Nobody watches this asset.",
        "Check power, network and the device itself.",
        PRACTICE, kind="silent", warning=Stage(3.0, ""), critical=Stage(10.0, ""),
    ),
    Row(
        "sensor stuck", "*", "samples", "", "The value is not to be believed; what it hides is not seen.",
        "Check wiring and sensor; replace it.", PRACTICE, kind="stuck", warning=Stage(60.0, ""), gate_for="30s",
    ),
    Row(
        "sensor gone", "*", "", "{metric} says {value}, which means that there is no sensor",
        "The value is not to be believed; what it hides is not seen.", "Check wiring and sensor; replace it.",
        "Modbus practice; DS18B20 notes", kind="range", warning=Stage(0.0, "5s"),
    ),
)  # fmt: skip

TEMPLATES = (
    Template("cold-room-medicine", "cold-room", "Cold room for medicine, 2 to 8 Cel", _MEDICINE, (_PATIENCE,), _hold),
    Template(
        "cold-room-chilled", "cold-room", "Cold room for chilled food",
        (_warm(5.0, 8.0, -1.0, "HACCP practice, from memory"), _COOLING), (_PATIENCE,), _hold,
        notes="The thermostat has to stay well below 5 Cel.",
    ),
    Template(
        "cold-room-frozen", "cold-room", "Freezer for food",
        (_warm(-18.0, -15.0, -1.0, "HACCP practice, from memory"), _COOLING), (_PATIENCE,), _hold,
    ),
    Template(
        "cabinet-thermal", "cabinet", "Electrical cabinet: contacts, air, damp", _CABINET,
        (Parameter("rise", "of a terminal over the air that is a warning, K", 21.0, least=1.0, most=100.0),),
        channels=_cabinet_channels,
        notes="A contact sensor at full load runs 10-30 K warm: choose `rise` by what is normal there.",
    ),
    Template("pi-health", "pi", "Raspberry Pi gateway, as the driver `host` sees it", _PI),
    Template(
        "device-health", "*", "Devices that are silent, stuck or gone", _DEVICE,
        notes="A stopped machine stands still: for those with a `running`, use it with `gate` before the general one.",
        gate="",
    ),
)  # fmt: skip
