"""Holding what was detected in a recording against its labels: one line of figures per recording, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from edgemesh.drivers.replay.recording import Recording
from edgemesh.launch.labels import find_windows, label_rows
from edgemesh.launch.truth import Confusion, Span, flags


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: `rows` played, `bad` refused cells and rows, labelled faults, when the first was detected.

    `detected_after_s` counts from the first labelled row to the first alert inside the label, in recorded time; rates
    are over the rows after the first `train_rows`; None where there are no labels.
    """

    file: str
    asset: str
    rows: int
    bad: int
    faults: int | None
    detected: int | None
    detected_after_s: float | None
    alerts: int
    orders: int
    f1: float | None
    far: float | None
    mar: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows of one recording: times in ns in the order of the file, and as many labels, or none at all."""

    name: str
    asset: str
    times_ns: Sequence[int]
    labels: Sequence[bool]
    bad: int = 0


def read_labels(recording: Recording) -> tuple[list[int], list[bool]]:
    """Time and label of each row: from its label column, else from the windows beside it; no labels: an empty list."""
    column, windows = label_column(recording), None
    times, labels = [], []
    for at_ns, _, row_labels in recording.rows():
        times.append(at_ns)
        if column is not None:
            labels.append(bool(row_labels[column]))
    if column is None:
        windows = find_windows(recording.path)
    return times, labels if windows is None else label_rows(times, windows)


def label_column(recording: Recording) -> int | None:
    """The column that labels rows; SKAB's `changepoint` labels instants and is none."""
    named = [index for index, name in enumerate(recording.labels) if name != "changepoint"]
    return named[0] if named else None


def judge_subject(
    subject: Subject, spans: Sequence[Span], orders: int, train_rows: int
) -> tuple[FileResult, Confusion]:
    """The figures of one recording, and its rows after the first `train_rows` by label and flag."""
    times, labels = subject.times_ns, subject.labels
    confusion = Confusion()
    after_s: float | None = None
    runs = label_runs(times, labels)
    if labels:
        for label, flag in list(zip(labels, flags(times, spans), strict=True))[train_rows:]:
            confusion.add(label, flag)
        delays = [delay for begin, end in runs if (delay := _delay_s(begin, end, spans)) is not None]
        after_s = delays[0] if delays else None
    result = FileResult(
        file=subject.name,
        asset=subject.asset,
        rows=len(times),
        bad=subject.bad,
        faults=len(runs) if labels else None,
        detected=sum(_delay_s(begin, end, spans) is not None for begin, end in runs) if labels else None,
        detected_after_s=after_s,
        alerts=len(spans),
        orders=orders,
        f1=round(confusion.f1, 3) if labels else None,
        far=round(confusion.far, 1) if labels else None,
        mar=round(confusion.mar, 1) if labels else None,
    )
    return result, confusion


def sum_up(results: Sequence[FileResult], pooled: Confusion) -> dict[str, float | int | None]:
    """The figures of all recordings; rates are None where none has labels, else over the pooled rows, as SKAB does."""
    labelled = [result for result in results if result.faults is not None]
    return {
        "faults": sum(result.faults or 0 for result in labelled),
        "detected": sum(result.detected or 0 for result in labelled),
        "alerts": sum(result.alerts for result in results),
        "orders": sum(result.orders for result in results),
        "f1": round(pooled.f1, 3) if labelled else None,
        "far": round(pooled.far, 1) if labelled else None,
        "mar": round(pooled.mar, 1) if labelled else None,
    }


def table_lines(files: Sequence[FileResult], total: Mapping[str, float | int | None]) -> list[str]:
    """The figures as a table for people, the sum in its last line."""
    heads = ("file", "rows", "faults", "after s", "alerts", "orders", "F1", "FAR %", "MAR %")
    rows = [
        (
            each.file[:44],
            str(each.rows),
            "-" if each.faults is None else f"{each.detected}/{each.faults}",
            _cell(each.detected_after_s),
            str(each.alerts),
            str(each.orders),
            _cell(each.f1, 3),
            _cell(each.far),
            _cell(each.mar),
        )
        for each in files
    ]
    seen = f"{total['detected']}/{total['faults']}" if total["f1"] is not None else "-"
    count = str(sum(each.rows for each in files))
    rates = (_cell(total["f1"], 3), _cell(total["far"]), _cell(total["mar"]))
    rows.append(("all", count, seen, "", str(total["alerts"]), str(total["orders"]), *rates))
    return [f"{name:<44} " + " ".join(f"{cell:>7}" for cell in rest) for name, *rest in (heads, *rows)]


def _cell(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def label_runs(times: Sequence[int], labels: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last instant of each stretch of labelled rows."""
    runs: list[tuple[int, int]] = []
    before = False
    for at_ns, label in zip(times, labels, strict=False):
        if label:
            runs = [*runs[:-1], (runs[-1][0], at_ns)] if before else [*runs, (at_ns, at_ns)]
        before = label
    return runs


def _delay_s(begin: int, end: int, spans: Sequence[Span]) -> float | None:
    """Seconds from the first labelled row to the first alert that fires inside the label; None: never."""
    hits = [max(span.begin_ns, begin) for span in spans if span.begin_ns <= end and (span.end_ns or end + 1) > begin]
    return round((min(hits) - begin) / 1e9, 1) if hits else None
