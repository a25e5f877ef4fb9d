"""HTTP/2 to upstreams, with a real nginx in front of a scripted backend whose journal is the truth: no
call is lost by a GOAWAY and none is run twice; a slow client holds back nobody but himself."""
import http.client
import json
import threading
import time

import fault_backend
import pytest
from certs import Authority
from fault_backend import FaultBackend, scripted
from gate import SLOW, text_of, wait_until
from nginx import Nginx


@pytest.fixture
def front(make_gate, tmp_path):
    parts = []

    def make(version="http2", nginx="", script=None, options="", **settings):
        authority = Authority(tmp_path / "pki")
        b = FaultBackend.over("http", tmp_path, script)
        n = Nginx(tmp_path, authority, b.port, version, nginx)
        parts.extend([n, b])
        g = make_gate(catalog=fault_backend.CATALOG, worker=False, settings=settings,
                      fields={"kind": "http", "concurrency": 512, "where": f"https://127.0.0.1:{n.port}/v1",
                              "options": f"ca_file: {authority.ca}\n    eject_after: 1000\n    {options}"})
        return g, g.key(), n, b
    yield make
    for part in parts:
        part.stop()


def hammer(g, key, threads, each, prompt="#tokens=2 x"):
    """So many requests at once, one after the other on each client's connection; what was not 200."""
    bad = []

    def client():
        c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=60 * SLOW)
        body = json.dumps({"model": "base/chat", "messages": [{"role": "user", "content": prompt}]})
        for _ in range(each):
            c.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})
            r = c.getresponse()
            answer = r.read()
            if r.status != 200:
                bad.append((r.status, answer))
        c.close()
    workers = [threading.Thread(target=client) for _ in range(threads)]
    for t in workers:
        t.start()
    return workers, bad


def join(workers):
    for t in workers:
        t.join()


def run_once(g, b, count):
    """As many were run as were answered, each once; and the ledger says the same."""
    started = [r["rid"] for r in b.rows("start")]
    assert len(started) == len(set(started)) == count
    rows = g.settlements()
    assert len(rows) == count and {r["outcome"] for r in rows} == {"ok"}


@pytest.mark.short
def test_http2_is_spoken(front):
    g, key, n, b = front()
    for _ in range(3):
        assert g.chat(key, "#tokens=3 x").status == 200
    s = g.stream(key, "#tokens=50 #delay=1 x", max_tokens=60)
    assert s.rest()[-1] == "[DONE]"
    wait_until(lambda: len(n.served()) == 4, what="nginx's log")
    assert {line[0] for line in n.served()} == {"HTTP/2.0"}
    assert len({line[2] for line in n.served()}) <= 2, "one connection of each loop"
    run_once(g, b, 4)


@pytest.mark.parametrize("requests", [10, 100])
def test_no_call_is_lost_by_goaways(front, requests):
    """nginx ends each connection after so many requests, in the middle of the load."""
    g, key, n, b = front(nginx=f"keepalive_requests {requests};")
    workers, bad = hammer(g, key, 16, 100)
    join(workers)
    assert not bad, bad[:3]
    run_once(g, b, 1600)
    used = len({line[2] for line in n.served()})
    assert used >= 1600 / (requests + 1)
    print(f"1600 calls, {used} connections, 0 lost, 0 run twice")


def test_no_call_is_lost_by_reloads(front):
    """Graceful restarts of nginx under load; streams that run go on to their end."""
    g, key, n, b = front()
    streams = [g.stream(key, "#tokens=200 #delay=5 x", max_tokens=300) for _ in range(8)]
    for s in streams:
        s.read(1)
    workers, bad = hammer(g, key, 8, 150, "#tokens=2 #delay=2 x")
    for _ in range(8):
        time.sleep(0.05)
        n.reload()
    join(workers)
    assert not bad, bad[:3]
    for s in streams:
        events = s.rest()
        assert events[-1] == "[DONE]" and text_of(events).count("tok") == 200
    run_once(g, b, 1208)


def test_few_streams_a_connection(front):
    """More at once than the server takes on one connection: further connections, then HTTP/1.1."""
    g, key, n, b = front(nginx="http2_max_concurrent_streams 4;")
    workers, bad = hammer(g, key, 64, 4, "#tokens=1 #first=100 x")
    join(workers)
    assert not bad, bad[:3]
    run_once(g, b, 256)
    assert {line[0] for line in n.served()} <= {"HTTP/2.0", "HTTP/1.1"}


def test_a_slow_client_holds_back_only_itself(front):
    """Sixteen clients that stop reading, on the same connections as others; their memory is bounded."""
    g, key, n, b = front(loop_threads=1, stream_buffer_max="64K", stream_stall_ms="10m")
    flood = scripted("flood", {"tokens": 3000, "text": "x" * 1000}, "final")
    slow = [g.stream(key, flood, receive_buffer=4096, max_tokens=100000) for _ in range(16)]
    for s in slow:
        s.read(1)

    def memory():
        with open(f"/proc/{g.daemon.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    g.wait_still("maasgate_stream_events_total")
    before = memory()
    gaps = []
    for _ in range(20):
        began = time.monotonic()
        events = g.stream(key, "#tokens=20 #delay=1 x").rest()
        gaps.append(time.monotonic() - began)
        assert events[-1] == "[DONE]" and text_of(events).count("tok") == 20
    assert SLOW > 1 or memory() - before < 16 * 512
    assert max(gaps) < 10 * SLOW
    assert g.running_requests() == 16
    wait_until(lambda: all(line[0] == "HTTP/2.0" for line in n.served()), what="nginx's log")
    for s in slow[:8]:
        s.close()
    for s in slow[8:]:
        events = s.rest()
        assert events[-1] == "[DONE]" and text_of(events) == "x" * 1000 * 2999
    assert len({line[2] for line in n.served()}) == 1, "all of it on one connection"


def test_cancel_reaches_the_backend(front):
    g, key, n, b = front()
    s = g.stream(key, "#tokens=10000 #delay=5 x", max_tokens=20000)
    s.read(2)
    s.close()
    b.wait_row("cancel")
    assert g.chat(key, "#tokens=1 x").status == 200
    wait_until(lambda: len(n.served()) == 2, what="nginx's log")


@pytest.mark.parametrize("how", ["declined", "configured"])
def test_http11(front, how):
    """A server that does not offer it, and a backend that is told not to."""
    g, key, n, b = front(version="" if how == "declined" else "http2",
                         options="" if how == "declined" else "http_version: 1.1")
    workers, bad = hammer(g, key, 8, 20)
    join(workers)
    assert not bad, bad[:3]
    run_once(g, b, 160)
    assert {line[0] for line in n.served()} == {"HTTP/1.1"}


def test_a_body_of_ten_megabytes(front):
    g, key, n, b = front()
    a = g.chat(key, "#tokens=1 " + "x" * 10_000_000)
    assert a.status in (200, 400), a
    assert g.chat(key, "#tokens=1 x").status == 200
