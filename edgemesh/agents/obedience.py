"""Commands to an agent's core: handled in a step like all that comes in, and answered once that is on the disk."""

from __future__ import annotations

from edgemesh.agents.core import CommandedCore
from edgemesh.agents.items import Heard
from edgemesh.agents.runtime import Runtime
from edgemesh.bus.contract import Message
from edgemesh.model.commands import Command, Reply
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics


class Obedience:
    """Hands commands over to the core of an agent that takes some, and publishes what it says to them."""

    def __init__(self, agent: Runtime, topics: Topics) -> None:
        self._agent, self._topics = agent, topics

    def take(self, message: Message, command: Command) -> None:
        """Take a command over; its message is settled with the commit. Event loop only."""
        agent = self._agent
        if not isinstance(agent.engine.core, CommandedCore):
            if command.assign is not None or command.explain is not None:
                self._say(Reply(id=command.id, agent=agent.name, done=False, text="takes no such command"))
            message.settle()
            return

        def handled() -> None:
            core = agent.engine.core
            reply = core.reply(command.id) if isinstance(core, CommandedCore) else None
            self._say(reply or Reply(id=command.id, agent=agent.name, done=False, text="failed, its log says why"))
            message.settle()

        agent.offer(Heard("command", agent.name, message.topic, message.payload, handled))

    def _say(self, reply: Reply) -> None:
        self._agent.bus.publish(self._topics.reply(self._agent.name), codec.encode(reply))
