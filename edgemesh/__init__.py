"""edgemesh: an MQTT mesh of agents that watches machines."""

__version__ = "0.1.0"
