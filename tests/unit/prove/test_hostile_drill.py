"""What the drills of hostile bytes and poison are made of."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.registry import RegistryCore
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Role
from edgemesh.model.packs import Cards
from edgemesh.prove import poison
from edgemesh.prove.drills.hostile import RAW_TOPICS, marks, publish_raw
from edgemesh.prove.site import lay_out
from edgemesh.store.history import HistorySink
from edgemesh.testing import make_alert, make_card, make_pack
from edgemesh.wire.topics import Kind, Topics, parse


def test_poison_raises_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that was given the fault fails on what names poison, and works as ever on the rest."""
    for core in (DetectorCore, SchedulerCore, RegistryCore):
        monkeypatch.setattr(core, "handle", core.handle)  # so that it is put back
    monkeypatch.setattr(DetectorCore, "meet", DetectorCore.meet)
    monkeypatch.setattr(HistorySink, "write", HistorySink.write)
    poison.arm()
    scheduler = SchedulerCore("scheduler", "site", DispatchSettings(), {})
    assert scheduler.handle(make_pack([make_alert()], agent="d"))
    for given in (make_pack([make_alert(asset="poison")], agent="d"), Cards((make_card("poison"),))):
        with pytest.raises(poison.PoisonedError, match="of poison"):
            scheduler.handle(given)
    with pytest.raises(poison.PoisonedError):
        RegistryCore("registry", "site").handle(Cards((make_card("poison", role=Role.DETECTOR),)))


def test_every_mark_is_a_topic_of_ours(tmp_path: Path) -> None:
    """The attacker throws at every kind of topic that agents and executors follow, and never empties a true one."""
    found = marks(lay_out(tmp_path, broker="mosquitto", rate=100.0, seed=1), Topics("prove"))
    assert {parse(mark.topic).kind for mark in found} == {mark.kind for mark in found}
    assert {mark.kind for mark in found} == set(Kind) - {Kind.INGEST}  # a device's JSON is the driver's business


@pytest.mark.parametrize("topic", RAW_TOPICS, ids=lambda topic: f"{len(topic)} bytes")
def test_raw_packets_are_what_they_say(topic: bytes) -> None:
    """CONNECT and PUBLISH as the standard has them, whatever stands in the topic."""
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                got.extend(link.recv(4_096))
                link.sendall(b"\x20\x02\x00\x00")
                while more := link.recv(65_536):
                    got.extend(more)
                    if got.endswith(b"{}"):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        publish_raw(server.getsockname()[1], topic, b"{}")
        thread.join(5)
    size = got[1]
    published = got[2 + size :]
    assert (got[0], published[0]) == (0x10, 0x30)
    at = 2 if published[1] < 128 else 3
    assert published[at : at + 2] == len(topic).to_bytes(2, "big")
    assert bytes(published[at + 2 :]) == topic + b"{}"
