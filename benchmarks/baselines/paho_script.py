"""The threshold job as a plain paho script: `python paho_script.py HOST PORT`.

Device -> broker -> this script -> broker -> executor, QoS 0, nothing on any disk: what is in flight when a process or
the broker dies is gone, and what is done twice is done twice.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

LIMIT, CLEAR = 100.0, 90.0


def main(host: str, port: int) -> None:
    firing: set[str] = set()

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe("bench/+/data", qos=0)

    def on_message(client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        device, value = message.topic.split("/")[1], json.loads(message.payload)["value"]
        if value > LIMIT and device not in firing:
            firing.add(device)
            order = {"asset": device, "title": "Look after it", "cause": f"value {value} > {LIMIT}"}
            client.publish("plain/dispatch/tech-1", json.dumps({"orders": [order]}))
        elif value < CLEAR:
            firing.discard(device)

    def on_socket_open(_client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message, client.on_socket_open = on_connect, on_message, on_socket_open
    client.connect(host, port)
    client.loop_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
