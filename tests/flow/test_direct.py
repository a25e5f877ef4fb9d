"""Streams written past the HTTP library (gateway/direct.h) and by it: the same bytes, and the same bill."""
import contextlib
import json
import re
import select
import signal
import socket
import sqlite3
import time

import pytest
from gate import OUTPUT, SLOW, text_of, wait_until
from reconcile import text_of_rid
from slow_client import SlowClients, chat_request

WRITES = ["direct", "library"]
CHUNKS, RUNS = "maasgate_stream_direct_chunks_total", "maasgate_http_runs_total"
CALLS = 'maasgate_backend_calls_running{backend="fault"}'
PAID, ROOM = 20000, {"stream_buffer_max": "16M"}  # more than a socket takes, less than may wait
PLAIN = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def dechunk(data, sizes=None):
    """The body at the start of the data, framing checked to the byte, and what is behind it; sizes: of the chunks."""
    body, sizes = b"", [] if sizes is None else sizes
    while True:
        size, data = data.split(b"\r\n", 1)
        assert re.fullmatch(rb"[0-9a-fA-F]+", size), size
        n = int(size, 16)
        sizes.append(n)
        body, rest = body + data[:n], data[n:]
        assert rest[:2] == b"\r\n", rest[:20]
        data = rest[2:]
        if n == 0:
            return body, data


def events_of(body):
    assert body.endswith(b"\n\n")
    events = [e.removeprefix(b"data: ") for e in body[:-2].split(b"\n\n")]
    assert events.pop() == b"[DONE]"
    return [json.loads(e) for e in events]


def everything(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.short
@pytest.mark.parametrize("writes", WRITES)
def test_answers_follow_one_another_on_one_connection(make_gate, writes):
    """Two streams and a plain request, all sent at once: each waits for the end of what is before it."""
    g = make_gate(settings={"stream_writes": writes})
    ask = chat_request(g.key(), "#tokens=40 #delay=5 x", max_tokens=100)
    with socket.create_connection(("127.0.0.1", g.port), timeout=30 * SLOW) as s:
        s.sendall(ask + ask + PLAIN)
        data = everything(s)
    sizes = []
    for _ in range(2):
        head, data = data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200") and b"ransfer-Encoding: chunked" in head
        body, data = dechunk(data, sizes)
        events = events_of(body)
        assert sum(bool(e["choices"][0]["delta"].get("content")) for e in events) == 40
    assert data.startswith(b"HTTP/1.1 200") and data.count(b"HTTP/1.1") == 1
    if writes == "direct":  # three of each stream are the library's, and a loop that was held up sends few
        assert g.metric(CHUNKS) >= (len(sizes) - 2 * 3) / 2
    else:
        assert g.metric(CHUNKS) == 0


@pytest.mark.short
@pytest.mark.parametrize("version", ["1.0", "1.2"])
def test_other_versions_are_the_library_s(gate, key, version):
    """HTTP/1.0 knows no chunks: its stream ends with the connection."""
    before = gate.metric(CHUNKS)
    ask = chat_request(key, "#tokens=20 #delay=2 x", max_tokens=100).replace(
        b" HTTP/1.1\r\n", f" HTTP/{version}\r\nConnection: close\r\n".encode(), 1)
    with socket.create_connection(("127.0.0.1", gate.port), timeout=30 * SLOW) as s:
        s.sendall(ask)
        head, body = everything(s).split(b"\r\n\r\n", 1)
    assert head.split()[1] == b"200"
    if b"ransfer-Encoding: chunked" in head:
        assert version != "1.0"
        body, rest = dechunk(body)
        assert rest == b""
    assert sum(bool(e["choices"][0]["delta"].get("content")) for e in events_of(body)) == 20
    assert gate.metric(CHUNKS) == before


@pytest.mark.short
@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize("transport", ["shm", "http"])
def test_a_paid_answer_may_be_read_by_who_has_closed_its_own_half(fault_gate, transport, writes):
    """The stream has ended and is settled, a part of it waits for a reader that was slow."""
    g, key, b = fault_gate(transport, {"do": [{"tokens": PAID}, "final"]}, stream_writes=writes, **ROOM)
    s = g.stream(key, "x", receive_buffer=4096, max_tokens=100000, stream_options={"include_usage": True})
    row = g.settlement(text_of_rid(b.wait_row("start")["rid"]))
    assert row["outcome"] == "ok" and row["lines"][OUTPUT][0] == PAID
    s.socket.shutdown(socket.SHUT_WR)
    events = s.rest()
    assert events[-1] == "[DONE]" and s.complete and text_of(events) == "tok " * PAID
    assert events[-2]["usage"]["completion_tokens"] == PAID


@pytest.mark.short
@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize("stream", [True, False])
def test_who_closes_its_own_half_while_the_bill_is_written_reads_on(fault_gate, writes, stream):
    """The bill says that all of it was delivered, so it must be: nobody but a dead socket says otherwise."""
    g, key, b = fault_gate("http", {"do": [{"tokens": 5}, {"wait": 100}, "final"]}, stream_writes=writes)
    with contextlib.closing(sqlite3.connect(g.state / "ledger.db", isolation_level=None)) as db:
        s = g.stream(key, "x", stream=stream)
        rid = text_of_rid(b.wait_row("start")["rid"])
        db.execute("BEGIN IMMEDIATE")
        wait_until(lambda: g.metric(CALLS) == 0, what="the end of the call")
        s.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: g.metric("maasgate_requests_client_gone_total") == 1, what="the news")
        db.execute("ROLLBACK")
    if stream:
        events = s.rest()
        assert events[-1] == "[DONE]" and s.complete and text_of(events) == "tok " * 5
    else:
        assert json.loads(s.body())["usage"]["completion_tokens"] == 5
    row = g.settlement(rid)
    assert row["outcome"] == "ok" and row["lines"][OUTPUT][0] == 5


