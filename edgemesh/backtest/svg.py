"""A drawing in SVG: small, with texts for readers that see no picture, light or dark as the viewer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 760.0

_COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1b1f24", "#e6edf3"),
    "soft": ("#59636e", "#9aa7b4"),
    "grid": ("#d8dee4", "#30363d"),
    "signal": ("#0a58a8", "#6cb6ff"),
    "second": ("#8250a8", "#d2a8ff"),
    "score": ("#0f6d31", "#56d364"),
    "other": ("#9a5b00", "#f0b35e"),
    "limit": ("#b3261e", "#ff8f87"),
    "alert": ("#c9372c", "#ff7b72"),
    "label": ("#6e7781", "#8b96a1"),
}
"""Each colour on light and on dark; lines and texts stand out from the paper by 4.5 to 1 at least."""

_FILLED = ("paper", "ink", "soft", "alert", "label", "other")
_DRAWN = ("grid", "signal", "second", "score", "other", "limit")


def _rules(dark: int) -> str:
    fills = "".join(f".{name}-fill{{fill:{_COLOURS[name][dark]}}}" for name in _FILLED)
    return fills + "".join(f".{name}-line{{stroke:{_COLOURS[name][dark]}}}" for name in _DRAWN)


def style(*, dark: bool | None = None) -> str:
    """The style sheet; `dark` decides, None: the viewer does."""
    rules = _rules(bool(dark))
    if dark is None:
        rules += f"@media (prefers-color-scheme:dark){{{_rules(1)}}}"
    return (
        "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
        ".head{font-size:17px;font-weight:600}.name{font-weight:600}"
        "path,line{fill:none}.thin{stroke-width:1}.thick{stroke-width:1.5;stroke-linejoin:round}"
        ".dash{stroke-dasharray:6 4}.dots{stroke-dasharray:2 2}.veil{opacity:.16}.range{opacity:.35}"
        "@media (max-width:560px){text{font-size:19px}.head{font-size:22px}.wide{display:none}}"
    ) + rules


class Drawing:
    """Collects shapes from top to bottom; all lengths are in units of which the width has 760."""

    def __init__(self, title: str, description: str, *, dark: bool | None = None) -> None:
        self._title, self._description, self._dark = title, description, dark
        self._shapes: list[str] = []

    def text(self, x: float, y: float, text: str, kind: str = "ink-fill", *, anchor: str = "start") -> None:
        """A line of text whose foot stands at y."""
        where = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{where}>{_clean(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> None:
        """A filled rectangle at least a unit wide; `tip` is what a pointer or a screen reader is told of it."""
        shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width):.1f}" height="{height:.1f}" class="{kind}"'
        self._shapes.append(f"{shape}><title>{_clean(tip)}</title></rect>" if tip else shape + "/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._shapes.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def curve(self, runs: Iterable[Sequence[tuple[float, float]]], kind: str) -> None:
        """A curve of several runs of points."""
        steps = ("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _drawable(run)) for run in runs if run)
        path = "".join(steps)
        if path:
            self._shapes.append(f'<path d="{path}" class="{kind}"/>')

    def finish(self, height: float) -> str:
        """The whole file."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
            f'aria-labelledby="title desc" style="max-width:1100px;width:100%;height:auto">'
            f'<title id="title">{_clean(self._title)}</title><desc id="desc">{_clean(self._description)}</desc>'
            f"<style>{style(dark=self._dark)}</style>"
            f'<rect width="100%" height="100%" class="paper-fill"/>' + "".join(self._shapes) + "</svg>\n"
        )


def _drawable(run: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """A run of one point would not be seen."""
    return run if len(run) > 1 else (run[0], (run[0][0] + 1.0, run[0][1]))


def _clean(text: str) -> str:
    """The text as XML takes it: escaped, without control characters."""
    return escape("".join(sign if sign.isprintable() else " " for sign in text))
