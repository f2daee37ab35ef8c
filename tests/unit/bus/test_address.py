"""Addresses of brokers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.bus.address import Address, parse_addresses
from edgemesh.errors import ConfigError
from edgemesh.model.settings import Secret


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mqtt://host", Address("host")),
        ("mqtt://HOST:1884/", Address("host", 1884)),
        ("mqtts://broker.example", Address("broker.example", 8883, tls=True)),
        ("mqtt://[::1]:1883", Address("::1")),
        ("mqtt://user@host", Address("host", 1883, "user")),
        ("mqtt://host:99?qos=0", Address("host", 99, qos=0)),
        ("mqtt://host?qos=1", Address("host")),
        ("mqtt://us%40er:p%3A%2F%2C%25w@host:99", Address("host", 99, "us@er", Secret("p:/,%w"))),
    ],
)
def test_addresses_are_read(text: str, wanted: Address) -> None:
    """Scheme, user, password, host and port are read, with the usual ports as default and percent-encoding undone."""
    address = Address.parse(text)
    assert address == wanted
    assert address.password.reveal() == wanted.password.reveal()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:1883",
        "http://host",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://host:0",
        "mqtt://host:65536",
        "mqtt://host:port",
        "mqtt://ho st",
        "mqtt://host/topic",
        "mqtt://host?x=1",
        "mqtt://host?qos=2",
        "mqtt://host#x",
        "mqtt://:secret@host",
        "mqtt://[::1",
        "mqtt:host",
        "mqtt://a\nb",
    ],
)
def test_nonsense_is_refused_with_a_wish(text: str) -> None:
    """What is no address is a ConfigError that shows how one looks."""
    with pytest.raises(ConfigError) as caught:
        Address.parse(text)
    assert "mqtt://localhost:1883" in caught.value.wish


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://user:s3cr3t@host",
        "http://user:s3cr3t@host",
        "mqtt://user:s3cr3t@host:port",
        "mqtt://user:s3cr3t@host/x",
        "mqtt://user:s3cr3t@",
        "mqtt://user:s3cr3t/@host",
        "mqtt://user:s3cr3t#@host",
        "mqtt://user:s3cr3t@[host",
        "user:s3cr3t@host",
        "mqtt://:s3cr3t@host",
    ],
)
def test_the_password_is_never_shown(text: str) -> None:
    """Neither the address nor the error about it, nor what caused it, holds the password."""
    try:
        address = Address.parse(text)
        shown = f"{address} {address!r} {address.password}"
    except ConfigError as problem:
        shown = f"{problem} {problem!r} {problem.wish} {problem.__cause__!r}"
    assert "s3cr3t" not in shown


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.integers(1, 65_535),
    st.booleans(),
)
def test_reading_undoes_writing(user: str, password: str, port: int, tls: bool) -> None:
    """An address without a password reads back from its own text, whatever the user's name."""
    address = Address("host.example", port, user, Secret(password) if user else Secret(""), tls)
    again = Address.parse(str(address))
    assert (again.host, again.port, again.username, again.tls) == ("host.example", port, user, tls)
    assert again.password == ""


def test_several_addresses_keep_their_order() -> None:
    """Commas separate addresses; blanks around them do not matter; an empty place is an error."""
    assert parse_addresses("mqtt://a, mqtts://b:1") == (Address("a"), Address("b", 1, tls=True))
    for text in ("", "mqtt://a,", ",mqtt://a", "mqtt://a,,mqtt://b"):
        with pytest.raises(ConfigError):
            parse_addresses(text)
