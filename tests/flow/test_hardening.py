"""Clients that leave, stall, flood or ask at the wrong moment: the daemon gives back what they held."""
import contextlib
import json
import signal
import socket
import threading
import time

import pytest
import upstream
from gate import BIG, SLOW, wait_until
from upstream import DONE, USAGE, Upstream, event

SHORT = {"header_timeout_ms": "500ms", "body_timeout_ms": "1s", "idle_timeout_ms": "60s",
         "stream_stall_ms": "1s", "stream_keepalive_ms": "1s", "drain_timeout_ms": "1s"}


@pytest.fixture(scope="module")
def hard():
    from gate import Gate
    with Gate(settings=SHORT) as g:
        g.start()
        g.the_key = g.key("hard")
        yield g


def head(key, length, *more, path="/v1/chat/completions"):
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Authorization: Bearer {key}",
             "Content-Type: application/json", f"Content-Length: {length}", *more]
    return "".join(line + "\r\n" for line in lines).encode() + b"\r\n"


def chat(key, content="#tokens=2 x", **fields):
    body = json.dumps({"model": "base/chat", "messages": [{"role": "user", "content": content}],
                       **fields}).encode()
    return head(key, len(body)) + body


def usage(key):
    return f"GET /v1/usage HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def dial(gate, receive_buffer=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(20 * SLOW)
    s.connect(("127.0.0.1", gate.port))
    return s


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    s.close()


def to_the_end(s):
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := s.recv(65536):
            got += data
    return got


def calls(gate):
    return sum(b["started"] for b in gate.status()["backends"])


def connections(gate):
    return sum(x["connections"] for x in gate.status()["loops"])


# ---- readers that do not read ----

@pytest.mark.short
def test_a_stalled_reader_loses_its_connection(hard):
    """Not only its call: also the socket and what is queued for it."""
    before, stalled = calls(hard), [dial(hard, 2048) for _ in range(4)]
    for s in stalled:
        s.sendall(chat(hard.the_key, "#tokens=30000 x", stream=True, max_tokens=30000))
    wait_until(lambda: calls(hard) == before + 4, what="the streams")
    wait_until(lambda: connections(hard) == 0, what="the end of stalled connections")
    wait_until(lambda: hard.open_holds() == 0, what="the bills")
    for s in stalled:
        s.close()


def test_a_stalled_reader_of_a_finished_stream(make_gate):
    """The backend is done and the bill is written; only the client does not take the rest."""
    stall = 10 * SLOW
    g = make_gate(settings={**SHORT, "stream_buffer_max": "32M", "stream_stall_ms": f"{stall}s"})
    s, began = dial(g, 2048), time.monotonic()
    s.sendall(chat(g.key(), "#tokens=30000 x", stream=True, max_tokens=30000))
    wait_until(lambda: [r["outcome"] for r in g.settlements()] == ["ok"], what="the settlement")
    wait_until(lambda: connections(g) == 0, 60, "the end of the stalled connection")
    assert time.monotonic() - began >= stall, "it was not given the time"
    s.close()


def test_a_paused_stream_goes_on(gate, key):
    s = gate.stream(key, "#tokens=20000 x", receive_buffer=4096, max_tokens=30000)
    s.read(2)
    time.sleep(0.5)
    events = s.rest()
    assert events[-1] == "[DONE]" and len(events) >= 19990
    s.close()


def test_a_drained_backend_is_not_held_back_by_a_reader_that_left(make_gate):
    """on_disconnect: drain.  The stream was paused when its client left; it must run to its end."""
    many = [event("word " * 40) for _ in range(4000)]
    up = Upstream(lambda body: (200, {"Content-Type": "text/event-stream"},
                                [*many, event(finish="stop"), event(usage=USAGE), DONE]))
    try:
        g = make_gate(catalog=upstream.CATALOG, worker=False, settings={"stream_buffer_max": "16K"},
                      fields={"port": up.port, "options": "on_disconnect: drain"})
        s = dial(g, 2048)
        s.sendall(chat(g.key(), stream=True))
        wait_until(lambda: g.running_requests() == 1, what="the call")
        time.sleep(0.3)
        reset(s)
        wait_until(lambda: g.open_holds() == 0, what="the settlement")
        assert [r["outcome"] for r in g.settlements()] == ["client_gone"]
    finally:
        up.stop()


# ---- clients that leave ----

