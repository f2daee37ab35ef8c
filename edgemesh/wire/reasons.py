"""Why input was refused: one code per reason, the same in counters, in the quarantine and in `edgemesh tap`."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """A reason code. SENTENCES says each one in words."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    WRONG_VERSION = "wrong_version"
    WRONG_SHAPE = "wrong_shape"
    TOO_MANY = "too_many"
    BAD_ID = "bad_id"
    BAD_TIME = "bad_time"
    BAD_TOPIC = "bad_topic"
    ID_MISMATCH = "id_mismatch"
    UNKNOWN_DEVICE = "unknown_device"
    NO_VALUES = "no_values"
    BAD_VALUE = "bad_value"
    BAD_UNIT = "bad_unit"
    HANDLER_FAILED = "handler_failed"
    DAMAGED_ROW = "damaged_row"


SENTENCES: dict[Reason, str] = {
    Reason.EMPTY: "The message has no content where some is needed.",
    Reason.TOO_LARGE: "The message has more bytes than are allowed.",
    Reason.NOT_UTF8: "The bytes are not plain UTF-8: wrong bytes, a byte order mark, NUL, or half a surrogate pair.",
    Reason.NOT_JSON: "The text is not JSON: cut off, or with a character where it may not stand.",
    Reason.TOO_DEEP: "Arrays and objects are nested deeper than allowed.",
    Reason.DUPLICATE_KEY: "One object has the same key twice, so it has two meanings.",
    Reason.NOT_FINITE: "A number is NaN, infinite, or too large for a double.",
    Reason.OUT_OF_RANGE: "An integer does not fit into 64 bits with a sign.",
    Reason.WRONG_VERSION: "The schema version `v` is not one that this program understands.",
    Reason.WRONG_SHAPE: "A field is missing, has the wrong type, or does not fit the others.",
    Reason.TOO_MANY: "There are more metrics, samples or records than allowed.",
    Reason.BAD_ID: "A name or id has characters or a length that it may not have.",
    Reason.BAD_TIME: "An instant is no integer of nanoseconds since 1970, or can't be read as a time.",
    Reason.BAD_TOPIC: "The topic is none of edgemesh's.",
    Reason.ID_MISMATCH: "The topic names somebody or something else than the message does.",
    Reason.UNKNOWN_DEVICE: "No device of this name is configured or allowed here.",
    Reason.NO_VALUES: "The message holds no value of any known metric.",
    Reason.BAD_VALUE: "A value is no number where a number is needed.",
    Reason.BAD_UNIT: "The unit is unknown, or can't be converted into the metric's own.",
    Reason.HANDLER_FAILED: "The message was sound but its handler failed on it; that is a fault of this program.",
    Reason.DAMAGED_ROW: "A row of an agent's own log is not what was written: the disk or a copy has damaged it.",
}
