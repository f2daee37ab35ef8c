"""Score: one number per row of a recorded file, from the scoring engine alone, for referees from outside."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from edgemesh.configuration.detectors import check_method
from edgemesh.configuration.reader import convert, read_toml
from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.scoring import AutoScorer
from edgemesh.detect.models.settings import ScoreSettings
from edgemesh.drivers.instants import reader_of
from edgemesh.drivers.replay.cells import number_of
from edgemesh.drivers.replay.layout import Layout
from edgemesh.drivers.replay.recording import Recording, open_recording
from edgemesh.drivers.replay.settings import Settings as ReplaySettings
from edgemesh.errors import InputError

_ROWS_AT_ONCE = 64
_SECTION = "scoring"
_NS = 10**9

Row = tuple[int, list[float | None]]


class ScoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `train_rows` and `seed` win over the `[scoring]` section of `config`."""

    source: Path
    config: Path | None = None
    train_rows: int | None = None
    seed: int | None = None


def read_score_settings(options: ScoreOptions) -> ScoreSettings:
    """The settings that the options ask for. ConfigError says what is wrong in the file or the call."""
    tree = read_toml(options.config, {}) if options.config is not None else {}
    section = tree.get(_SECTION, {})
    parts = {name: dict(section.get(name, {})) for name in ("machine", "series")} if isinstance(section, dict) else {}
    for table in parts.values():
        table.update({name: value for name in ("train_rows", "seed") if (value := getattr(options, name)) is not None})
    asked = {**section, **parts} if isinstance(section, dict) else section
    file = str(options.config or "the call")
    settings = convert({_SECTION: asked}, _Section, file=file).scoring
    check_method(settings, file=file, path=_SECTION)
    return settings


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    scoring: ScoreSettings


def score(options: ScoreOptions) -> Iterator[Judgement]:
    """Judge the file's rows one after the other, strictly forwards: one judgement for each row below the heads.

    Columns of labels are not read. A cell that is no number is unknown, and so is the time of a row without one.
    InputError when the file can't be used at all.
    """
    settings = read_score_settings(options)
    recording = open_recording(options.source, ReplaySettings(path=str(options.source)))
    layout = recording.layout
    channels = [("", metric, unit) for metric, unit in zip(layout.metrics, layout.units, strict=True)]
    scorer = AutoScorer(channels, settings)
    rows = _rows(recording, layout)
    while block := list(islice(rows, _ROWS_AT_ONCE)):
        yield from scorer.take([at_ns for at_ns, _ in block], [values for _, values in block])


def _rows(recording: Recording, layout: Layout) -> Iterator[Row]:
    instant = reader_of(layout.time_example, layout.time_format)
    at_ns = 0
    with recording.path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter=layout.separator)
        next(reader, None)
        try:
            for cells in reader:
                if not cells:
                    continue
                cells += [""] * (layout.width - len(cells))
                try:
                    at_ns = instant(cells[layout.time_at])
                except ValueError:
                    at_ns += _NS
                yield at_ns, [number_of(cells[place], layout.decimal) for place in layout.metrics_at]
        except (OSError, csv.Error) as error:
            raise InputError(f"can't be read any further: {error}", source=str(recording.path)) from error
