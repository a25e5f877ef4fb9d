"""The network between the gateway and its backends, and before it: late, slow, stalled, cut at byte k."""
import time

import pytest
from fault_backend import CATALOG, FaultBackend, scripted
from fault_proxy import Fault, FaultProxy
from gate import OUTPUT, SLOW, text_of, wait_until
from slow_client import SlowClients, chat_request

STREAM = [{"tokens": 20, "every": 1}, "final"]


@pytest.fixture
def behind(make_gate, tmp_path):
    """(gate, key, backend, proxy): over HTTP or a worker's TCP socket, through a proxy."""
    open_ = []

    def make(transport="http", fault=Fault(), **settings):
        b = FaultBackend.over(transport, tmp_path)
        p = FaultProxy(b.port, fault, fault)
        open_.extend([p, b])
        kind, where = ("http", f"http://127.0.0.1:{p.port}/v1") if transport == "http" else ("socket", f"127.0.0.1:{p.port}")
        g = make_gate(catalog=CATALOG, worker=False, settings=settings,
                      fields={"kind": kind, "where": where, "options": "", "concurrency": 64})
        g.wait_backend("fault")
        return g, g.key(), b, p
    yield make
    for each in open_:
        each.stop()


@pytest.mark.short
@pytest.mark.parametrize("transport", ["http", "tcp"])
@pytest.mark.parametrize("fault", [Fault(delay_ms=20), Fault(rate=20000), Fault(rate=3000, delay_ms=5)])
def test_late_and_slow_is_only_late_and_slow(behind, transport, fault):
    g, key, b, p = behind(transport, fault)
    s = g.stream(key, scripted("x", *STREAM), stream_options={"include_usage": True})
    events = s.rest()
    assert events[-1] == "[DONE]" and text_of(events) == "tok " * 20
    assert g.settlement(s.request_id)["lines"][OUTPUT][0] == 20


@pytest.mark.parametrize("what", ["reset_at", "fin_at", "stall_at"])
@pytest.mark.parametrize("k", [0, 1, 50, 200, 900])
def test_an_answer_cut_at_byte_k_is_never_run_twice(behind, what, k):
    g, key, b, p = behind("http", first_byte_timeout_ms="500ms", chunk_timeout_ms="500ms")
    p.down = Fault(**{what: k})
    s = g.stream(key, scripted("x", *STREAM))
    if s.head().status == 200:
        assert s.rest()[-1]["error"]["code"] in ("upstream_cut", "deadline_exceeded", "backend_protocol_error")
        assert g.settlement(s.request_id)["outcome"] == "upstream_cut"
    else:
        assert s.status in (502, 503, 504)
        assert g.settlement(s.request_id)["amount_atoms"] == 0
    assert len(b.rows("start")) == 1
    p.down = Fault()
    a = g.chat(key, "#tokens=2 y")
    assert a.status == 200 and a.json()["choices"][0]["message"]["content"] == "tok tok "


@pytest.mark.parametrize("k", [0, 1, 100, 300])
def test_a_request_cut_at_byte_k(behind, k):
    """It never reached the backend whole: nothing ran, nothing is paid."""
    g, key, b, p = behind("http")
    p.up = Fault(reset_at=k)
    a = g.chat(key, "x " * 500)
    assert a.status in (502, 503)
    assert not b.rows("start")
    assert g.settlement(a.headers["x-request-id"])["amount_atoms"] == 0


def test_a_turned_bit_stays_in_its_request(behind):
    g, key, b, p = behind("http", first_byte_timeout_ms="2s", chunk_timeout_ms="2s")
    for k in range(0, 1000, 61):
        p.down = Fault(flip_at=k)
        s = g.stream(key, scripted("x", *STREAM))
        if s.head().status == 200:
            s.rest()
        g.settlement(s.request_id)
    p.down = Fault()
    wait_until(lambda: text_of(g.stream(key, scripted("x", *STREAM)).rest()) == "tok " * 20, what="a good answer")


@pytest.mark.parametrize("transport", ["http", "tcp"])
def test_deadlines_hold(behind, transport):
    """However the network stalls, the answer comes within 100 ms of its deadline: beside what an answer takes here."""
    g, key, b, p = behind(transport)

    def seconds(steps, status, **headers):
        began = time.monotonic()
        a = g.request("POST", "/v1/chat/completions",
                      {"model": "base/chat", "messages": [{"role": "user", "content": scripted("x", *steps)}]}, key, headers)
        assert a.status == status and (status == 200 or a.code == "deadline_exceeded")
        return time.monotonic() - began
    pairs = [(seconds(["hang"], 504, **{"x-request-timeout-ms": "300"}) - 0.3, seconds(["final"], 200)) for _ in range(10)]
    over, usual = (sorted(column) for column in zip(*pairs))
    print(f"\ndeadline {transport}: late by {over[0] * 1e3:.0f} to {over[-1] * 1e3:.0f} ms; an answer takes {usual[5] * 1e3:.0f}")
    assert over[5] < 0.2 * SLOW + usual[5] and over[0] > -0.01


# ---- before the gateway ----

def test_readers_of_every_speed(gate, key):
    """Slow ones, ones that stop, ones that never read; and all the while others are served."""
    with SlowClients(gate.port) as slow:
        crawl = [slow.add(chat_request(key, "#tokens=200 x"), rate=2000) for _ in range(5)]
        stop = [slow.add(chat_request(key, "#tokens=30000 x", max_tokens=32000), stop_at=3000) for _ in range(5)]
        never = [slow.add(chat_request(key, "#tokens=30000 x", max_tokens=32000)) for _ in range(5)]
        for _ in range(20):
            assert gate.stream(key, "#tokens=20 x").rest()[-1] == "[DONE]"
        wait_until(lambda: all(c.got > 2000 for c in crawl), what="the slow readers' bytes")
        assert all(c.got <= 3000 for c in stop) and all(c.got == 0 for c in never)
    wait_until(lambda: gate.running_requests() == 0, what="the end of those that left")
