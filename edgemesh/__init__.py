"""edgemesh: an MQTT mesh of agents that watches machines."""

import atexit
import gc

__version__ = "0.1.0"

# At its end Python collects all types there are. msgspec 0.22 may crash there, after all work is done, and the exit
# status would be that of a crash (https://github.com/msgspec/msgspec/issues/717): what is frozen is not collected.
atexit.register(gc.freeze)
