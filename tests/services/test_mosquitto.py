"""MqttBus on a real Mosquitto: what the contract leaves open, and what only a real broker and a real network do."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Message, Will
from edgemesh.bus.mqtt import MqttBus
from edgemesh.bus.ports import take_ports
from edgemesh.bus.search import Protocol

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Relay, Until

CONFIGURATION = Path(__file__).parents[2] / "configs" / "mosquitto" / "edgemesh.conf"


def settle_into(payloads: list[bytes]) -> Callable[[Message], None]:
    def handle(message: Message) -> None:
        payloads.append(message.payload)
        message.settle()

    return handle


async def open_bus(bus: MqttBus, until: Until) -> MqttBus:
    await bus.open()
    await until(lambda: bus.linked)
    return bus


def test_a_silent_link_is_noticed_within_three_seconds(
    mosquitto: Mosquitto, relay: Callable[[int], Relay], until: Until
) -> None:
    """A link over which nothing comes any more is given up in under 3 s, busy or idle."""

    async def scenario() -> None:
        way = relay(mosquitto.port)
        address = Address("127.0.0.1", way.port)
        idle, busy = (MqttBus([address], name) for name in ("idle", "busy"))
        await open_bus(idle, until)
        await open_bus(busy, until)
        way.silence()
        started = time.monotonic()

        def both_noticed() -> bool:
            busy.publish("t", b"into the void")
            return not idle.linked and not busy.linked

        await until(both_noticed, 3.0)
        assert time.monotonic() - started > 0.9
        assert "nothing came" in idle.stats.last_error
        way.heal()
        await until(lambda: idle.linked and busy.linked)
        await idle.close()
        await busy.close()

    asyncio.run(scenario())


def test_an_idle_link_stays(mosquitto: Mosquitto, until: Until) -> None:
    """Pings keep an idle link over several keepalives, on our side and on the broker's."""

    async def scenario() -> None:
        bus = await open_bus(MqttBus([Address.parse(mosquitto.url)], "idle", keepalive_s=1), until)
        started = time.monotonic()
        await until(lambda: time.monotonic() - started > 2.6)
        assert (bus.linked, bus.stats.disconnects) == (True, 0)
        await bus.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("protocol", "carried"), [("auto", "00-abc-def-01"), ("5", "00-abc-def-01"), ("3.1.1", "")])
def test_traces_travel_with_mqtt_5(mosquitto: Mosquitto, until: Until, protocol: Protocol, carried: str) -> None:
    """MQTT 5 is chosen where it is offered and carries the traceparent; 3.1.1 carries the message alone."""

    async def scenario() -> None:
        bus = await open_bus(MqttBus([Address.parse(mosquitto.url)], "a", protocol=protocol), until)
        came: list[Message] = []
        bus.subscribe("t", came.append)
        bus.publish("t", b"x", traceparent="00-abc-def-01")
        await until(lambda: came)
        assert came[0].traceparent == carried
        assert bus.stats.extra["mqtt5"] == float(protocol != "3.1.1")
        await bus.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("protocol", "brought"), [("auto", [b"theirs"]), ("3.1.1", [b"ours", b"theirs"])])
def test_no_local_keeps_our_own_messages_away(
    mosquitto: Mosquitto, until: Until, protocol: Protocol, brought: list[bytes]
) -> None:
    """Over MQTT 5 a broker brings us only what others publish, and `echoes` says whether it does."""

    async def scenario() -> None:
        address, came = Address.parse(mosquitto.url), list[bytes]()
        us = await open_bus(MqttBus([address], "us", protocol=protocol, no_local=True), until)
        them = await open_bus(MqttBus([address], "them"), until)
        us.subscribe("t/+", settle_into(came))
        assert us.echoes == (protocol == "3.1.1")
        us.publish("t/x", b"ours")
        await until(lambda: not us._link or us._link.unacknowledged == 0)
        them.publish("t/x", b"theirs")
        await until(lambda: b"theirs" in came)
        assert came == brought
        await us.close()
        await them.close()

    asyncio.run(scenario())