@pytest.mark.short
@pytest.mark.parametrize("writes", WRITES)
def test_readers_of_all_paces_get_every_byte_in_order(fault_gate, writes):
    """Chunks that a full socket tears are put together again: many readers, each with its own words."""
    g, key, _ = fault_gate("shm", {"do": [{"tokens": "asked"}, "final"]}, stream_writes=writes)
    streams = [g.stream(key, f"canary-{n} #tokens=3000", receive_buffer=4096 << n % 4, max_tokens=5000)
               for n in range(16)]
    got = [b""] * len(streams)
    live = {s.socket: n for n, s in enumerate(streams)}
    while live:
        for sock in select.select(list(live), [], [], 30 * SLOW)[0]:
            n = live[sock]
            piece = sock.recv(701 + 997 * n)
            got[n] += piece
            if not piece or got[n].endswith(b"\r\n0\r\n\r\n"):
                del live[sock]
        time.sleep(0.001)
    for n, data in enumerate(got):
        body, rest = dechunk(data.split(b"\r\n\r\n", 1)[1])
        words = [e["choices"][0]["delta"].get("content") for e in events_of(body)]
        assert rest == b"" and [w for w in words if w] == [f"canary-{n} "] * 3000


def blocked(fault_gate, tokens, **settings):
    """A stream that is held up in the middle of a chunk by a reader that takes nothing."""
    g, key, b = fault_gate("shm", {"do": [{"tokens": tokens}, "final"]}, **settings)
    s = g.stream(key, "x", receive_buffer=4096, max_tokens=100000)
    g.wait_still(CHUNKS)  # a full socket
    return g, s, text_of_rid(b.wait_row("start")["rid"])


@pytest.mark.short
@pytest.mark.parametrize("reset", [False, True])
def test_who_leaves_in_the_middle_of_a_chunk(fault_gate, reset):
    g, s, request_id = blocked(fault_gate, 100000)
    s.close(reset)
    row = g.settlement(request_id)
    assert row["outcome"] == "client_gone" and 0 < row["lines"][OUTPUT][0] < 100000
    wait_until(lambda: g.running_requests() == 0, what="the end of the request")


