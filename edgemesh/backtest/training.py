"""Training: the model that a detector would learn from recorded data, as a file."""

from __future__ import annotations

import time
from pathlib import Path

from edgemesh.backtest.chain import Chain
from edgemesh.backtest.recorded import Range, open_recorded
from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.plant import need_for_detection
from edgemesh.store.playback import LATEST_NS


def train(config: Path, data: Path, asset: str, *, begin_ns: int = 0, version: int = 1) -> bytes:
    """The model of an asset from recorded data, from `begin_ns` on: the rows that its detector would learn from.

    The configuration's gates, rules and settings count as they do in a detector. ConfigError where nothing is learnt,
    InputError where the data do not hold a whole warm-up.
    """
    configuration = load(config, drivers={"replay": {"path": str(data), "speed": "max"}})
    settings = configuration.settings
    if not settings.detection.model:
        raise ConfigError("is missing", file=str(config), path="detection.model", wish="without it nothing is learnt")
    need_for_detection(settings)
    recorded = open_recorded(data, configuration, Range(begin_ns, LATEST_NS), asset=asset)
    chain = Chain(settings, file=str(config))
    assets: set[str] = set()
    for block in recorded.blocks():
        if recorded.waits:
            chain.wait(block.samples[0].at_ns)
        chain.play(block)
        assets.update(sample.source.asset for sample in block.samples)
        made = chain.model(asset, version=version, now_ns=time.time_ns())
        if made is not None:
            return made
    if asset not in assets:
        raise InputError(
            f"holds nothing of {asset}", source=str(data), wish=f"it holds {', '.join(sorted(assets)[:5])}"
        )
    wish = (
        "a warm-up is as long as `train_rows` says, with its gate open and no rule firing; a slow series has no model"
    )
    raise InputError(f"does not hold enough rows to learn {asset} from", source=str(data), wish=wish)
