"""Limits and budgets are hard: exactly so many, and nothing is charged for the rest."""
import concurrent.futures
import contextlib
import re
import socket
import sqlite3
import struct
import threading
import time

import pytest
from gate import SLOW, atoms, wait_until
from raw import read_wire


def together(count, call):
    """Calls `count` times at the same moment."""
    barrier = threading.Barrier(count)

    def one(i):
        barrier.wait(30 * SLOW)
        return call(i)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.short
def test_three_a_minute(gate):
    tiny = gate.key("limits", rpm=3)
    answers = [gate.chat(tiny, "#tokens=1 x") for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ratelimit-remaining-requests"] for a in answers] == ["2", "1", "0", "0"]
    last = answers[-1]
    assert last.code == "rate_limit_exceeded" and last.json()["error"]["type"] == "requests"
    h = last.headers
    assert h["x-ratelimit-limit-requests"] == "3"
    assert 1 <= int(h["retry-after"]) <= 20
    assert 0 < int(h["retry-after-ms"]) <= int(h["retry-after"]) * 1000
    assert "Please try again in " in last.json()["error"]["message"]
    assert h.get("x-should-retry") in (None, "true")


def test_waiting_as_told_is_enough(gate):
    key = gate.key("limits", rpm=120)
    for _ in range(120):
        assert gate.chat(key, "#tokens=1 x").status in (200, 429)
    while (a := gate.chat(key, "#tokens=1 x")).status == 200:
        pass
    time.sleep(int(a.headers["retry-after-ms"]) / 1000)
    assert gate.chat(key, "#tokens=1 x").status == 200


def test_many_at_once_admit_just_so_many(gate):
    key = gate.key("limits", rpm=10)
    began = time.monotonic()
    answers = together(40, lambda i: gate.chat(key, "#tokens=1 x"))
    good = sum(a.status == 200 for a in answers)
    assert 10 <= good <= 10 + (time.monotonic() - began) / 6  # six seconds are worth one more
    assert {a.status for a in answers} == {200, 429}


def test_concurrency(gate):
    key = gate.key("limits", concurrency=2)
    running = [gate.stream(key, "#delay=300 #tokens=100 x") for _ in range(2)]
    for s in running:
        s.read(1)
    a = gate.chat(key, "x")
    assert (a.status, a.code, a.json()["error"]["type"]) == (429, "rate_limit_exceeded", "concurrency")
    assert int(a.headers["retry-after"]) >= 1
    running[0].close()
    wait_until(lambda: gate.chat(key, "#tokens=1 x").status == 200, what="the freed place")
    running[1].close()


def test_tokens(gate):
    key = gate.key("limits", tpm=1000)
    answers = [gate.chat(key, "#tokens=1 x", max_tokens=400) for _ in range(3)]
    statuses = [a.status for a in answers]
    assert statuses[0] == 200 and set(statuses) <= {200, 429}
    fields = answers[0].headers
    assert fields["x-ratelimit-limit-tokens"] == "1000"
    assert int(fields["x-ratelimit-remaining-tokens"]) < 1000


def test_used_tokens_are_corrected(gate):
    """A reservation of 400 that used 2 gives the rest back."""
    key = gate.key("limits", tpm=1000)
    for _ in range(20):
        a = gate.chat(key, "#tokens=1 x", max_tokens=400)
        assert a.status == 200, a


def test_a_request_that_can_never_fit(gate):
    key = gate.key("limits", tpm=100)
    a = gate.chat(key, "x", max_tokens=5000)
    assert (a.status, a.code) == (400, "request_too_large_for_limit")
    assert a.headers["x-should-retry"] == "false" and "retry-after" not in a.headers


def test_a_refused_request_gives_back_what_it_took(gate):
    """Refused for its tokens, it has not used up one of the requests."""
    key = gate.key("limits", rpm=2, tpm=200)
    assert gate.chat(key, "x", max_tokens=9000).status == 400
    assert [gate.chat(key, "#tokens=1 x", max_tokens=2).status for _ in range(2)] == [200, 200]


# ---- money ----

@pytest.mark.short
def test_budget_for_one_admits_one(gate):
    gate.project("broke", "0.0019", "total")
    key = gate.key("broke")
    answers = together(64, lambda i: gate.chat(key, "#tokens=5 hi"))
    good = [a for a in answers if a.status == 200]
    assert len(good) == 1
    for a in answers:
        if a.status == 200:
            continue
        assert (a.status, a.code) == (429, "insufficient_quota"), a
        assert a.headers["x-should-retry"] == "false" and "retry-after" not in a.headers
    row = gate.settlement(good[0].headers["x-request-id"])
    requests, total = gate.usage("broke")
    assert requests == 1 and round(float(total) * 10**10) == row["amount_atoms"]
    assert gate.chat(key, "#tokens=1 hi").code == "insufficient_quota"


def test_budget_over_connections_and_endpoints(gate):
    """What is left is shared by streams, embeddings, images and tensors alike."""
    gate.project("thin", "0.011", "total")
    key = gate.key("thin")

    def ask(i):
        if i % 4 == 0:
            s = gate.stream(key, "#tokens=3 hi")
            return s.head().status, s.rest() if s.status == 200 else s.body()
        if i % 4 == 1:
            return gate.post("/v1/images/generations", {"model": "base/image", "prompt": "x"}, key).status, 0
        if i % 4 == 2:
            return gate.chat(key, "#tokens=2 hi", "domain/code/review").status, 0
        return gate.chat(key, "#tokens=2 hi", "industry/finance/risk").status, 0
    statuses = [status for status, _ in together(32, ask)]
    assert set(statuses) == {200, 429}
    total = round(float(gate.usage("thin")[1]) * 10**10)
    assert 0 < total <= atoms("0.011")


def test_a_raised_budget_serves_again(gate):
    gate.project("raised", "0.0005", "total")
    key = gate.key("raised")
    assert gate.chat(key, "x").code == "insufficient_quota"
    gate.cli("project", "budget", "raised", "1.00")
    assert gate.chat(key, "#tokens=1 x").status == 200


def test_an_expensive_request_is_refused_a_cheap_one_is_not(gate):
    gate.project("cheap", "0.0030", "total")
    key = gate.key("cheap")
    refused = gate.chat(key, "x", max_tokens=30000)
    assert refused.code == "insufficient_quota"
    said = re.search(r"may cost up to ([0-9.]+) USD; with a lower max_tokens", refused.json()["error"]["message"])
    assert 0.013 < float(said[1]) < 0.0131  # 30,000 tokens of output, the request, some bytes of input
    assert gate.chat(key, "#tokens=1 x", max_tokens=10).status == 200


# ---- keys ----

@pytest.mark.short
def test_revoked_at_once(gate):
    key = gate.key("revoked", label="first")
    other = gate.key("revoked", label="second")
    assert gate.chat(key, "#tokens=1 x").status == 200
    gate.cli("key", "revoke", "revoked/first")
    a = gate.chat(key, "#tokens=1 x")
    assert (a.status, a.code) == (401, "invalid_api_key")
    assert gate.chat(other, "#tokens=1 x").status == 200


def test_a_stream_outlives_its_key(gate):
    """What was admitted and held is served and billed; the next request is not admitted."""
    key = gate.key("outlived", label="k")
    s = gate.stream(key, "#delay=50 #tokens=10 x")
    s.read(1)
    gate.cli("key", "revoke", "outlived/k")
    assert s.rest()[-1] == "[DONE]"
    assert gate.settlement(s.request_id)["outcome"] == "ok"
    assert gate.chat(key, "x").status == 401


def test_expired_keys_are_not_made(gate):
    for when in ("2020-01-01", "0d", "-1d", "tomorrow", "99999d"):
        done = gate.cli("key", "create", "shared", "--expires", when, check=False)
        assert done.returncode == 1 and "expires" in done.stderr, (when, done)


def seal(path):
    """Gives each page the checksum that SQLite's cksumvfs expects in its last 8 bytes."""
    pages = bytearray(path.read_bytes())
    size = int.from_bytes(pages[16:18], "big")
    for at in range(0, len(pages), size):
        words = struct.unpack_from(f"<{(size - 8) // 4}I", pages, at)
        a = b = 0
        for x, y in zip(words[::2], words[1::2]):
            a = (a + x + b) & 0xFFFFFFFF
            b = (b + y + a) & 0xFFFFFFFF
        struct.pack_into("<2I", pages, at + size - 8, a, b)
    path.write_bytes(pages)


def test_an_expired_key(make_gate):
    """Time is over while the daemon is down; the row is what it reads at its next start."""
    gate = make_gate()
    key = gate.key("expiring", expires="1h")
    assert gate.chat(key, "#tokens=1 x").status == 200
    gate.terminate()
    with sqlite3.connect(gate.state / "ledger.db") as db:
        db.execute("UPDATE api_key SET expires_us = 1000000 WHERE expires_us > 0")
    db.close()
    with pytest.raises(AssertionError, match="quick_check"):
        gate.start_daemon()  # another program has changed the store
    seal(gate.state / "ledger.db")
    gate.start_daemon()
    a = gate.chat(key, "x")
    assert (a.status, a.code) == (401, "expired_api_key")


def test_keys_of_unknown_projects_are_not_made(gate):
    assert gate.cli("key", "create", "nobody", check=False).returncode == 1
    assert gate.cli("key", "revoke", "nobody", check=False).returncode == 1
    assert gate.cli("project", "create", "limits", check=False).returncode == 1
    assert gate.cli("project", "create", "Bad Slug", check=False).returncode == 1


def test_connections_of_one_address(make_gate):
    """More than the cap: refused in JSON; the ones that are there go on; closed ones count no more."""
    g = make_gate(settings={"connections_per_ip_max": 20})
    wait_until(lambda: g.metric("maasgate_connections") == 0, what="the end of what was there at the start")
    held = [socket.create_connection(("127.0.0.1", g.port)) for _ in range(20)]
    for s in held:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_wire(s, expect=1).final == [200]
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        wire = read_wire(s)
        assert wire.final == [503] and wire.closed and b"server_is_overloaded" in wire.data
    for s in held:
        s.close()
    wait_until(lambda: g.get("/healthz").status == 200, what="a free place")


def test_somebody_locks_the_store(gate):
    """Another process holds SQLite's write lock: requests wait or are refused, none is free."""
    key = gate.key("locked")
    assert gate.chat(key, "#tokens=1 x").status == 200
    with contextlib.closing(sqlite3.connect(gate.state / "ledger.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(gate.chat, key, "#tokens=1 x") for _ in range(4)]
            time.sleep(0.5)
            db.execute("ROLLBACK")
            answers = [c.result() for c in calls]
    good = sum(a.status == 200 for a in answers)
    assert {a.status for a in answers} <= {200, 503}
    wait_until(lambda: gate.chat(key, "#tokens=1 x").status == 200, what="the free store")
    assert gate.usage("locked")[0] == good + 2
