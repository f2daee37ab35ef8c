"""Names from outside (column heads, file names, host names) as identifiers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SEAM = re.compile(r"(?<=[a-z0-9]{2})(?=[A-Z])")
_FOREIGN = re.compile(r"[^a-z0-9]+")
_FOREIGN_ID = re.compile(r"[^A-Za-z0-9_-]+")
_LENGTH = 64


def metric_name(text: str) -> str:
    """A column head as the name of a metric, or an empty text when nothing of it is left.

    The rule, in this order: accents go; an underscore comes between two or more lower-case letters or digits and the
    capital after them; everything becomes lower case; each run of other characters becomes one underscore; underscores
    at the ends go; the first 64 characters stay.

    >>> metric_name("Volume Flow RateRMS")
    'volume_flow_rate_rms'
    >>> metric_name("Accelerometer1RMS"), metric_name("Größe (kWh)"), metric_name("PM2.5")
    ('accelerometer1_rms', 'groe_kwh', 'pm2_5')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _FOREIGN.sub("_", _SEAM.sub("_", plain).lower()).strip("_")[:_LENGTH].rstrip("_")


def metric_names(heads: Iterable[str]) -> list[str]:
    """One name for each head: `column_3` (from 1) for one without any; `_2`, `_3` … come after a repeated one."""
    names: list[str] = []
    for position, head in enumerate(heads, start=1):
        name = first = metric_name(head) or f"column_{position}"
        repeat = 1
        while name in names:
            repeat += 1
            name = f"{first[: _LENGTH - 6]}_{repeat}"
        names.append(name)
    return names


def id_from(text: str) -> str:
    """A text as an identifier: each run of characters that it can't have becomes `_`, at most 64 stay; may be empty.

    >>> id_from("pump hall/7")
    'pump_hall_7'
    """
    return _FOREIGN_ID.sub("_", text)[:_LENGTH]