def test_clients_that_leave_at_any_point(hard):
    one = hard.key("one", concurrency=1)
    whole, stream = chat(hard.the_key), chat(hard.the_key, "#tokens=20 #delay=2 x", stream=True)
    data = whole + stream + usage(hard.the_key) + whole

    def leave(first):
        for n in range(first, len(data), 40):
            with contextlib.suppress(OSError):
                s = dial(hard)
                s.sendall(data[:n])
                if n % 3 == 0:
                    time.sleep(0.01)
                if n % 2:
                    reset(s)
                else:
                    s.close()
    threads = [threading.Thread(target=leave, args=(1 + 10 * i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: hard.running_requests() == 0 and hard.open_holds() == 0, what="the settlements")
    wait_until(lambda: connections(hard) == 0, what="the end of the connections")
    for _ in range(3):
        assert hard.chat(one, "#tokens=1 x").status == 200, "a place was not given back"


@pytest.mark.short
def test_gone_before_the_request_was_looked_at(hard):
    """Request and end arrive together: it is not run for nobody, and nothing is charged."""
    settled = len(hard.settlements())
    for _ in range(20):
        s = dial(hard)
        s.sendall(chat(hard.the_key, "#tokens=50 #delay=50 x"))
        s.shutdown(socket.SHUT_WR)
        assert to_the_end(s) == b""
        s.close()
    wait_until(lambda: hard.open_holds() == 0, what="the settlements")
    for row in hard.settlements()[settled:]:
        assert (row["outcome"], row["amount_atoms"]) == ("client_gone_0", 0)


# ---- bodies ----

@pytest.mark.short
def test_a_refusal_before_100_continue(hard):
    """A client that asks first gets the refusal instead of the invitation."""
    with dial(hard) as s:
        s.sendall(head("wrong", 500000, "Expect: 100-continue"))
        assert to_the_end(s).startswith(b"HTTP/1.1 401")
    with dial(hard) as s:
        body = json.dumps({"model": "base/chat", "messages": [{"role": "user", "content": "#tokens=1 x"}]}).encode()
        s.sendall(head(hard.the_key, len(body), "Expect: 100-continue"))
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(body)
        assert s.recv(100).startswith(b"HTTP/1.1 200")


def test_memory_for_bodies_is_refused_at_the_head(make_gate):
    """bodies_bytes_max: 503 before the upload, and given back by those that leave."""
    g = make_gate(settings={"bodies_bytes_max": "4M", "body_bytes_max": "2M"})
    key = g.key()
    held = [dial(g) for _ in range(2)]
    for s in held:
        s.sendall(head(key, 2 << 20, "Expect: 100-continue"))
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(b"x")
    with dial(g) as s:
        s.sendall(head(key, 2 << 20, "Expect: 100-continue"))
        answer = to_the_end(s)
    assert answer.startswith(b"HTTP/1.1 503") and b"retry-after" in answer.lower()
    for s in held:
        reset(s)
    wait_until(lambda: g.chat(key, "#tokens=1 " + "x" * (1 << 20), max_tokens=1).status != 503,
               what="the memory")


@pytest.mark.short
def test_slow_heads_and_bodies_end(hard):
    for start in (b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: ", head(hard.the_key, 1000), head("no", 1000)):
        with dial(hard) as s:
            s.sendall(start)
            s.settimeout(0.1)

            def ended(s=s):
                try:
                    s.sendall(b"a")
                    return s.recv(1000) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True
            wait_until(ended, 9, "the end")  # less than the defaults: ten seconds for a head, a minute for a body


# ---- the end ----

def test_drain_ends_clients_of_every_kind(make_gate):
    """Past the deadline nobody holds the daemon: half heads, half bodies, readers that stall."""
    g = make_gate(settings={**SHORT, "header_timeout_ms": "60s", "body_timeout_ms": "60s",
                            "stream_stall_ms": "60s"})
    key = g.key()
    held = []
    for data in (b"GET /hea", b"GET /healthz HTTP/1.1\r\nHos", head(key, 1000) + b"abc", head("no", 1000),
                 chat(key, "#tokens=30000 x", stream=True, max_tokens=30000),
                 chat(key, "#tokens=4000 x", stream=True, max_tokens=30000),
                 chat(key, "#tokens=200 #delay=500 x", stream=True), b"", usage(key) * 30):
        s = dial(g, 2048)
        s.sendall(data)
        held.append(s)
    wait_until(lambda: g.running_requests() >= 2, what="the streams")
    wait_until(lambda: connections(g) == len(held), what="all of them")
    g.daemon.signal(signal.SIGTERM)
    for _ in range(10):  # too late for a new configuration
        time.sleep(0.02)
        g.daemon.signal(signal.SIGHUP)
    assert g.daemon.wait() == 0, g.daemon.tail()  # before a minute is over
    assert g.open_holds() == 0
    assert "reloaded" not in g.daemon.text()
    for s in held:
        s.close()


def test_sigterm_while_questions_wait(make_gate):
    """A request that comes in the very turn that ends its loop is still finished."""
    for _ in range(4):
        g = make_gate()
        key = g.key(rpm=BIG)
        stop = threading.Event()

        def ask(g=g, key=key, stop=stop):
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    s = dial(g)
                    s.sendall(usage(key) * 20)
                    s.recv(1000)
                    s.close()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        g.daemon.signal(signal.SIGTERM)
        code = g.daemon.wait()
        stop.set()
        for t in threads:
            t.join()
        assert code == 0, g.daemon.tail()
