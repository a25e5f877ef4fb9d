"""Streams that end early, stall or go slowly: what the client gets and what it pays."""
import signal
import threading
import time

import pytest
import upstream
from gate import INPUT, OUTPUT, REQUESTS, Leaving, atoms, text_of, wait_until
from upstream import Upstream, event


@pytest.fixture
def up_gate(make_gate):
    """A gate before a scripted HTTP backend."""
    servers = []

    def make(script=None, options="on_disconnect: cancel", **settings):
        up = Upstream(script)
        servers.append(up)
        g = make_gate(catalog=upstream.CATALOG, worker=False, settings=settings,
                      fields={"port": up.port, "options": options})
        return g, up
    yield make
    for up in servers:
        up.stop()


def price_of(row):
    """The bill by the price list, from the quantities of the row."""
    price = {REQUESTS: ("0.001", 1), INPUT: ("0.1", 10**6), OUTPUT: ("0.4", 10**6)}
    return sum(atoms(*price[m], qty) for m, (qty, _) in row["lines"].items())


# ---- the client leaves ----

@pytest.mark.short
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [1, 5, 20])
def test_client_leaves_in_the_middle(gate, key, after, reset):
    s = gate.stream(key, "#delay=10 #tokens=400 x")
    got = s.read(after)
    request_id = s.request_id
    with Leaving() as leaving:
        s.close(reset)
        row = gate.settlement(request_id)
    assert row["outcome"] == "client_gone" and (row["evidence"] == "upstream" or not leaving.in_time)
    tokens = sum(bool(e["choices"][0]["delta"].get("content")) for e in got)
    assert tokens <= row["lines"][OUTPUT][0] < 350
    assert row["amount_atoms"] == price_of(row) > 0
    assert row["lines"][REQUESTS][0] == 1 and row["lines"][INPUT][0] > 0


def test_the_backend_hears_of_it(gate, key):
    """Cancelled within moments, not at the end of the 4,000 tokens."""
    s = gate.stream(key, "#delay=100 #tokens=4000 x", max_tokens=4000)  # for more than six minutes
    s.read(3)
    request_id = s.request_id
    s.close()
    gate.settlement(request_id)
    wait_until(lambda: gate.running_requests() == 0, what="the cancelled call")


def test_client_leaves_before_the_first_token(gate, key):
    """Nothing was delivered, nothing is charged: the worker stands still meanwhile."""
    before = {r["rid"] for r in gate.settlements()}
    worker = gate.workers[-1]
    worker.signal(signal.SIGSTOP)
    try:
        s = gate.stream(key, "#tokens=5 x")
        wait_until(lambda: gate.open_holds() == 1, what="the hold")
        s.close()
        wait_until(lambda: gate.open_holds() == 0, what="the settlement")
    finally:
        worker.signal(signal.SIGCONT)
    rows = [r for r in gate.settlements() if r["rid"] not in before]
    assert [(r["outcome"], r["amount_atoms"]) for r in rows] == [("client_gone_0", 0)]


@pytest.mark.short
def test_client_leaves_a_whole_answer(gate, key):
    before = {r["rid"] for r in gate.settlements()}
    s = gate.stream(key, "#delay=20 #tokens=200 x", stream=False)
    wait_until(lambda: gate.open_holds() == 1, what="the hold")
    s.close()
    wait_until(lambda: gate.open_holds() == 0, what="the settlement")
    rows = [r for r in gate.settlements() if r["rid"] not in before]
    assert [(r["outcome"], r["amount_atoms"]) for r in rows] == [("client_gone_0", 0)]


def test_client_leaves_after_the_last_token(up_gate):
    """All content is there, the end is not: the tokens that came are paid, once."""
    g, up = up_gate(lambda r: upstream.stream([event("all "), event("of it"), 3.0, *upstream.STREAM[3:]]))
    s = g.stream(g.key(), "x")
    s.read(2)
    request_id = s.request_id
    s.close()
    row = g.settlement(request_id)
    assert row["outcome"] == "client_gone"
    assert row["lines"][OUTPUT][0] == 2 and row["evidence"] == "estimate"
    assert row["amount_atoms"] == price_of(row)


def test_client_leaves_after_done(gate, key):
    s = gate.stream(key, "#tokens=6 x")
    assert s.read(8)[-1] == "[DONE]"
    s.close(reset=True)
    row = gate.settlement(s.request_id)
    assert row["outcome"] == "ok" and row["lines"][OUTPUT][0] == 6


def test_client_leaves_during_its_body(gate, key):
    """The request was never whole: nothing held, nothing billed."""
    import socket
    before = len(gate.settlements())
    with socket.create_connection(("127.0.0.1", gate.port)) as c:
        c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n"
                  "Content-Length: 500\r\n\r\n{".encode())
        time.sleep(0.05)
    time.sleep(0.1)
    assert gate.open_holds() == 0 and len(gate.settlements()) == before


