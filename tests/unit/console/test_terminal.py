"""The views for terminals and pipes."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from edgemesh.console.lines import LineView
from edgemesh.console.terminal import TerminalView
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Stage
from edgemesh.model.orders import OrderState
from tests.unit.console.hall import Hall, busy_hall


def flooded_hall() -> Hall:
    """A hall where everything is too much."""
    hall = busy_hall()
    for number in range(60):
        hall.beat(f"hall-{number}", Role.GATEWAY)
        hall.stand(hall.alert(f"pump-{number}", cause="x" * 300))
        hall.stand(hall.order(f"pump-{number}", OrderState.ACCEPTED, executor="mara", title="y" * 300))
        hall.pack("alerts", "detector-1", hall.alert(f"pump-{number}", cause="z" * 300))
    return hall


def lost_hall() -> Hall:
    """A hall whose broker is gone."""
    hall = busy_hall()
    hall.overview.link(False, hall.now_s)
    return hall


def screen(hall: Hall, width: int = 80, height: int = 24) -> list[str]:
    """What the live view shows."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=False, legacy_windows=False)
    console.print(TerminalView(console, "memory · http://127.0.0.1:8080/").render(hall.look()))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_screen_says_what_matters() -> None:
    """Broker and page, the rate, agents, the alert, who has the order and where it stands, and what was last."""
    text = "\n".join(screen(busy_hall()))
    for words in (
        "memory · http://127.0.0.1:8080/",
        "1 alert, 1 critical · 1 open order",
        "● detector-1",
        "● mara 0/1",
        "◆ critical pump-3  Inlet valve closing",
        "● ◉ dispatched ○ ○ ○ ○",
        "verified     pump-9: the sensor agrees",
    ):
        assert words in text
    assert re.search(r"[▁-█]{10,} 2[34]\.\d readings/s", text)


def test_an_empty_site_is_shown_calmly() -> None:
    """Before anything was heard, the view says so; when all is well, it says that too."""
    assert "Waiting for the first agents" in "\n".join(screen(Hall()))
    calm = Hall()
    calm.beat("detector-1")
    text = "\n".join(screen(calm))
    assert "Nothing is wrong." in text
    assert text.count("none") == 2


def test_a_lost_broker_is_said() -> None:
    """What is old is not shown as if it were new."""
    assert "The broker can't be reached" in "\n".join(screen(lost_hall()))
    fresh = Hall()
    fresh.overview.link(False, fresh.now_s)
    assert "Connecting to the broker" in "\n".join(screen(fresh))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (220, 60)])
@pytest.mark.parametrize("make", [Hall, busy_hall, flooded_hall, lost_hall])
def test_it_fits_the_terminal(make: type[Hall], size: tuple[int, int]) -> None:
    """Never a line too long and never one too many, from 60x16 on."""
    lines = screen(make(), *size)
    assert len(lines) <= size[1]
    assert max(len(line) for line in lines) <= size[0]


def test_cut_lists_say_so() -> None:
    """A flood shows the most urgent, and how many there are; agents that do not fit are counted."""
    lines = screen(flooded_hall())
    assert any(line.startswith("Alerts") and line.endswith("of 60") for line in lines)
    assert any(line.startswith("Work orders") and line.endswith("of 60") for line in lines)
    listed = sum(line.count("●") for line in lines[4:6])
    assert f"… and {63 - listed} agents more" in "\n".join(lines[:8])


def test_markup_in_a_name_is_only_text() -> None:
    """What looks like the terminal library's markup, or like an escape sequence, is shown as it is or not at all."""
    hall = Hall()
    hall.stand(hall.alert("pump-1", cause="[red]not red[/red] \x1b]0;title\x07 [link=file:///]x[/link]"))
    text = "\n".join(screen(hall))
    assert "[red]not red[/red] ]0;title [link=file:///]x" in text
    assert "\x1b" not in text


