"""Lines for what a healthy site does not show, and for measurements that are agreed upon but not written yet."""

from __future__ import annotations

SECOND_NS = 10**9
HERE = "site=hall,gateway=g1,asset=pump-1"
TRACE, OTHER = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
SPANS = (
    ("a1", "", "gateway-1", "commit", 0, 4_000_000, "OK"),
    ("b2", "a1", "detector-1", "score", 5_000_000, 1_500, "ERROR"),
)
"""Span, parent, service, name, offset and duration in ns, status."""


def lines(at_ns: int) -> str:
    """Lines of the ten seconds before a moment, in InfluxDB's form."""
    made = [*_readings(), *_alerts(), *_orders(), *_cards(), *_spans(), *_scores(), *_logs()]
    return "\n".join(f"{line} {at_ns - 10 * SECOND_NS + after}" for line, after in made)


def rollups(at_ns: int) -> str:
    """The same for the second bucket."""
    return f"reading_1m,{HERE},device=d1,metric=flow mean=1.5,min=1,max=2,count=60i,last=1 {at_ns - 5 * SECOND_NS}"


def _readings() -> list[tuple[str, int]]:
    doubtful = f"reading,{HERE},device=d1,metric=flow value=3,quality=1i,late=1i"
    return [(doubtful, 0), ('reading_overflow,site=hall,gateway=g1 asset="a",device="d",metric="m",value=1', 1)]


def _alerts() -> list[tuple[str, int]]:
    made = []
    for n, severity in enumerate(("critical", "warning", "info")):
        fields = f'id="{severity}",version=1i,cause="gone",action="look"'
        made.append((f"alert,{HERE},kind=silent,severity={severity},state=firing {fields}", n))
    return made


def _orders() -> list[tuple[str, int]]:
    tags = "workorder,site=hall,asset=pump-1,priority=P1,skill=electrician"
    return [
        (f'{tags},state=open id="o1",version=1i,attempt=0i,escalated=1i', 0),
        (f'{tags},state=dispatched,executor=ana id="o1",version=2i,attempt=2i,escalated=0i', 1),
        (f'{tags},state=verified,executor=ana id="o2",version=9i,attempt=1i,verdict="real_fault"', 2),
    ]


def _cards() -> list[tuple[str, int]]:
    said = 'trouble="the disk is full",notice="a clock is slow",full_in_s=60'
    return [(f"agent_health,site=hall,agent=gateway-1,role=gateway up=1i,{said}", 0)]


def _spans() -> list[tuple[str, int]]:
    made = []
    for span, parent, service, name, after, duration, status in SPANS:
        ids = f'trace_id="{TRACE}",span_id="{span}"' + (f',parent_span_id="{parent}"' if parent else "")
        ends = 10_000 * SECOND_NS + after + duration
        numbers = f"duration_nano={duration}i,end_time_unix_nano={ends}i"
        rest = f'span.kind="internal",otel.status_code="{status}",attributes="{{}}"'
        made.append((f"spans,site=hall,service.name={service},span.name={name} {ids},{numbers},{rest}", after))
    ids = f'trace_id="{TRACE}",span_id="a1",linked_trace_id="{OTHER}",linked_span_id="c3"'
    return [*made, (f"span-links {ids}", 0)]


def _scores() -> list[tuple[str, int]]:
    return [(f'score,{HERE} score=1.2,device="d1",metric="flow"', 0)]


def _logs() -> list[tuple[str, int]]:
    line = f'body="back again",severity_number=9i,trace_id="{TRACE}",span_id="a1",attributes="{{}}"'
    return [(f"logs,site=hall,agent=gateway-1,severity_text=INFO {line}", 0)]
