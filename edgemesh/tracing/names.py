"""Names of spans and of their attributes: the one place that holds to a version of OpenTelemetry's conventions.

Semantic conventions 1.30.0, messaging: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
A span's name is a tag in InfluxDB, so there are few of them and no id is ever part of one.
"""

from __future__ import annotations

SEMCONV = "1.30.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{SEMCONV}"
NAMESPACE = "edgemesh"
"""`service.namespace`; `service.name` is the role, `service.instance.id` the agent."""

SAMPLE = "sample"
"""From the reading of a sensor until its gateway begins to commit it."""
COMMIT = "commit {kind}"
PUBLISH = "publish {kind}"
RECEIVE = "receive {kind}"
"""From the arrival of a pack until its turn has come."""
PROCESS = {"readings": "score", "alerts": "triage"}
"""What the reader of a kind of log does with a pack."""
ALERT = "alert"
"""A version of an alert comes onto the disk."""
DISPATCH, ANSWER, WORK, VERIFY, CLOSE, ESCALATE = "dispatch", "answer", "work", "verify", "close", "escalate"
REFUSE = "refuse"
"""Input that breaks the rules."""

SYSTEM = "messaging.system"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
MESSAGE = "messaging.message.id"
BATCH = "messaging.batch.message_count"
ERROR = "error.type"

ASSET, DEVICES, READINGS, SEVERITY = "edgemesh.asset", "edgemesh.devices", "edgemesh.readings", "edgemesh.severity"
ALERT_ID, ORDER_ID, VERSION, STATE = "edgemesh.alert", "edgemesh.order", "edgemesh.version", "edgemesh.state"
CAUSE, EXECUTOR, ATTEMPT, SAID = "edgemesh.cause", "edgemesh.executor", "edgemesh.attempt", "edgemesh.answer"
DERIVED = "edgemesh.derived"
"""1: the span is derived from times that a record carries, not measured."""
