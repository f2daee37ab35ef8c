"""A backtest's answer as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from edgemesh.backtest.comparison import Comparison
from edgemesh.backtest.report import AlertResult, BacktestReport
from edgemesh.backtest.run import Answer
from edgemesh.console.views import plain
from edgemesh.launch.lines import duration_text, instant_text
from edgemesh.launch.verdict import table_lines

MOST_ALERTS = 40
_ID_SIGNS = 8


def answer_lines(answer: Answer) -> list[str]:
    """All lines of the answer."""
    report = answer.report
    lines = [
        f"{report.data}: {instant_text(report.from_ns)} to {instant_text(report.to_ns)}, {report.rows} rows,"
        f" {report.readings} readings",
        "",
    ]
    if answer.against is None or answer.comparison is None:
        lines += table_lines(report.files, report.total)
        lines += ["", *_alerts(report.alerts)]
    else:
        lines += _side_by_side(report, answer.against)
        lines += ["", *_differences(report, answer.against, answer.comparison)]
    reports = [report, answer.against] if answer.against else [report]
    notes = dict.fromkeys(note for each in reports for note in each.notes)
    rows, seconds = sum(each.rows for each in reports), sum(each.seconds for each in reports)
    return [*lines, "", *notes, f"{seconds:.1f} s, {rows / max(seconds, 0.01):.0f} rows/s"]


def _alerts(alerts: Sequence[AlertResult]) -> list[str]:
    if not alerts:
        return ["no alert would have fired"]
    width = min(24, max(len(alert.asset) for alert in alerts))
    heads = f"{'fires (UTC)':<20} {'for':>7} {'severity':<8} {'alert':<{_ID_SIGNS}} {'asset':<{width}} what"
    lines = [heads, *(_line(alert, width) for alert in alerts[:MOST_ALERTS])]
    if len(alerts) > MOST_ALERTS:
        lines.append(f"... and {len(alerts) - MOST_ALERTS} more; --json has all")
    return lines


def _line(alert: AlertResult, width: int) -> str:
    lasted = "stands" if alert.lasted_s is None else duration_text(alert.lasted_s)
    what = plain(alert.cause) or ", ".join(alert.metrics)
    name = f"{alert.asset[:width]:<{width}}"
    return f"{instant_text(alert.raised_at_ns)} {lasted:>7} {alert.severity:<8} {alert.id[:_ID_SIGNS]} {name} {what}"


def _side_by_side(here: BacktestReport, there: BacktestReport) -> list[str]:
    rows = [("", f"A {here.config}", f"B {there.config}")]
    rows += [(name, a, b) for (name, a), (_, b) in zip(_figures(here), _figures(there), strict=True)]
    width = max(len(row[1]) for row in rows)
    return [f"{name:<16} {a:<{width}}   {b}".rstrip() for name, a, b in rows]


def _figures(report: BacktestReport) -> list[tuple[str, str]]:
    total = report.total
    severities = ("critical", "warning", "info")
    counts = [(name, sum(alert.severity == name for alert in report.alerts)) for name in severities]
    by_severity = ", ".join(f"{count} {name}" for name, count in counts if count)
    figures = [
        ("alerts", f"{total['alerts']}" + (f" ({by_severity})" if by_severity else "")),
        ("orders", f"{total['orders']}"),
        ("time in alarm", duration_text(report.alarm_s)),
    ]
    labelled = total["f1"] is not None
    delays = [each.detected_after_s for each in report.files if each.detected_after_s is not None]
    figures += [
        ("faults detected", f"{total['detected']} of {total['faults']}" if labelled else "no labels"),
        ("median delay", f"{median(delays):.1f} s" if delays else "-"),
    ]
    for name, key, digits in (("F1", "f1", 3), ("FAR %", "far", 1), ("MAR %", "mar", 1)):
        value = total[key]
        figures.append((name, "-" if value is None else f"{value:.{digits}f}"))
    return figures


def _differences(here: BacktestReport, there: BacktestReport, comparison: Comparison) -> Iterable[str]:
    only_here = [alert for alert in here.alerts if alert.id in comparison.only_here]
    only_there = [alert for alert in there.alerts if alert.id in comparison.only_there]
    for name, alerts in (("A", only_here), ("B", only_there)):
        yield f"only in {name}: {len(alerts) or 'none'}"
        if alerts:
            yield from (f"  {line}" for line in _alerts(alerts))
    both = comparison.both
    yield f"in both: {len(both) or 'none'}"
    if both:
        late = median(pair.later_s for pair in both)
        when = "at the same time" if late == 0 else f"{abs(late):g} s {'later' if late > 0 else 'sooner'}"
        yield f"  B fires {when} (median of {len(both)})"
