"""The picture of a backtest: signals, score, threshold, alerts and labels of each asset over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemesh.backtest.panels import Panel, SignalCurve, make_panels
from edgemesh.backtest.run import Traces
from edgemesh.backtest.scales import Scale, runs_of, time_marks, value_marks, value_range
from edgemesh.backtest.svg import WIDTH, Drawing
from edgemesh.backtest.traces import Bucket
from edgemesh.errors import InputError
from edgemesh.launch.lines import count_text, instant_text

KINDS = (".svg", ".png")
MOST_PANELS = 12
_LEFT, _RIGHT = 16.0, WIDTH - 16.0
_PLOT = _RIGHT - 60.0  # the curves' right end; marks of values stand beyond it
_SIGNAL, _SCORE, _STRIP, _LINE = 92.0, 62.0, 12.0, 24.0
_TOP_SCORE = 4.0
_PNG_SCALE = 2


def write_picture(runs: Sequence[Traces], file: Path) -> None:
    """Draw one or two runs over the same data; the name's end says whether as SVG or PNG.

    InputError when the file can't be written or has another end; ModuleNotFoundError when PNG needs an extra.
    """
    check_picture(file)
    try:
        if file.suffix.lower() == ".svg":
            file.write_text(draw(runs), encoding="utf-8")
        else:
            file.write_bytes(_rasterized(draw(runs, dark=False)))
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", source=str(file)) from error


def check_picture(file: Path) -> None:
    """What can be known before the work is done: InputError for a kind there is not, or a folder there is not."""
    if file.suffix.lower() not in KINDS:
        raise InputError("is no picture that can be drawn", source=str(file), wish="end its name in .svg or .png")
    if not file.parent.is_dir():
        raise InputError("there is no such folder", source=str(file.parent), wish="make it first")
    if file.suffix.lower() == ".png":
        import resvg_py  # noqa: F401


def _rasterized(svg: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=int(WIDTH) * _PNG_SCALE))


def draw(runs: Sequence[Traces], *, dark: bool | None = None) -> str:
    """The picture as SVG; `dark` None: as the viewer likes it."""
    panels, left_out = make_panels(runs, MOST_PANELS)
    lines = _head(runs, panels, left_out)
    drawing = Drawing(f"Backtest of {runs[0].configuration.file.name}", " ".join(lines), dark=dark)
    y = 30.0
    drawing.text(_LEFT, y, lines[0], "ink-fill head")
    for line in lines[1:]:
        y += _LINE
        drawing.text(_LEFT, y, line, "soft-fill")
    for panel in panels:
        y = _draw_panel(drawing, panel, y + 22.0)
    return drawing.finish(y + 16.0)


def _head(runs: Sequence[Traces], panels: Sequence[Panel], left_out: int) -> list[str]:
    report = runs[0].report
    if report is None:
        return ["nothing was played"]
    names = [run.configuration.file.name for run in runs]
    title = names[0] if len(names) == 1 else f"A {names[0]}, B {names[1]}"
    lines = [f"{title} on {Path(report.data).name}"]
    lines.append(f"{instant_text(report.from_ns)} to {instant_text(report.to_ns)}, {report.rows} rows")
    for run, name in zip(runs, "AB", strict=False):
        if run.report:
            total = run.report.total
            found = f"{count_text(len(run.report.alerts), 'alert')}, {count_text(len(run.report.orders), 'order')}"
            if total["f1"] is not None:
                found += f", F1 {total['f1']:.3f}, FAR {total['far']:.1f} %, MAR {total['mar']:.1f} %"
            lines.append(found if len(runs) == 1 else f"{name}: {found}")
    if left_out:
        lines.append(f"shown: the {len(panels)} assets with most to tell; {left_out} more were played")
    return lines


def _draw_panel(drawing: Drawing, panel: Panel, y: float) -> float:
    """Draw one asset below y; return where it ends."""
    drawing.line(_LEFT, y, _RIGHT, y, "grid-line thin")
    y += _LINE
    drawing.text(_LEFT, y, panel.asset, "ink-fill name")
    drawing.text(_RIGHT, y, panel.alerts, "soft-fill", anchor="end")
    times = Scale(panel.begin_ns, panel.end_ns, _LEFT, _PLOT)
    top = y + 6.0
    for number, signal in enumerate(panel.signals):
        y = _draw_signal(drawing, signal, times, y + 6.0, ("signal", "second")[number % 2])
    if panel.scores:
        y = _draw_scores(drawing, panel.scores, times, y + 6.0)
    _draw_veils(drawing, panel, times, top, y)
    for strip in panel.strips:
        y += _LINE + _STRIP
        drawing.text(_LEFT, y - _STRIP - 5.0, strip.name if strip.stretches else f"{strip.name}: none", "soft-fill")
        drawing.line(_LEFT, y - _STRIP / 2, _PLOT, y - _STRIP / 2, "grid-line thin")
        for begin_ns, end_ns, tip in strip.stretches:
            x = times.at(begin_ns)
            drawing.box(x, y - _STRIP, times.at(end_ns) - x, _STRIP, f"{strip.kind}-fill", tip)
    return _draw_times(drawing, panel, times, y)


def _draw_signal(drawing: Drawing, signal: SignalCurve, times: Scale, y: float, colour: str) -> float:
    unit = "" if signal.unit == "1" else f" in {signal.unit}"
    low, high = value_range(signal.buckets, signal.levels)
    scale = Scale(low, high, y + _LINE + _SIGNAL, y + _LINE)
    drawing.text(_LEFT, y + _LINE - 7.0, f"{signal.name}{unit}", "ink-fill")
    _draw_grid(drawing, scale, value_marks(low, high))
    for level in signal.levels:
        if low <= level <= high:
            drawing.line(_LEFT, scale.at(level), _PLOT, scale.at(level), "limit-line thick dash")
    _draw_curve(drawing, signal.buckets, times, scale, f"{colour}-line")
    return y + _LINE + _SIGNAL


def _draw_scores(drawing: Drawing, scores: Sequence[tuple[str, Sequence[Bucket]]], times: Scale, y: float) -> float:
    most = max(bucket.high for _, buckets in scores for bucket in buckets)
    high = min(_TOP_SCORE, max(1.5, most))
    scale = Scale(0.0, high, y + _LINE + _SCORE, y + _LINE)
    notes = ["B dotted"] * (len(scores) > 1) + [f"cut at {high:g}"] * (most > high)
    more = f" ({', '.join(notes)})" if notes else ""
    drawing.text(_LEFT, y + _LINE - 7.0, f"score{more}; above 1, the broken line, it is strange", "ink-fill")
    _draw_grid(drawing, scale, [mark for mark in value_marks(0.0, high) if mark != 1.0])
    drawing.line(_LEFT, scale.at(1.0), _PLOT, scale.at(1.0), "limit-line thick dash")
    for number, (_, buckets) in enumerate(scores):
        _draw_curve(drawing, buckets, times, scale, ("score-line", "other-line dots")[number % 2])
    return y + _LINE + _SCORE


def _draw_curve(drawing: Drawing, buckets: Sequence[Bucket], times: Scale, scale: Scale, kind: str) -> None:
    """Where a bucket holds many values, what lies between the least and the greatest stays in sight behind the mean."""
    runs = runs_of(buckets)
    spans: list[list[tuple[float, float]]] = []
    for run in runs:
        x = [times.at(bucket.at_ns) for bucket in run]
        heights = [(scale.at(bucket.low), scale.at(bucket.high)) for bucket in run]
        spans.append([(at, height) for at, pair in zip(x, heights, strict=True) for height in pair])
    if any(bucket.high > bucket.low for bucket in buckets):
        drawing.curve(spans, f"{kind} thin range")
    drawing.curve(([(times.at(b.at_ns), scale.at(b.mean)) for b in run] for run in runs), f"{kind} thick")


def _draw_grid(drawing: Drawing, scale: Scale, marks: Sequence[float]) -> None:
    for mark in marks:
        y = scale.at(mark)
        drawing.line(_LEFT, y, _PLOT, y, "grid-line thin")
        drawing.text(_RIGHT, y + 5.0, f"{mark:g}", "soft-fill", anchor="end")


def _draw_veils(drawing: Drawing, panel: Panel, times: Scale, top: float, foot: float) -> None:
    """What a strip says, faintly behind the curves of the asset, too."""
    for strip in panel.strips:
        if strip.kind in ("alert", "label"):
            for begin_ns, end_ns, _ in strip.stretches:
                x = times.at(begin_ns)
                drawing.box(x, top, times.at(end_ns) - x, foot - top, f"{strip.kind}-fill veil")


def _draw_times(drawing: Drawing, panel: Panel, times: Scale, y: float) -> float:
    marks = time_marks(panel.begin_ns, panel.end_ns)
    for number, (at_ns, text) in enumerate(marks):
        x = times.at(at_ns)
        drawing.line(x, y + 2.0, x, y + 7.0, "grid-line thin")
        if _LEFT + 40.0 < x < _PLOT:
            drawing.text(x, y + _LINE, text, "soft-fill wide" if number % 2 else "soft-fill", anchor="middle")
    return y + _LINE + 6.0
