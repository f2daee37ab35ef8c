"""Work orders: what is open, is anything late, and how long does it take?"""

from __future__ import annotations

from grafana.generator import panels, rows
from grafana.generator.board import board, chosen, site
from grafana.generator.boards import shared
from grafana.generator.influxql import matches, select, series
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "What is open, is anything late, how long does it take, and who does it?"
_CHOICE = ("site", "asset", "executor", "skill")
_WHERE = tuple(matches(name) for name in _CHOICE)


def make() -> Json:
    """The dashboard."""
    return board(
        "workorders",
        "edgemesh: work orders",
        DESCRIPTION,
        [
            (4, [(4, each) for each in (_open(), _handed_on(), _escalated(), *_times())]),
            (
                10,
                [
                    (
                        18,
                        shared.order_table(
                            "Open work orders",
                            "The oldest first. `Time left then` is until the deadline of the last move; below 0 it "
                            "was past. Orders without a move in the chosen time are not here: choose a longer one.",
                            *_CHOICE,
                            empty="no order is open",
                        ),
                    ),
                    (6, _by_state()),
                ],
            ),
            (8, [(12, _moves()), (12, _course())]),
            (
                8,
                [
                    (8, _by("By executor", "Orders that each executor has done, and how long they took.", "executor")),
                    (
                        8,
                        _by(
                            "By skill",
                            "Orders done by the skill that they needed most, and how long they took.",
                            "skill",
                        ),
                    ),
                    (8, _verdicts()),
                ],
            ),
        ],
        [site("workorder"), *_variables()],
        since="now-7d",
    )


def _variables() -> list[Json]:
    return [
        chosen("asset", "Asset", "What is to be maintained", "workorder", "site"),
        chosen("executor", "Executor", "Who holds an order; All: also nobody", "workorder", "site"),
        chosen("skill", "Skill", "The skill of which most is needed", "workorder", "site"),
    ]


def _open() -> Json:
    return panels.stat(
        "Open now",
        "Orders that are neither verified nor cancelled.",
        "none",
        shared.order_versions(*_CHOICE),
        calc="count",
        field="id",
        thresholds=((0, GOOD), (1, WARN)),
        empty="none",
        transformations=shared.open_orders(),
    )


def _handed_on() -> Json:
    text = select('count("version")', "workorder", *_WHERE, "\"state\" = 'dispatched'", '"attempt" > 1')
    return panels.stat(
        "Handed on",
        "How often an order had to go to a next executor: a deadline was missed, or somebody refused.",
        "none",
        query(text),
        calc="sum",
        thresholds=((0, GOOD), (1, WARN)),
        empty="never",
    )


def _escalated() -> Json:
    unassigned = [matches(name) for name in _CHOICE if name != "executor"]
    text = select('sum("escalated")', "workorder", *unassigned, "\"state\" = 'open'")
    return panels.stat(
        "Nobody was left",
        "How often an order found no executor who could take it: somebody has to decide.",
        "none",
        query(text),
        calc="sum",
        thresholds=((0, GOOD), (1, BAD)),
        empty="never",
    )


def _times() -> list[Json]:
    return [
        panels.stat(
            title,
            description,
            "s",
            query(select(f'median("{field}")', "workorder", *_WHERE, f"\"state\" = '{state}'")),
            empty="none yet",
        )
        for title, description, field, state in (
            ("Time to acknowledge", "From the opening until an executor accepted: the median.", "age_s", "accepted"),
            (
                "Time to repair",
                "From the opening until the executor said done: the median.",
                "repaired_after_s",
                "done",
            ),
            (
                "Time to verify",
                "From the opening until the sensor agreed that it is back: the median.",
                "back_after_s",
                "verified",
            ),
        )
    ]


def _by_state() -> Json:
    counted = [
        *rows.latest("id", "version", ("state",)),
        rows.only("state (last)", shared.OPEN),
        rows.count("state (last)", "id"),
    ]
    named = rows.columns({"state (last)": "State", "id (count)": "Orders"})
    return panels.table(
        "Open by state",
        "How many orders wait in which state.",
        shared.order_versions(*_CHOICE),
        unit="none",
        sort="Orders",
        overrides=[panels.coloured("State", shared.ORDER_STATES)],
        transformations=[*counted, named],
        empty="no order is open",
    )


def _moves() -> Json:
    text = series('count("version")', "workorder", *_WHERE, by="state")
    return panels.lines(
        "Moves",
        "How many orders came into each state, in each interval.",
        "none",
        [query(text, alias="$tag_state")],
        bars=True,
        stacked=True,
        empty="no order moved",
    )


def _course() -> Json:
    steps = (
        ("A", "acknowledged", "age_s", "accepted"),
        ("B", "begun", "begun_after_s", "in_progress"),
        ("C", "repaired", "repaired_after_s", "done"),
        ("D", "back in service", "back_after_s", "verified"),
    )
    targets = [
        query(series(f'mean("{field}")', "workorder", *_WHERE, f"\"state\" = '{state}'"), ref=ref, alias=name)
        for ref, name, field, state in steps
    ]
    return panels.lines(
        "Time since the opening",
        "The mean time until each step of the orders that reached it in the interval.",
        "s",
        targets,
        empty="no order got so far",
    )


def _by(title: str, description: str, tag: str) -> Json:
    what = (
        'count("version") AS "Done", mean("repaired_after_s") AS "Time to repair", max("attempt") AS "Most dispatches"'
    )
    text = select(what, "workorder", *_WHERE, "\"state\" = 'done'", by=tag)
    named = rows.columns({tag: tag.capitalize()}, hidden=("Time",))
    return panels.table(
        title,
        description,
        query(text, table=True),
        unit="none",
        sort="Done",
        transformations=[named],
        overrides=[panels.override("Time to repair", unit="s")],
        empty="no order was done",
    )


def _verdicts() -> Json:
    text = select('"id", "version", "verdict"', "workorder", *_WHERE, "\"state\" = 'verified'")
    steps = [
        *rows.latest("id", "version", ("verdict",)),
        rows.only("verdict (last)", "."),
        rows.count("verdict (last)", "id"),
        rows.columns({"verdict (last)": "Verdict", "id (count)": "Orders"}),
    ]
    return panels.table(
        "What was found",
        "Verdicts of the technicians: a false alarm moves the limits of the asset's model.",
        query(text, table=True),
        unit="none",
        sort="Orders",
        transformations=steps,
        empty="nobody gave a verdict",
    )