def test_consumers_that_settle_late_get_more_than_the_brokers_default(
    start_mosquitto: Callable[[str], Mosquitto], until: Until
) -> None:
    """An MQTT 5 client holds hundreds of unsettled messages though Mosquitto's own limit is 20."""

    async def scenario() -> None:
        address = Address.parse(start_mosquitto("").url)
        bus = await open_bus(MqttBus([address], "late"), until)
        came: list[Message] = []
        bus.subscribe("t", came.append)
        for number in range(500):
            assert bus.publish("t", b"%d" % number)
        await until(lambda: len(came) == 500)
        assert bus.stats.extra["settled"] == 0
        await bus.close()

    asyncio.run(scenario())


def test_the_broker_sends_more_when_messages_are_settled(
    start_mosquitto: Callable[[str], Mosquitto], until: Until
) -> None:
    """Settling reaches the broker: one that allows 5 unsettled messages sends the sixth after a settle in a thread."""

    async def scenario() -> None:
        address = Address.parse(start_mosquitto("max_inflight_messages 5").url)
        bus = await open_bus(MqttBus([address], "slow", protocol="3.1.1"), until)
        other = await open_bus(MqttBus([address], "other", protocol="3.1.1"), until)
        came: list[Message] = []
        end: list[bytes] = []
        bus.subscribe("t", came.append)
        other.subscribe("end", settle_into(end))
        for number in range(12):
            assert bus.publish("t", b"%d" % number)
        await until(lambda: len(came) == 5)
        bus.publish("end", b"")
        await until(lambda: end)
        assert len(came) == 5
        for number in range(12):
            await until(lambda number=number: len(came) > number)
            await asyncio.to_thread(came[number].settle)
            await until(lambda number=number: bus.stats.extra["settled"] == number + 1)
        assert [message.payload for message in came] == [b"%d" % number for number in range(12)]
        await bus.close()
        await other.close()

    asyncio.run(scenario())


def test_a_broker_that_wants_few_at_a_time_gets_all(start_mosquitto: Callable[[str], Mosquitto], until: Until) -> None:
    """The broker's receive maximum (MQTT 5) holds messages back on our side; none is lost and the order stays."""

    async def scenario() -> None:
        bus = MqttBus([Address.parse(start_mosquitto("max_inflight_messages 3").url)], "many")
        await open_bus(bus, until)
        came: list[bytes] = []
        bus.subscribe("t", settle_into(came))
        for number in range(400):
            assert bus.publish("t", b"%d" % number)
        await until(lambda: len(came) == 400)
        assert came == [b"%d" % number for number in range(400)]
        assert bus.linked
        await bus.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_the_window_bounds_what_waits_for_acknowledgement(
    mosquitto: Mosquitto, relay: Callable[[int], Relay], until: Until, protocol: Protocol
) -> None:
    """When the broker acknowledges nothing `publish` takes over one window of messages and then says no."""

    async def scenario() -> None:
        way = relay(mosquitto.port)
        bus = MqttBus([Address("127.0.0.1", way.port)], "full", window=30, protocol=protocol)
        await open_bus(bus, until)
        way.silence()
        assert [bus.publish("t", b"x") for _ in range(40)] == [True] * 30 + [False] * 10
        assert (bus.stats.published, bus.stats.refused) == (30, 10)
        way.heal()
        await until(lambda: bus.stats.connects == 2)
        assert bus.publish("t", b"room again")
        await bus.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_384, 300_000, 3_000_000])
