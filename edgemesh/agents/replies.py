"""Replies: what a core has said to commands, until somebody asks."""

from __future__ import annotations

from edgemesh.model.commands import Command, Explanation, Reply

MOST = 64
"""So many replies are remembered, so that the same command twice is once; none over a start."""


class Replies:
    """The newest replies of an agent, by the id of the command."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._said: dict[str, Reply] = {}

    def get(self, command: str) -> Reply | None:
        """What was said; None: the command was not handled."""
        return self._said.get(command)

    def put(self, command: Command, text: str, *, done: bool, explanation: Explanation | None = None) -> None:
        """Say what came of a command."""
        self._said[command.id] = Reply(
            id=command.id, agent=self._agent, done=done, text=text[:1024], explanation=explanation
        )
        while len(self._said) > MOST:
            del self._said[next(iter(self._said))]