def test_drain_lets_the_backend_end_and_bills_what_was_sent(up_gate):
    """For a backend that charges to the end anyway: its tail is our cost, not the client's."""
    go_on = threading.Event()
    g, up = up_gate(lambda r: upstream.stream([event("one "), go_on, *upstream.STREAM[1:]]), "on_disconnect: drain")
    s = g.stream(g.key(), "x")
    s.read(1)
    request_id = s.request_id
    s.close()
    wait_until(lambda: g.metric("maasgate_drained_calls_total") == 1, what="the news")
    assert g.open_holds() == 1
    go_on.set()
    row = g.settlement(request_id)
    assert not up.gone
    assert row["outcome"] == "client_gone" and row["lines"][OUTPUT][0] == 1
    assert row["amount_atoms"] == price_of(row)


def test_cancel_closes_the_upstream_connection(up_gate):
    g, up = up_gate(lambda r: upstream.stream([p for i in range(5000) for p in (event(f"w{i} "), 0.02)]))
    s = g.stream(g.key(), "x")
    s.read(2)
    request_id = s.request_id
    s.close()
    wait_until(lambda: up.gone, what="the upstream's broken pipe")
    assert g.settlement(request_id)["outcome"] == "client_gone"


@pytest.mark.short
def test_many_clients_leave(gate):
    """Forty streams cut at many places; each is settled once, by the rule."""
    key = gate.key("leavers")
    streams = [gate.stream(key, "#delay=3 #tokens=300 x") for _ in range(40)]
    ids = []
    for i, s in enumerate(streams):
        s.read(1 + i % 7)
        ids.append(s.request_id)
    for i, s in enumerate(streams):
        s.close(reset=i % 2 == 0)
    rows = [gate.settlement(r) for r in ids]
    assert {r["outcome"] for r in rows} <= {"client_gone", "ok"}
    assert all(r["amount_atoms"] == price_of(r) for r in rows)
    total = round(float(gate.usage("leavers")[1]) * 10**10)
    assert total == sum(r["amount_atoms"] for r in rows)


# ---- the reader is slow, the stream is quiet ----

def test_a_slow_reader_holds_back_only_itself(gate, key):
    slow = gate.stream(key, "#tokens=12000 x", receive_buffer=4096, max_tokens=20000)
    slow.read(1)
    for _ in range(10):
        assert gate.stream(key, "#tokens=50 x").rest()[-1] == "[DONE]"
    events = slow.rest()
    assert events[-1] == "[DONE]"
    row = gate.settlement(slow.request_id)
    assert row["outcome"] == "ok" and row["lines"][OUTPUT][0] == 12000  # nobody had to wait until it was given up


def test_the_text_survives_back_pressure(gate, key):
    whole = gate.chat(key, "#tokens=9000 y", max_tokens=20000).json()["choices"][0]["message"]["content"]
    s = gate.stream(key, "#tokens=9000 y", receive_buffer=4096, max_tokens=20000)
    s.head()
    time.sleep(0.3)
    assert text_of(s.rest()) == whole


def test_a_reader_that_takes_nothing_is_given_up(make_gate):
    g = make_gate(settings={"stream_stall_ms": "1s", "stream_buffer_max": "16K"})
    s = g.stream(g.key(), "#tokens=30000 x", receive_buffer=4096, max_tokens=32000)
    row = g.settlement(s.request_id, 15)
    assert row["outcome"] == "client_gone" and 0 < row["lines"][OUTPUT][0] < 30000
    s.close()


@pytest.mark.short
def test_keep_alive_chunks(make_gate):
    g = make_gate(settings={"stream_keepalive_ms": "1s"})
    s = g.stream(g.key(), "#delay=2600 #tokens=2 x", stream_options={"include_usage": True})
    events = s.rest()
    assert events[-1] == "[DONE]" and s.complete
    quiet = [e for e in events[:-1] if e["choices"] and e["choices"][0]["delta"] == {}
             and e["choices"][0]["finish_reason"] is None]
    assert len(quiet) >= 1
    for e in quiet:
        assert e["object"] == "chat.completion.chunk" and e["id"] == events[0]["id"]
        assert e["model"] == "base/chat" and isinstance(e["created"], int) and "usage" not in e
    assert all(len(c) and c.endswith(b"\n\n") and b": " not in c[:2] for c in s.chunks)
    assert g.settlement(s.request_id)["lines"][OUTPUT][0] == 2


def test_one_event_is_one_write(gate, key):
    """No chunk holds half an event."""
    s = gate.stream(key, "#delay=1 #tokens=100 x")
    s.rest()
    assert len(s.chunks) > 20
    assert all(c.startswith(b"data: ") and c.endswith(b"\n\n") for c in s.chunks)


def test_done_comes_after_the_settlement(gate, key):
    """When a client has seen [DONE], the row is on disk: it needs no waiting for."""
    for _ in range(20):
        s = gate.stream(key, "#tokens=2 x")
        assert s.rest()[-1] == "[DONE]"
        assert gate.settlement(s.request_id, seconds=0)["outcome"] == "ok"
        a = gate.chat(key, "#tokens=2 x")
        assert gate.settlement(a.headers["x-request-id"], seconds=0)["outcome"] == "ok"


def test_a_hundred_streams_at_once(gate):
    key = gate.key("hundred")
    results = []

    def one():
        s = gate.stream(key, "#delay=5 #tokens=40 x", stream_options={"include_usage": True})
        results.append(s.rest())
    threads = [threading.Thread(target=one) for _ in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 100
    for events in results:
        assert events[-1] == "[DONE]" and events[-2]["usage"]["completion_tokens"] == 40
    assert gate.usage("hundred")[0] == 100
