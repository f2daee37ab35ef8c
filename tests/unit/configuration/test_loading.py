"""Loading a configuration: right files load, wrong ones say where and what would be right, secrets stay secret."""

from __future__ import annotations

import copy
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.bus.address import parse_addresses
from edgemesh.configuration.loading import Configuration, load
from edgemesh.configuration.settings import PlantSettings
from edgemesh.errors import ConfigError
from edgemesh.model.agents import Role

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
SECRET = "hunter2-very-secret"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration with `[site] id = "s"` and these lines."""

    def make(text: str, *, site: str = 'id = "s"') -> Path:
        file = tmp_path / "my.toml"
        file.write_text(f"[site]\n{site}\n{text}\n")
        return file

    return make


def problem(file: Path, environment: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file, environment=environment or {})
    return caught.value


# -- what is shipped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.name))
def test_every_shipped_configuration_loads(file: Path) -> None:
    """Each file in configs/ can be used as it is, with an empty environment, and teaches: it has comments."""
    configuration = load(file, environment={})
    assert configuration.settings.agents()
    assert set(configuration.drivers) == {gateway.id for gateway in configuration.settings.gateway}
    lines = file.read_text().splitlines()
    assert sum("#" in line for line in lines) >= 3


def test_there_are_configurations_to_copy() -> None:
    """The four that the documentation names."""
    assert {"demo.toml", "factory.toml", "gateway.toml", "skab.toml"} <= {file.name for file in CONFIGS}


def test_the_documentation_names_every_section() -> None:
    """docs/configuration.md has a row for each section that a file may have, and names no other."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = "\n".join(line for line in text.splitlines() if line.startswith("| `["))
    named = {name.split(".")[0] for name in re.findall(r"`\[+([a-z_.]+)\]+`", rows)}
    assert named == set(PlantSettings.__struct_fields__)


# -- unknown, missing, of the wrong type --------------------------------------------------------------------------

GATEWAY = '[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "mqtt_json"\ntopic = "a/{device}"\n'
RULE = '[[detection.rule]]\nkind = "limit"\nmetric = "flow"\nbelow = 1.0\n'


@pytest.mark.parametrize(
    ("text", "path", "wish"),
    [
        ("[detektor]", "detektor", "detector"),
        ('[recorder]\nkeep_row = "1h"', "recorder.keep_row", "keep_raw"),
        ('[[asset]]\nid = "a"\ncritical = "A"', "asset[0].critical", "criticality"),
        ('[[asset]]\nid = "a"\n[[asset]]\nid = "b"\nklass = "pump"', "asset[1].klass", "class"),
        (RULE + 'holt = "1s"', "detection.rule[0].holt", "hold"),
        (RULE + RULE + "claer = 2.0", "detection.rule[1].claer", "clear"),
        ('[[detection.rule]]\nkind = "silent"\naftr = "1s"', "detection.rule[0].aftr", "after"),
        ("[[detection.model]]\nmachine = { trian_rows = 100 }", "detection.model[0].machine.trian_rows", "train_rows"),
        ('[dispatch]\nanswer_in = "1s"', "dispatch.answer_in", "answer_within"),
        ('[[dispatch.triage]]\ntitle = "x"\nskills = {}\nkinds = "machine"', "dispatch.triage[0].kinds", "kind"),
        (GATEWAY + 'topik = "x"', "gateway[0].driver[0].topik", "topic"),
        (
            GATEWAY + '[gateway.driver.metrics]\nflow = { path = "f", units = "bar" }',
            "gateway[0].driver[0].metrics[...].units",
            "unit",
        ),
        (
            '[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "host"\nperoid = "1s"',
            "gateway[0].driver[0].peroid",
            "period",
        ),
        (
            '[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "replay"\nspead = 1',
            "gateway[0].driver[0].spead",
            "speed",
        ),
        ('[outbox]\nbuget = "1GB"', "outbox.buget", "budget"),
    ],
)
def test_an_unknown_key_gives_file_path_and_the_nearest_name(write: Write, text: str, path: str, wish: str) -> None:
    """A misspelt key at any depth, also in a driver's table or a rule, is refused with what was probably meant."""
    file = write(text)
    error = problem(file)
    assert error.file == str(file)
    assert error.path == path
    assert f"did you mean `{wish}`?" in error.wish


def test_a_key_that_is_like_nothing_lists_what_there_is(write: Write) -> None:
    """Where no name is near, all of them are listed."""
    error = problem(write("[outbox]\nxyzzy = 1"))
    assert "budget, hold, keep" in error.wish


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[asset]]\nclass = "pump"', "asset[0].id: is missing"),
        ('[[gateway]]\nid = "g"\n[[gateway.driver]]\ntopic = "a"', "gateway[0].driver[0].type: is missing"),
        ('[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "mqtt_json"', "gateway[0].driver[0].topic: is missing"),
        ('[[asset]]\nid = "a/b"', "asset[0].id"),
        ('[[asset]]\nid = "a"\ncriticality = "D"', "asset[0].criticality"),
        ("[console]\nport = 70000", "console.port"),
        ('[console]\nport = "80"', "console.port: expected `int`, got `str`"),
        ("[detector]\nagents = []", "detector.agents"),
        ("[outbox]\nwindow = 0", "outbox.window"),
        ('[[detection.rule]]\nkind = "limits"', "detection.rule[0].kind"),
        ('[[detection.rule]]\nkind = "limit"\nmetric = "m"', "a limit needs either `above` or `below`"),
        (RULE + "above = 2.0", "a limit needs either `above` or `below`"),
        (RULE.replace("1.0", "nan"), "finite"),
        (RULE + 'cause = "{nonsense}"', "placeholders"),
        ('[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "mqtt_jsn"', "did you mean 'mqtt_json'?"),
        ('[dispatch]\nanswer_within = "0s"', "longer than nothing"),
    ],
)
def test_wrong_values_say_where_and_what(write: Write, text: str, said: str) -> None:
    """A missing key, a wrong type, a value out of range or without sense is refused with its path."""
    file = write(text)
    message = str(problem(file))
    assert message.startswith(str(file))
    assert said in message


@pytest.mark.parametrize(
    "text", ["5", "5.0", '"5"', '"5 m"', '"5 sec"', '"-1s"', '"1 s 2"', '""', '"1e3s"', '"inf s"', '"5MB"']
)
def test_a_duration_without_its_unit_is_refused(write: Write, text: str) -> None:
    """A bare number could be anything: the error shows how durations are written."""
    message = str(problem(write(f"[outbox]\nkeep = {text}")))
    assert "outbox.keep" in message
    assert '"250ms"' in message


@pytest.mark.parametrize("text", ["5", '"5"', '"5 mb"', '"-1B"', '"5s"', '"1TB"'])
def test_a_size_without_its_unit_is_refused(write: Write, text: str) -> None:
    """The same for sizes."""
    message = str(problem(write(f"[outbox]\nbudget = {text}")))
    assert "outbox.budget" in message
    assert '"64KiB"' in message


def test_durations_and_sizes_with_their_units(write: Write) -> None:
    """What the units mean, in seconds and bytes."""
    for text, seconds in (("250ms", 0.25), ("3s", 3.0), ("10min", 600.0), ("6h", 21_600.0), ("30d", 2_592_000.0)):
        assert load(write(f'[outbox]\nkeep = "{text}"\n[registry]')).settings.outbox.keep == seconds
    for text, size in (("64KiB", 65_536), ("1.5MB", 1_500_000), ("2GB", 2 * 10**9), ("7B", 7)):
        assert load(write(f'[outbox]\nbudget = "{text}"\n[registry]')).settings.outbox.budget == size


@pytest.mark.parametrize("text", ['"' + "9" * 400 + 's"', '"' + "9" * 400 + 'GB"', '"' + "9" * 300 + 'd"'])
def test_an_absurd_amount_is_a_clear_error(write: Write, text: str) -> None:
    """A number beyond all measure is refused like any other wrong one."""
    key = "budget" if "GB" in text else "keep"
    assert f"outbox.{key}" in str(problem(write(f"[outbox]\n{key} = {text}")))


# -- the file -----------------------------------------------------------------------------------------------------


def test_wrong_toml_gives_the_line(tmp_path: Path) -> None:
    """What is not TOML is refused with file, line and column."""
    file = tmp_path / "my.toml"
    file.write_text('[site]\nid = "s"\nbroker = \n')
    message = str(problem(file))
    assert message.startswith(f"{file}: is not TOML")
    assert "line 3" in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No file, a folder, bytes that are no text, and a file far too large are one clear line each."""
    assert "no such file" in str(problem(tmp_path / "none.toml"))
    assert "can't be read" in str(problem(tmp_path))
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe[site]")
    assert "can't be read" in str(problem(tmp_path / "a.toml"))
    (tmp_path / "b.toml").write_text("#" * 1_000_001)
    assert "larger than 1 MB" in str(problem(tmp_path / "b.toml"))


# -- names and what belongs together ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[gateway]]\nid = "a"\n[[gateway]]\nid = "a"', "two agents are called `a`"),
        ('[scheduler]\nagent = "x"\n[recorder]\nagent = "x"', "two agents are called `x`"),
        ('[detector]\nagents = ["d", "d"]\n[registry]', "two agents are called `d`"),
        ('[[asset]]\nid = "p"\n[[asset]]\nid = "p"', "two assets are called `p`"),
        ('[[gateway]]\nid = "a"\n[detector]', "registry: is missing"),
    ],
)
def test_parts_that_do_not_fit_together(write: Write, text: str, said: str) -> None:
    """Two agents or assets with one name, and detectors that nobody would give a gateway to, are refused."""
    assert said in str(problem(write(text)))


@pytest.mark.parametrize(
    "broker",
    [
        "tcp://h",
        "mqtt://",
        "localhost:1883",
        "",
        "mqtt://h:0",
        "mqtt://h:99999",
        "mqtt://h/x",
        "mqtt://a b",
        "mqtt://h,,mqtt://i",
        "embeded",
    ],
)
def test_a_bad_broker_address_is_refused_at_the_check(write: Write, broker: str) -> None:
    """An address that can't be one is an error of the file, not a surprise at run time."""
    error = problem(write("[registry]", site=f'id = "s"\nbroker = "{broker}"'))
    assert error.path == "site.broker"
    assert '"embedded"' in error.wish


# -- variables and secrets ----------------------------------------------------------------------------------------


def test_variables_are_filled_in(write: Write) -> None:
    """`${NAME}` and `${NAME:-default}` in any text, also inside of one; a set but empty variable counts."""
    file = write('[registry]\nagent = "${A}-${B:-two}-${C:-three}"', site='id = "s"\ndata = "${D:-}/x"')
    configuration = load(file, environment={"A": "one", "C": "3"})
    assert configuration.settings.registry is not None
    assert configuration.settings.registry.agent == "one-two-3"
    assert configuration.data == Path("/x")


def test_a_missing_variable_is_named(write: Write) -> None:
    """The error says which variable, where, and how to give a default."""
    error = problem(write('[[asset]]\nid = "a"\n[[asset]]\nid = "${WHO}"'))
    assert error.path == "asset[1].id"
    assert "WHO is not set" in error.problem
    assert "${WHO:-default}" in error.wish


@pytest.mark.parametrize(
    "broker",
    [
        "mqtt://user:${PW}@host:notaport",
        "mqtt://user:${PW}@",
        "tcp://user:${PW}@host",
        "mqtt://user:${PW}@host:99999",
        "mqtt://:${PW}@host",
        "mqtt://user:${PW}@host/path",
        "mqtt://user:${PW}/x@host",
        "mqtt://user:${PW}@ho st",
    ],
)
def test_secrets_are_in_no_error(write: Write, broker: str) -> None:
    """A wrong address with a password is refused without the password in text, repr or fields of the error."""
    error = problem(write("[registry]", site=f'id = "s"\nbroker = "{broker}"'), {"PW": SECRET})
    seen: BaseException | None = error
    while seen is not None:
        assert SECRET not in f"{seen} {seen!r} {vars(seen)}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def test_secrets_are_in_no_error_of_other_keys(write: Write) -> None:
    """Whatever else is wrong in the file, the password of the broker is not in its error."""
    for wrong in ("[detektor]", "[outbox]\nwindow = 0", '[[asset]]\nid = "a"\n[[asset]]\nid = "a"'):
        error = problem(write(wrong, site='id = "s"\nbroker = "mqtt://u:${PW}@h"'), {"PW": SECRET})
        assert SECRET not in f"{error!r} {error}"


def test_secrets_are_not_in_a_repr(write: Write) -> None:
    """Neither a loaded configuration nor its addresses show the password when they are printed."""
    file = write("[registry]", site='id = "s"\nbroker = "mqtt://u:${PW}@h"')
    configuration = load(file, environment={"PW": SECRET})
    assert SECRET not in f"{configuration!r} {configuration.settings!r} {configuration.settings.site}"
    assert SECRET not in repr(parse_addresses(configuration.settings.site.broker))
    assert parse_addresses(configuration.settings.site.broker)[0].password.reveal() == SECRET


# -- changes from the command line --------------------------------------------------------------------------------


def test_changes_replace_single_values(write: Write) -> None:
    """What the command line says wins over the file; drivers of a type take their changes."""
    text = '[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "replay"\npath = "x"'
    configuration = load(write(text), changes={"site.data": "/tmp/y"}, drivers={"replay": {"path": "z"}})
    assert configuration.data == Path("/tmp/y")
    assert configuration.drivers["g"][0][1].settings.path == "z"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["site = 1", '[[site]]\nid = "s"', "gateway = 3", "[[gateway]]\nid = 3\ndriver = 4", "detection = []"]
)
def test_a_section_of_the_wrong_shape_is_a_config_error(tmp_path: Path, text: str) -> None:
    """Also when the command line wants to change something in it."""
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file, environment={}, changes={"site.data": "x"})


def test_roles_of_the_site(write: Write) -> None:
    """Roles that run elsewhere count as the site's, so that their rows are kept."""
    configuration = load(write('[[gateway]]\nid = "g"', site='id = "s"\nroles = ["recorder"]'))
    assert configuration.settings.roles() == {Role.GATEWAY, Role.RECORDER}


# -- the law ------------------------------------------------------------------------------------------------------

DEMO: dict[str, Any] = tomllib.loads((ROOT / "configs" / "demo.toml").read_text())


def _places(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(place for key, value in inner for place in _places(value, (*here, key)))]


PLACES = [place for place in _places(DEMO) if place]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-1, 3),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [
            "3s",
            "1e9d",
            "${HOME}",
            "${NOPE}",
            "${",
            "mqtt://u:p@h",
            "replay",
            "host",
            "{device}",
            "a/b",
            "*",
            "[",
            "{0.a}",
        ]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=2),
    st.just({}),
    st.just([]),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_law_whatever_is_changed_it_loads_or_says_what_is_wrong(data: st.DataObject) -> None:
    """demo.toml with values replaced, keys renamed, removed or added at random: a Configuration or a ConfigError."""
    tree = copy.deepcopy(DEMO)
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(PLACES))
        node: Any = tree
        try:
            for key in parents:
                node = node[key]
            value = node[last]
        except (KeyError, IndexError, TypeError):
            continue
        how = data.draw(st.sampled_from(["replace", "remove", "rename", "double"]))
        if how == "replace":
            node[last] = data.draw(VALUES)
        elif how == "remove":
            del node[last]
        elif how == "rename" and isinstance(node, dict):
            node[data.draw(st.text(max_size=12))] = node.pop(last)
        elif isinstance(node, list):
            node.append(copy.deepcopy(value))
    found = _load_tree(tree)
    assert isinstance(found, Configuration) or str(found).startswith(found.file)
    assert isinstance(found, Configuration) or found.file


def _load_tree(tree: dict[str, Any]) -> Configuration | ConfigError:
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"edgemesh-law-{os.getpid()}.toml"
    file.write_text(_toml(tree))
    try:
        return load(file, environment={"HOME": "/root"})
    except ConfigError as error:
        return error
    finally:
        file.unlink()


def _toml(tree: dict[str, Any]) -> str:
    """The tree as TOML, each top-level key as inline values; what TOML can't say (None) becomes a text."""
    return "\n".join(f"{json.dumps(key)} = {_inline(value)}" for key, value in tree.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) else json.dumps(str(value), ensure_ascii=True)
