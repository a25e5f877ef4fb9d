"""The fault kit itself: each transport, each end, and the journal beside the gateway's ledger."""
import json

import pytest
from fault_backend import TRANSPORTS
from gate import INPUT, OUTPUT, text_of


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_well(fault_gate, transport):
    g, key, b = fault_gate(transport)
    a = g.chat(key, "#tokens=5 one two canary-x")
    assert a.json()["choices"][0]["message"]["content"] == "canary-x " * 5
    row = g.settlement(a.headers["x-request-id"])
    assert (row["lines"][INPUT][0], row["lines"][OUTPUT][0]) == (4, 5)
    s = g.stream(key, "#tokens=500 #delay=1 x", stream_options={"include_usage": True}, max_tokens=600)
    events = s.rest()
    assert events[-1] == "[DONE]" and text_of(events) == "tok " * 500
    assert events[-2]["usage"]["completion_tokens"] == 500
    assert [r["event"] for r in b.rows(rid=row["rid"])] == ["start", "first", "final"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_cancel_is_in_the_journal(fault_gate, transport):
    g, key, b = fault_gate(transport, {"do": [{"tokens": 3}, "hang"]})
    s = g.stream(key, "x")
    s.read(3)
    row = b.wait_row("first")
    s.close()
    assert b.wait_row("cancel")["rid"] == row["rid"]
    assert g.settlement(s.request_id)["lines"][OUTPUT][0] == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", ["fin", "reset", "exit"])
def test_the_end_of_a_connection(fault_gate, transport, end):
    g, key, b = fault_gate(transport, {"do": [{"tokens": 3}, {"wait": 50}, end]})
    s = g.stream(key, "x")
    assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    assert g.settlement(s.request_id)["outcome"] == "upstream_cut"
    b.play({"do": [{"tokens": 1}, "final"]}) if end != "exit" else None


def test_the_request_is_its_own_script(fault_gate):
    g, key, b = fault_gate("http")
    own = json.dumps({"do": [{"tokens": 2, "text": "own"}, "final"]})
    assert text_of(g.stream(key, f"x #script={own}").rest()) == "ownown"
    assert b.rows("final")[-1]["output_tokens"] == 2