def test_payloads_of_every_size_arrive(mosquitto: Mosquitto, until: Until, size: int) -> None:
    """Payloads come as they were sent, also those that fill the socket's buffers several times."""

    async def scenario() -> None:
        bus = await open_bus(MqttBus([Address.parse(mosquitto.url)], "sizes"), until)
        came: list[bytes] = []
        bus.subscribe("t", settle_into(came))
        payload = bytes(number * 7 % 256 for number in range(1021)) * (size // 1021 + 1)
        for _ in range(3):
            assert bus.publish("t", payload[:size])
        await until(lambda: len(came) == 3)
        assert came == [payload[:size]] * 3
        await bus.close()

    asyncio.run(scenario())


def test_addresses_are_walked_in_order(start_mosquitto: Callable[[str], Mosquitto], until: Until) -> None:
    """The first broker that answers is taken; after a loss the walk begins at the first address again."""

    async def scenario() -> None:
        first, second = start_mosquitto(""), start_mosquitto("")
        first.kill()
        addresses = [Address.parse(first.url), Address.parse(second.url)]
        bus, on_second = MqttBus(addresses, "walker"), MqttBus(addresses[1:], "on-second")
        await open_bus(bus, until)
        came: list[bytes] = []
        await open_bus(on_second, until)
        on_second.subscribe("where", settle_into(came))
        await until(lambda: bus.publish("where", b"second") and came)
        first.start()
        second.kill()
        await until(lambda: bus.stats.connects == 2)
        assert bus.linked
        assert not on_second.linked
        await bus.close()
        await on_second.close()

    asyncio.run(scenario())


def test_a_client_on_a_later_broker_goes_back_to_an_earlier_one(
    start_mosquitto: Callable[[str], Mosquitto], until: Until
) -> None:
    """Two halves of a site must not sit on two brokers for ever: who is on the second goes back to the first.

    The link to the second is left in peace (no Last Will), and the watchers see a loss and a new link.
    """

    async def scenario() -> None:
        first, second = start_mosquitto(""), start_mosquitto("")
        first.kill()
        addresses = [Address.parse(first.url), Address.parse(second.url)]
        bus = MqttBus(addresses, "walker", will=Will("will", b"gone"))
        on_first, on_second = MqttBus(addresses[:1], "one"), MqttBus(addresses[1:], "two")
        await open_bus(bus, until)
        seen: list[bool] = []
        bus.on_link(seen.append)
        heard: list[bytes] = []
        bus.subscribe("t", settle_into(heard))
        await open_bus(on_second, until)
        wills: list[bytes] = []
        on_second.subscribe("will", settle_into(wills))
        on_second.subscribe("end", settle_into(wills))
        first.start()
        await until(lambda: bus.stats.extra.get("went_back") == 1)
        await open_bus(on_first, until)
        await until(lambda: on_first.publish("t", b"on the first") and heard)
        await until(lambda: on_second.publish("end", b"end") and wills)
        assert set(wills) == {b"end"}
        assert seen == [False, True]
        for client in (bus, on_first, on_second):
            await client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_clients_of_one_id_do_not_fight_for_ever_at_full_speed(
    mosquitto: Mosquitto, until: Until, protocol: Protocol, caplog: pytest.LogCaptureFixture
) -> None:
    """Each takes the link from the other; both say so once, and try less and less."""

    async def scenario() -> None:
        twins = [MqttBus([Address.parse(mosquitto.url)], "twin", protocol=protocol) for _ in range(2)]
        for twin in twins:
            await twin.open()
        await until(lambda: all(twin.stats.extra.get("contested") for twin in twins), 20)
        assert all(twin._back_off.pause_s(0.0) > 0 for twin in twins)
        for twin in twins:
            await twin.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.text.count("ends each link soon after it gave it") == 2
    assert "'twin'" in caplog.text


def test_links_have_no_delay_and_the_broker_has_none(mosquitto: Mosquitto, until: Until) -> None:
    """TCP_NODELAY is set, so a round trip of small messages takes well under the 40 ms of a delayed acknowledgement."""

    async def scenario() -> None:
        bus = await open_bus(MqttBus([Address.parse(mosquitto.url)], "fast"), until)
        assert bus._link is not None
        assert bus._link._sock._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        came: list[bytes] = []
        bus.subscribe("t", settle_into(came))
        trips: list[float] = []
        for number in range(1, 21):
            started = time.perf_counter()
            bus.publish("t", b"1")
            bus.publish("t", b"2")
            await until(lambda number=number: len(came) == 2 * number)
            trips.append(time.perf_counter() - started)
        assert sorted(trips)[10] < 0.02
        await bus.close()

    asyncio.run(scenario())


def test_a_refused_login_is_said_once_without_the_password(
    start_mosquitto: Callable[[str], Mosquitto], until: Until, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Wrong credentials: one warning with the broker's reason, no password in it, and the bus keeps trying."""
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)

    async def scenario() -> None:
        broker = start_mosquitto(f"password_file {tmp_path / 'passwords'}\nallow_anonymous false")
        address = Address.parse(broker.url.replace("mqtt://", "mqtt://gateway:hunter2@"))
        bus = MqttBus([address], "stranger")
        with caplog.at_level(logging.INFO):
            await bus.open()
            await until(lambda: "Not authorized" in bus.stats.last_error)
            tries = 0

            def tried_again() -> bool:
                nonlocal tries
                if bus.stats.last_error:
                    tries, bus.stats.last_error = tries + 1, ""
                return tries >= 3

            await until(tried_again)
        assert not bus.linked
        assert caplog.text.count("has no link") == 1
        assert "hunter2" not in caplog.text
        await bus.close()

    asyncio.run(scenario())


def test_the_will_survives_a_link_that_falls_silent(
    mosquitto: Mosquitto, relay: Callable[[int], Relay], until: Until
) -> None:
    """The broker, too, notices a silent link (1.5 keepalives) and publishes the will."""

    async def scenario() -> None:
        way = relay(mosquitto.port)
        frail = MqttBus([Address("127.0.0.1", way.port)], "frail", will=Will("w", b"gone"), keepalive_s=1)
        watcher = await open_bus(MqttBus([Address.parse(mosquitto.url)], "watcher"), until)
        came: list[bytes] = []
        watcher.subscribe("w", settle_into(came))
        await open_bus(frail, until)
        way.silence()
        await until(lambda: came == [b"gone"], 15)
        await frail.close()
        await watcher.close()

    asyncio.run(scenario())


def test_tls_checks_the_brokers_certificate(
    start_mosquitto: Callable[[str], Mosquitto], until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mqtts://` links over TLS when the certificate is good, and does not when nobody vouches for it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        f" -keyout {key.name} -out {certificate.name}"
    )
    subprocess.run([openssl, *request.split()], cwd=tmp_path, check=True, capture_output=True)
    port = take_ports(1)[0]
    start_mosquitto(f"listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}")

    async def scenario() -> None:
        address = Address.parse(f"mqtts://localhost:{port}")
        stranger = MqttBus([address], "stranger")
        await stranger.open()
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in stranger.stats.last_error)
        await stranger.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        bus = await open_bus(MqttBus([address], "secure"), until)
        came: list[bytes] = []
        bus.subscribe("t", settle_into(came))
        for _ in range(20):
            bus.publish("t", b"x" * 50_000)
        await until(lambda: len(came) == 20)
        await bus.close()

    asyncio.run(scenario())


