"""Simulated machines, their firmware and a repair crew, as third parties would bring them to a plant.

Nothing here knows edgemesh: the devices speak three vendors' JSON over MQTT, the crew speaks the documented
dispatch and answer topics, and the only thing that both sides share is the broker.
"""

__version__ = "0.1.0"