def test_the_screen_is_given_back() -> None:
    """Between `open` and `close` the view has the whole screen, afterwards the terminal is as it was."""
    stream = io.StringIO()
    view = TerminalView(Console(file=stream, width=80, height=24, force_terminal=True), "title")
    snapshot = busy_hall().look()
    view.update(snapshot)
    assert stream.getvalue() == ""
    view.open()
    view.update(snapshot)
    view.close()
    view.close()
    view.update(snapshot)
    text = stream.getvalue()
    assert "Inlet valve closing" in text
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_each_event_is_one_line() -> None:
    """Without a terminal: one plain line for each thing that happened, in order, never twice."""
    hall, stream = busy_hall(), io.StringIO()
    view = LineView(stream, "edgemesh on memory")
    view.open()
    view.update(hall.look())
    view.update(hall.look())
    lines = stream.getvalue().splitlines()
    assert lines[0] == "edgemesh on memory"
    assert [line[10:] for line in lines[1:]] == [
        "readings      are coming in from 1 gateway(s)",
        "critical      pump-3: Inlet valve closing",
        "opened        pump-3: Open the inlet valve of pump-3",
        "dispatched    pump-3: to mara: Open the inlet valve of pump-3",
        "verified      pump-9: the sensor agrees: Open the inlet valve of pump-9",
    ]
    hall.pack("orders", "scheduler-1", hall.order("pump-3", OrderState.ACCEPTED, executor="mara", attempt=1))
    view.update(hall.look())
    assert stream.getvalue().splitlines()[6:] == [
        lines[5][:10] + "accepted      pump-3: by mara: Open the inlet valve of pump-3"
    ]


def test_a_lost_broker_is_one_line_each_way() -> None:
    """One line when it is gone for a second and one when it returns; a shorter loss is not worth a word."""
    hall, stream = Hall(), io.StringIO()
    view = LineView(stream)
    for linked in (False, True, False, True, False, False, False, True, True):
        view.update(msgspec.structs.replace(hall.look(), linked=linked))
        hall.now_s += 0.7
    assert [line[24:] for line in stream.getvalue().splitlines()] == ["can't be reached, trying again", "is back"]


def test_a_closed_stream_is_left_alone() -> None:
    """A pipe whose other end was closed in order is not written to."""
    stream = io.StringIO()
    view = LineView(stream)
    stream.close()
    view.update(busy_hall().look())


def test_an_agent_in_trouble_says_so() -> None:
    """What an agent can't do now stands beside its name, before those that are well."""
    hall = busy_hall()
    hall.beat("gw-9", Role.GATEWAY, trouble="the log is full: x", stats={"full_in_s": 90.0})
    lines = screen(hall)
    assert any("▲ gw-9 the log is full: x" in line for line in lines)
    (view,) = [agent for agent in hall.look().agents if agent.agent == "gw-9"]
    assert (view.trouble, view.stats["full_in_s"]) == ("the log is full: x", 90.0)


def test_what_a_gateway_has_decided_alone_says_so() -> None:
    """So that nobody takes it for what the site has confirmed."""
    hall = Hall()
    hall.stand(hall.alert("pump-1", stage=Stage.GATEWAY), hall.alert("pump-2"))
    lines = [line for line in screen(hall, width=120) if "flow of pump" in line]
    assert ["(by the gateway alone)" in line for line in sorted(lines, key=lambda line: "pump-2" in line)] == [
        True,
        False,
    ]


def test_what_goes_badly_is_shown_as_trouble_is() -> None:
    """A notice stands where trouble would, unless there is trouble: that goes first."""
    hall = busy_hall()
    hall.beat("gw-8", Role.RECORDER, notice="InfluxDB can't be written")
    hall.beat("gw-9", Role.RECORDER, notice="InfluxDB can't be written", trouble="the disk is full")
    told = {agent.agent: agent.trouble for agent in hall.look().agents}
    assert (told["gw-8"], told["gw-9"]) == ("InfluxDB can't be written", "the disk is full")