def test_the_configuration_we_ship_runs(mosquitto_program: str, tmp_path: Path, free_port: int, until: Until) -> None:
    """configs/mosquitto/edgemesh.conf is accepted by Mosquitto as it stands and sets TCP_NODELAY; agents can link."""
    text = CONFIGURATION.read_text()
    assert "\nset_tcp_nodelay true\n" in text
    assert "\nlistener 1883 127.0.0.1\n" in text
    (tmp_path / "edgemesh.conf").write_text(text.replace("listener 1883", f"listener {free_port}"))
    broker = subprocess.Popen(
        [mosquitto_program, "-c", str(tmp_path / "edgemesh.conf")], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )

    async def scenario() -> None:
        bus = await open_bus(MqttBus([Address("127.0.0.1", free_port)], "a"), until)
        await bus.close()

    try:
        asyncio.run(scenario())
    finally:
        broker.terminate()
        said = broker.communicate(timeout=5)[1].decode()
    assert "Error" not in said
    assert "Warning" not in said


def test_messages_of_qos_0_come_through_and_are_bounded(mosquitto: Mosquitto, until: Until) -> None:
    """An address with ?qos=0 sends and asks at QoS 0; while the broker takes nothing, `publish` says no after a while.

    When it goes on, all that was taken over comes, and whoever found no room is told.
    """

    async def scenario() -> None:
        address = Address("127.0.0.1", mosquitto.port, qos=0)
        bus = await open_bus(MqttBus([address], "light", window=200), until)
        came: list[bytes] = []
        bus.subscribe("t", settle_into(came))
        for number in range(100):
            assert bus.publish("t", b"%d" % number)
        await until(lambda: len(came) == 100)
        assert came == [b"%d" % number for number in range(100)]
        room: list[bool] = []
        bus.on_room(lambda: room.append(True))
        os.kill(mosquitto.pid, signal.SIGSTOP)
        taken = 0
        while bus.publish("t", b"x" * 50_000):
            taken += 1
            await asyncio.sleep(0)
            assert taken < 2000
        os.kill(mosquitto.pid, signal.SIGCONT)
        await until(lambda: len(came) == 100 + taken and room)
        await bus.close()

    asyncio.run(scenario())
