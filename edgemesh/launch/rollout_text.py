"""Rollouts in words."""

from __future__ import annotations

from edgemesh.model.rollouts import ModelFigures, ModelState, RolloutStage


def stage_text(stage: RolloutStage) -> str:
    """A stage for people."""
    return {
        RolloutStage.WAITING: "waits",
        RolloutStage.REFUSED: "refused",
        RolloutStage.SHADOW: "in the shadow",
        RolloutStage.CANARY: "on probation",
        RolloutStage.PROMOTED: "in use",
        RolloutStage.ROLLED_BACK: "rolled back",
    }[stage]


def line_of(state: ModelState) -> str:
    """What a detector says of an offer, on one line."""
    so_far = "" if state.stage.over or state.stage is RolloutStage.WAITING else f" {state.done:.0%}"
    used = f"version {state.used} judges" if state.used else "no model judges yet"
    what = f" version {state.version}" if state.version else ""
    line = f"{state.asset}:{what} {stage_text(state.stage)}{so_far}, {used}"
    if state.reason:
        line += f": {state.reason}"
    if state.new is not None and state.new.rows:
        line += f"\n  new     {_figures(state.new)}"
    if state.former is not None:
        line += f"\n  former  {_figures(state.former)}"
    return line


def _figures(figures: ModelFigures) -> str:
    cost = f", {figures.us_per_row:.0f} us a row" if figures.us_per_row else ""
    return (
        f"{figures.rows} rows, {figures.alerts} alerts for {figures.firing_s:.0f} s, score {figures.median:.2f} in the "
        f"middle and {figures.top:.2f} at 99 %, {figures.high:.1%} high{cost}"
    )
