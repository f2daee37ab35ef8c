"""Patience with what makes an agent fail: three tries, then the one to blame is given up and the rest goes on.

The step that fails may hold many items. Where the core names the item by raising on it, that item is tried; where
nothing names one (a sink, the saving of the state), items are taken one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edgemesh.agents.items import Item, Outcome
from edgemesh.errors import LogError, StoreError

logger = logging.getLogger(__name__)

MAX_TRIES = 3


class Poisoned(Exception):
    """The core raised for this item (None: for the passing of time); the step starts again from the disk."""

    def __init__(self, item: Item | None) -> None:
        self.item = item
        super().__init__()


class Patience:
    """Runs steps. `attempt` does one, all of it or nothing; `undo` goes back to what the disk says after one failed.

    `attempt` asks `spent` before it hands an item to the core, and passes over one that is. What the disk has no room
    for, and a sink that wants to be tried again, is nobody's fault: that is raised, and the same items come again.
    """

    def __init__(self, attempt: Callable[[Sequence[Item]], Outcome], undo: Callable[[], None]) -> None:
        self._attempt, self._undo = attempt, undo
        self._tries: dict[Item | None, int] = {}
        self._failures = 0
        self._done: dict[Item, None] = {}
        self._partial = Outcome()

    def spent(self, item: Item | None) -> bool:
        """Whether this item has failed three times and is to be given up."""
        return self._tries.get(item, 0) >= MAX_TRIES

    @property
    def suspicious(self) -> bool:
        """Whether something failed in this step: what came together is better handled apart."""
        return bool(self._tries)

    def step(self, items: Sequence[Item]) -> Outcome:
        """Handle the items. What is raised leaves nothing half done: call again with the same items.

        A failure without a name is raised twice; then an item is blamed if the agent works without it.
        """
        if self._done:
            return self._one_by_one(items)
        try:
            outcome = self._try(items)
        except Exception as error:
            self._failures += 1
            if not _blames_input(error) or self._failures < MAX_TRIES or not items:
                raise
            logger.exception("a step failed %d times: its %d items are taken one by one", MAX_TRIES, len(items))
            return self._one_by_one(items)
        self._partial.add(outcome)
        return self._finish()

    def _try(self, items: Sequence[Item]) -> Outcome:
        """One step, as often as the core names somebody to blame."""
        while True:
            try:
                return self._attempt(items)
            except Poisoned as poisoned:
                self._tries[poisoned.item] = self._tries.get(poisoned.item, 0) + 1
                self._undo()
            except BaseException:
                self._undo()
                raise

    def _one_by_one(self, items: Sequence[Item]) -> Outcome:
        if not self._done:
            self._partial.add(self._try(()))  # raises where nobody's item is to blame
        for item in items:
            if item not in self._done:
                self._partial.add(self._alone(item))
                self._done[item] = None
        return self._finish()

    def _alone(self, item: Item) -> Outcome:
        while True:
            try:
                return self._try((item,))
            except Exception as error:
                if not _blames_input(error) or self.spent(item):
                    raise
                logger.exception("%s makes the agent fail", getattr(item, "topic", type(item).__name__))
                self._tries[item] = self._tries.get(item, 0) + 1

    def _finish(self) -> Outcome:
        outcome, self._partial = self._partial, Outcome()
        self._done.clear()
        self._tries.clear()
        self._failures = 0
        return outcome


def _blames_input(error: Exception) -> bool:
    return not (isinstance(error, LogError) or (isinstance(error, StoreError) and error.retryable))