@pytest.mark.short
@pytest.mark.parametrize("half_closed", [False, True])
def test_a_paid_answer_that_nobody_reads_is_given_up(fault_gate, half_closed):
    stall = 5 if SLOW == 1 else 15
    g, key, b = fault_gate("shm", {"do": [{"tokens": PAID}, "final"]}, stream_stall_ms=f"{stall}s", **ROOM)
    began = time.monotonic()
    s = g.stream(key, "x", receive_buffer=4096, max_tokens=100000)
    row = g.settlement(text_of_rid(b.wait_row("start")["rid"]))
    assert row["outcome"] == "ok"
    if half_closed:
        s.socket.shutdown(socket.SHUT_WR)
    wait_until(lambda: g.metric("maasgate_connections") == 0, what="the end of the connection")
    assert time.monotonic() - began >= stall, "it was not given the time"
    s.close()


@pytest.mark.short
@pytest.mark.parametrize("tokens", [PAID, 100000])
def test_the_daemon_stops_beside_a_full_socket(fault_gate, tokens):
    """Settled or not: when its time is over, the connection is cut and the daemon ends by itself."""
    g, s, _ = blocked(fault_gate, tokens, drain_timeout_ms="1s", **ROOM)
    assert g.metric("maasgate_connections") == 1
    g.terminate()
    s.close()


@pytest.mark.short
def test_the_setting_can_be_changed_while_it_runs(make_gate):
    g = make_gate()
    key = g.key()
    wait_until(lambda: g.stream(key, "#tokens=20 #delay=2 x").rest() and g.metric(CHUNKS) > 0, what="direct chunks")
    g.write_conf(stream_writes="library")
    g.daemon.signal(signal.SIGHUP)

    def by_the_library():
        before = g.metric(CHUNKS)
        assert g.stream(key, "#tokens=20 #delay=2 x").rest()[-1] == "[DONE]"
        return g.metric(CHUNKS) == before
    wait_until(by_the_library, what="the new configuration")


def counts(g):
    """(runs of the library, chunks past it), of one instant."""
    lines = dict(line.rsplit(" ", 1) for line in g.metrics()[2].splitlines() if not line.startswith("#"))
    return int(lines[RUNS]), int(lines[CHUNKS])


def since(g, before):
    return tuple(now - then for now, then in zip(counts(g), before))


def quiet_stream(g, key, tokens):
    """Of one stream: runs and chunks, and how many chunks came; runs, and seconds, while so many tokens of its
    middle were read."""
    before = counts(g)
    s = g.stream(key, f"#tokens={tokens + 40} #delay=10 x", max_tokens=tokens + 100)
    s.read(20)
    began, middle = time.monotonic(), counts(g)
    s.read(tokens)
    runs, seconds = since(g, middle)[0], time.monotonic() - began
    assert s.rest()[-1] == "[DONE]"
    return *since(g, before), len(s.chunks), runs, seconds


@pytest.mark.parametrize("stalled", [0, 200])
def test_a_token_costs_no_run_of_the_library(make_gate, stalled):
    """A run of the library may walk all connections that wait.  A token needs none, whoever stalls
    beside it; what is left is the tick of the loop, twice a second."""
    g = make_gate(settings={"connections_per_ip_max": 4096, "loop_threads": 1, "stream_buffer_max": "16K",
                            "stream_stall_ms": "1h"})
    key = g.key()
    with SlowClients(g.port) as slow:
        for _ in range(stalled):
            slow.add(chat_request(key, "#tokens=4000 x", max_tokens=100000))
        wait_until(lambda: g.running_requests() == stalled, 60, "all that stall")
        if stalled:
            g.wait_still(CHUNKS)  # full sockets
        _, chunks, came, runs, seconds = quiet_stream(g, key, 200)
    print(f"\nbeside {stalled} stalled readers: 200 tokens in {seconds:.1f} s, {chunks:.0f} chunks past the library,"
          f" {runs:.0f} runs of it")
    assert runs <= 2 * (seconds / 0.5 + 2)
    assert 0 < chunks <= came
    wait_until(lambda: g.running_requests() == 0, 30, "the end of those that left")


def test_by_the_library_each_chunk_costs_one(make_gate):
    g = make_gate(settings={"loop_threads": 1, "stream_writes": "library"})
    runs, chunks, came, _, _ = quiet_stream(g, g.key(), 200)
    assert chunks == 0 and runs >= came > 0
