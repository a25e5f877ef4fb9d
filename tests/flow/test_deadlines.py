"""An upstream has its time for each step; who is late is hung up on, and nobody waits longer.

Times are upper bounds: a limit of a second may take what a slow machine needs, but never the minutes
that the other limits would allow."""
import contextlib
import json
import socket
import threading
import time

import pytest
import upstream
from gate import SLOW, wait_until
from upstream import STREAM, event, stream

LONG = {"connect_timeout_ms": "10m", "first_byte_timeout_ms": "10m", "chunk_timeout_ms": "10m",
        "request_timeout_ms": "10m"}
SOON = f"{300 * SLOW}ms"


class Tap:
    """Accepts and hands each connection to `serve` on a thread of its own; `closed` counts ends."""

    def __init__(self, serve, backlog=64):
        self.serve, self.closed, self.held = serve, 0, []
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(backlog)
        self.port = self.socket.getsockname()[1]
        if serve:
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.run, args=(self.socket.accept()[0],), daemon=True).start()

    def run(self, c):
        with c, contextlib.suppress(OSError):
            self.serve(c)
            while c.recv(65536):
                pass
        self.closed += 1

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for s in self.held:
            s.close()


@pytest.fixture
def front(make_gate):
    taps = []

    def make(serve, scheme="http", backlog=64, **settings):
        tap = Tap(serve, backlog)
        taps.append(tap)
        g = make_gate(catalog=upstream.CATALOG.replace("http:", f"{scheme}:"), worker=False,
                      settings={**LONG, **settings}, fields={"port": tap.port, "options": "eject_after: 1000"})
        return g, g.key(), tap
    yield make
    for tap in taps:
        tap.stop()


def whole_request(c):
    data = b""
    while b"\r\n\r\n" not in data:
        data += c.recv(65536)


def expect_late(g, a, status=504, code="deadline_exceeded"):
    assert a.status == status and a.code == code, a
    row = g.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"]) == ("failed_pre", 0)


def test_connect(front):
    """A port whose queue is full: the kernel answers nobody."""
    g, key, tap = front(None, backlog=0, connect_timeout_ms=SOON)
    full_port(tap)
    for _ in range(3):
        expect_late(g, g.chat(key, "x"), 503, "backend_unavailable")
    wait_until(lambda: "imed out" in g.status()["backends"][0]["trouble"] or
               "imeout" in g.status()["backends"][0]["trouble"], what="the trouble")


def full_port(tap):
    """From now on the kernel answers nobody who connects there."""
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.connect(("127.0.0.1", tap.port))
        tap.held.append(s)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_given_up_while_it_connects(front, scheme):
    """By clients that leave, by a reload, by a shutdown."""
    g, key, tap = front(None, scheme=scheme, backlog=0, drain_timeout_ms="100ms")
    full_port(tap)
    streams = [g.stream(key, "x") for _ in range(20)]
    wait_until(lambda: g.running_requests() == 20, what="the calls")
    for s in streams[:10]:
        s.close()
    wait_until(lambda: g.running_requests() == 10, what="the end of those whose clients left")
    g.write_conf(connect_timeout_ms=SOON)
    g.cli("reload")
    expect_late(g, g.chat(key, "x"), 503, "backend_unavailable")
    g.terminate()
    assert {r["amount_atoms"] for r in g.settlements()} == {0}


def test_tls_handshake(front):
    """It connects and then does not shake hands: part of connecting."""
    g, key, tap = front(lambda c: None, scheme="https", connect_timeout_ms=SOON)
    expect_late(g, g.chat(key, "x"), 503, "backend_unavailable")
    wait_until(lambda: tap.closed, what="the end of the connection")


def test_first_byte(front):
    g, key, tap = front(whole_request, first_byte_timeout_ms=SOON)
    expect_late(g, g.chat(key, "x"))
    s = g.stream(key, "x")
    assert s.head().status == 504
    wait_until(lambda: tap.closed == 2, what="the end of both connections")


def test_first_byte_of_whoever_does_not_read(front):
    """Ten megabytes that nobody takes."""
    g, key, tap = front(lambda c: time.sleep(60 * SLOW), first_byte_timeout_ms=SOON)
    expect_late(g, g.chat(key, "x" * 10_000_000))


def test_between_chunks(front):
    def serve(c):
        whole_request(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(STREAM[:2]))
    g, key, tap = front(serve, chunk_timeout_ms=SOON)
    s = g.stream(key, "x")
    events = s.rest()
    assert len(events) == 3 and events[-1]["error"]["code"] == "deadline_exceeded"
    assert g.settlement(s.request_id)["outcome"] == "upstream_cut"
    wait_until(lambda: tap.closed, what="the end of the connection")


def drip(c):
    whole_request(c)
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        c.sendall(event("word "))
        time.sleep(0.05)


def test_total(front):
    """No silence anywhere, and no end."""
    g, key, tap = front(drip, request_timeout_ms=f"{1000 * SLOW}ms")
    s = g.stream(key, "x")
    events = s.rest()
    assert len(events) > 2 and events[-1]["error"]["code"] == "deadline_exceeded"
    wait_until(lambda: tap.closed, what="the end of the connection")


@pytest.mark.parametrize("what", ["drip", "silence"])
def test_the_clients_own(front, what):
    g, key, tap = front(drip if what == "drip" else whole_request)
    body = {"model": "base/chat", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    a = g.post("/v1/chat/completions", body, key, {"x-request-timeout-ms": str(500 * SLOW)})
    if what == "drip":
        last = json.loads(a.body.split(b"data: ")[-1])
        assert last["error"]["code"] == "deadline_exceeded"
    else:
        expect_late(g, a)
    wait_until(lambda: tap.closed, what="the end of the connection")
    assert g.status()["backends"][0]["failed"] == 1


def test_what_remains_is_passed_on(make_gate):
    """Two gateways in a row: the second gives up before the first has to, by what it was told."""
    from test_loop import free_port, gateway, give_key
    up = upstream.Upstream(lambda r: stream([*STREAM[:1], 60.0]))
    try:
        second = make_gate(worker=False, catalog=upstream.CATALOG, fields={"port": up.port, "options": ""})
        first = gateway(make_gate, free_port(), second.port)
        give_key(first, second.key())
        body = {"model": "base/chat", "messages": [{"role": "user", "content": "x"}]}
        a = first.post("/v1/chat/completions", body, first.key(), {"x-request-timeout-ms": str(700 * SLOW)})
        assert a.status == 504, a  # its own clock, or the second's word, whichever it saw first
        told = int(up.seen[0][1]["x-request-timeout-ms"])
        assert 0 < told <= 700 * SLOW
        wait_until(lambda: [r["amount_atoms"] for r in second.settlements()] == [0], what="the second's bill")
    finally:
        up.stop()


@pytest.mark.parametrize("streams", [False, True])
def test_the_second_gives_up_first(make_gate, streams):
    """By its own limit, long before the first's: its word for it is passed on, and it is its fault."""
    from test_loop import free_port, gateway, give_key
    up = upstream.Upstream(lambda r: (0, {}, [60.0]))
    try:
        second = make_gate(worker=False, catalog=upstream.CATALOG, fields={"port": up.port, "options": ""},
                           settings={**LONG, "first_byte_timeout_ms": SOON})
        first = gateway(make_gate, free_port(), second.port)
        give_key(first, second.key())
        expect_late(first, first.chat(first.key(), "x", stream=streams))
        assert first.status()["backends"][0]["failed"] == 1
        wait_until(lambda: [r["amount_atoms"] for r in second.settlements()] == [0], what="the second's bill")
    finally:
        up.stop()
