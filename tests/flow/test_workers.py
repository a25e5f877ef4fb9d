"""Backends that die, stop, lie or live elsewhere: shared memory, sockets, HTTP."""
import json
import signal
import socket
import threading
import time

import pytest
import upstream
from gate import CATALOG, INPUT, OUTPUT, SLOW, Worker, atoms, text_of, wait_until
from upstream import CUT, DONE, RESET, STREAM, USAGE, WHOLE, Upstream, event, stream, whole

# The industry model on a worker of its own, so that its parent can outlive it.
TWO_WORKERS = CATALOG.replace("models:", """  second:
    transport: shm
    address: {dir}/second.sock
models:""", 1).replace("[{{backend: worker, model: ngram-finance}}]", "[{{backend: second, model: ngram-finance}}]")


@pytest.mark.short
@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_carriers(make_gate, transport):
    g = make_gate(transport=transport)
    key = g.key()
    a = g.chat(key, "#tokens=5 x")
    assert a.status == 200 and a.json()["usage"]["completion_tokens"] == 5
    s = g.stream(key, "#tokens=2000 x", max_tokens=4000, stream_options={"include_usage": True})
    events = s.rest()
    assert events[-1] == "[DONE]" and events[-2]["usage"]["completion_tokens"] == 2000
    image = g.post("/v1/images/generations", {"model": "base/image", "prompt": "x", "size": "1024x1024"}, key)
    assert image.status == 200 and len(image.body) > 100_000  # larger than a frame
    big = g.chat(key, "#tokens=1 " + "word " * 100_000)
    assert big.status == 200, big
    assert big.json()["usage"]["prompt_tokens"] > 100_000


@pytest.mark.short
@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_worker_killed_idle_and_back(make_gate, transport):
    g = make_gate(transport=transport)
    key = g.key()
    assert g.chat(key, "#tokens=1 x").status == 200
    g.workers[0].kill()
    wait_until(lambda: all(b["up"] == 0 for b in g.status()["backends"]), what="the loss of the worker")
    a = g.chat(key, "x")
    assert (a.status, a.code) == (503, "backend_unavailable")
    assert int(a.headers["retry-after"]) >= 1
    assert g.usage("acme")[0] == 1
    g.start_worker()
    g.wait_backend()
    assert g.chat(key, "#tokens=1 x").status == 200


@pytest.mark.short
@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_worker_killed_in_the_middle(make_gate, transport):
    g = make_gate(transport=transport)
    key = g.key()
    s = g.stream(key, "#delay=20 #tokens=500 x")
    first = s.read(5)
    g.workers[0].kill()
    rest = s.rest()
    assert "[DONE]" not in rest and rest[-1]["error"]["code"] == "upstream_cut"
    assert set(rest[-1]["error"]) == {"message", "type", "param", "code"}
    assert s.complete  # the error is an answer, not a torn connection
    row = g.settlement(s.request_id)
    delivered = len([e for e in first + rest if e.get("choices")])
    assert row["outcome"] == "upstream_cut" and row["lines"][OUTPUT][0] == delivered
    assert row["amount_atoms"] > 0


def test_worker_killed_before_the_first_token(make_gate):
    g = make_gate()
    key = g.key()
    g.workers[0].signal(signal.SIGSTOP)
    result = []
    t = threading.Thread(target=lambda: result.append(g.chat(key, "x")))
    t.start()
    wait_until(lambda: g.open_holds() == 1, what="the hold")
    time.sleep(0.1)
    g.workers[0].kill()
    t.join(20 * SLOW)
    assert result[0].status in (502, 503), result
    rows = g.settlements()
    assert [(r["outcome"], r["amount_atoms"]) for r in rows] == [("failed_pre", 0)]


def test_worker_killed_under_many_streams(make_gate):
    g = make_gate()
    key = g.key()
    streams = [g.stream(key, "#delay=10 #tokens=1000 x") for _ in range(30)]
    for s in streams:
        s.read(2)
    g.workers[0].kill()
    for s in streams:
        assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    assert {g.settlement(s.request_id)["outcome"] for s in streams} == {"upstream_cut"}
    g.start_worker()
    g.wait_backend()
    assert g.chat(key, "#tokens=1 x").status == 200


@pytest.mark.short
def test_worker_stopped_meets_the_deadline(make_gate):
    g = make_gate(settings={"first_byte_timeout_ms": "2s" if SLOW == 1 else "5s"})
    key = g.key()
    assert g.chat(key, "#tokens=1 x").status == 200
    g.workers[0].signal(signal.SIGSTOP)
    began = time.monotonic()
    a = g.chat(key, "x")
    assert a.status == 504 and a.code == "deadline_exceeded"
    assert time.monotonic() - began < 60 * SLOW, "as if there were no first_byte_timeout_ms"
    assert g.settlement(a.headers["x-request-id"])["outcome"] == "failed_pre"
    g.workers[0].signal(signal.SIGCONT)
    wait_until(lambda: g.chat(key, "#tokens=1 x").status == 200, 40, "the worker's return")


def test_worker_stopped_in_the_middle(make_gate):
    g = make_gate(settings={"chunk_timeout_ms": "3s"})
    s = g.stream(g.key(), "#delay=20 #tokens=500 x")
    s.read(3)
    g.workers[0].signal(signal.SIGSTOP)
    rest = s.rest()
    g.workers[0].signal(signal.SIGCONT)
    assert "[DONE]" not in rest and rest[-1]["error"]["code"] in ("upstream_cut", "deadline_exceeded")
    row = g.settlement(s.request_id)
    assert row["outcome"] == "upstream_cut" and 3 <= row["lines"][OUTPUT][0] < 500


def test_a_client_may_be_less_patient(gate, key):
    a = gate.post("/v1/chat/completions", {"model": "base/chat", "messages": [
        {"role": "user", "content": "#delay=100 #tokens=200 x"}]}, key, {"x-request-timeout-ms": "300"})
    assert a.status == 504 and a.code == "deadline_exceeded"
    assert gate.settlement(a.headers["x-request-id"])["amount_atoms"] == 0


@pytest.mark.short
def test_fallback_to_the_parent(make_gate):
    g = make_gate(start=False, catalog=TWO_WORKERS)
    g.write_conf()
    second = Worker(g.dir, f"shm:{g.dir}/second.sock")
    g.workers.append(second)
    g.start()
    g.wait_backend("second")
    key = g.key()
    a = g.chat(key, "#tokens=10 x", "industry/finance/risk")
    assert "x-maas-fallback" not in a.headers and a.headers["x-maas-model"] == "industry/finance/risk"
    own = g.settlement(a.headers["x-request-id"])
    second.kill()
    wait_until(lambda: any(b["name"] == "second" and b["up"] == 0 for b in g.status()["backends"]),
               what="the loss of the second worker")
    a = g.chat(key, "#tokens=10 x", "industry/finance/risk")
    assert a.status == 200, a
    assert a.json()["model"] == "industry/finance/risk"
    assert a.headers["x-maas-fallback"] == "industry/finance/risk"
    assert (a.headers["x-maas-model"], a.headers["x-maas-level"]) == ("base/chat", "base")
    row = g.settlement(a.headers["x-request-id"])
    assert row["served_name"] == "base/chat"
    assert row["amount_atoms"] < own["amount_atoms"], "the parent's price is the cheaper one"
    assert row["model_name"] == "base/chat"


# ---- HTTP backends ----

@pytest.fixture
def front(make_gate):
    """(gate, upstream) with the script to be set by the test."""
    servers = []

    def make(script=None, **settings):
        up = Upstream(script)
        servers.append(up)
        g = make_gate(catalog=upstream.CATALOG, worker=False, settings=settings,
                      fields={"port": up.port, "options": "concurrency: 64"})
        return g, g.key(), up
    yield make
    for up in servers:
        up.stop()


def test_http_whole(front):
    g, key, up = front()
    a = g.chat(key, "hello", max_tokens=5)
    assert a.status == 200 and a.json()["choices"][0]["message"]["content"] == "whole"
    assert a.json()["usage"] == USAGE
    row = g.settlement(a.headers["x-request-id"])
    assert (row["lines"][INPUT][0], row["lines"][OUTPUT][0]) == (11, 3)
    path, headers, body = up.seen[0]
    sent = json.loads(body)
    assert path == "/v1/chat/completions" and sent["model"] == "m" and sent["max_tokens"] == 5


@pytest.mark.parametrize("asked", [True, False])
def test_http_stream(front, asked):
    g, key, up = front()
    s = g.stream(key, "x", stream_options={"include_usage": asked})
    events = s.rest()
    assert events[-1] == "[DONE]" and text_of(events) == "one two three"
    assert sum("usage" in e for e in events[:-1]) == asked
    assert json.loads(up.seen[0][2])["stream_options"] == {"include_usage": True}
    row = g.settlement(s.request_id)
    assert (row["outcome"], row["lines"][INPUT][0], row["lines"][OUTPUT][0]) == ("ok", 11, 3)


def test_http_nothing_of_the_client_is_forwarded(front):
    g, key, up = front()
    g.post("/v1/chat/completions", {"model": "base/chat", "messages": [{"role": "user", "content": "x"}]}, key,
           {"Cookie": "session=canary", "X-Forwarded-For": "192.0.2.1", "OpenAI-Organization": "canary",
            "X-Custom": "canary", "Proxy-Authorization": "canary", "x-stainless-lang": "canary"})
    _, headers, body = up.seen[0]
    text = str(headers)
    assert "canary" not in text and key not in text and "192.0.2.1" not in text
    assert key.encode() not in body
    assert headers.get("Accept-Encoding", "identity") == "identity"


@pytest.mark.parametrize("cut", [CUT, RESET])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_http_cut_in_a_stream(front, cut, after):
    g, key, up = front(lambda r: stream([*STREAM[:after], 0.05, cut]))
    s = g.stream(key, "x")
    if after == 0:
        assert s.head().status == 502 and json.loads(s.body())["error"]["code"]
        assert g.settlement(s.request_id)["outcome"] == "failed_pre"
        return
    events = s.rest()
    assert "[DONE]" not in events and events[-1]["error"]["code"] == "upstream_cut"
    row = g.settlement(s.request_id)
    assert (row["outcome"], row["evidence"]) == ("upstream_cut", "estimate")
    assert row["lines"][OUTPUT][0] == after
    assert len(up.seen) == 1, "never again after the first byte"


ODD_STREAMS = {  # pieces, tokens billed as output, evidence
    "no-usage": ([*STREAM[:4], DONE], None, "none"),
    "usage-null-in-each": ([b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":'
                            b'[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}\n\n',
                            *STREAM[3:]], 3, "upstream"),
    "usage-zero": ([*STREAM[:4], event(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
                    DONE], 0, "upstream"),
    "usage-twice": ([*STREAM[:4], event(usage=USAGE), event(usage=USAGE), DONE], 3, "upstream"),
    "crlf": ([p.replace(b"\n", b"\r\n") for p in STREAM], 3, "upstream"),
    "no-space": ([p.replace(b"data: ", b"data:") for p in STREAM], 3, "upstream"),
    "comments": ([b": ping\n\n", *STREAM[:2], b": ping\n\n", *STREAM[2:]], 3, "upstream"),
    "ids": ([b"id: 1\nretry: 5\n" + p for p in STREAM], 3, "upstream"),
    "bom": ([b"\xef\xbb\xbf" + STREAM[0], *STREAM[1:]], 3, "upstream"),
    "one-piece": ([b"".join(STREAM)], 3, "upstream"),
    "byte-by-byte": ([bytes([b]) for b in b"".join(STREAM)], 3, "upstream"),
}


@pytest.mark.parametrize("name", ODD_STREAMS)
def test_http_odd_streams(front, name):
    """Whatever the upstream's framing, the client's is canonical and the bill is right."""
    pieces, tokens, evidence = ODD_STREAMS[name]
    g, key, up = front(lambda r: stream(pieces))
    s = g.stream(key, "x", stream_options={"include_usage": True})
    events = s.rest()
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1, events
    assert sum(bool(e.get("usage")) for e in events[:-1]) == (tokens is not None)
    row = g.settlement(s.request_id)
    if tokens is None:
        assert row["outcome"] == "ok_nousage"
    else:
        assert row["outcome"] == "ok" and row["evidence"] == evidence
        assert row["lines"].get(OUTPUT, (0, 0))[0] == tokens


BAD_ANSWERS = {  # the upstream's answer, status for the client
    "500": (whole({"error": {"message": "boom", "type": "x", "param": None, "code": None}}, 500), 502),
    "503": (whole({"error": {"message": "full"}}, 503), 502),
    "429": (whole({"error": {"message": "slow down"}}, 429, **{"Retry-After": "7"}), 503),
    "401-ours": (whole({"error": {"message": "bad upstream key sk-upstream-canary"}}, 401), 502),
    "400-theirs": (whole({"error": {"message": "temperature too high", "param": "temperature"}}, 400), 400),
    "404": (whole({"error": {"message": "no such model"}}, 404), 404),
    "redirect": ((302, {"Location": "http://127.0.0.1:1/", "Content-Length": "0"}, []), 502),
    "html": ((200, {"Content-Type": "text/html", "Content-Length": "13"}, [b"<html></html>"]), 502),
    "not-json": ((200, {"Content-Type": "application/json", "Content-Length": "5"}, [b"hello"]), 502),
    "cut-json": ((200, {"Content-Type": "application/json", "Content-Length": "50"}, [b'{"id":', CUT]), 502),
    "empty": ((200, {"Content-Type": "application/json", "Content-Length": "0"}, []), 502),
    "nothing": ((200, {"Content-Type": "application/json"}, [RESET]), 502),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_http_bad_answers(front, name):
    answer, status = BAD_ANSWERS[name]
    g, key, up = front(lambda r: answer)
    a = g.chat(key, "x")
    assert a.status == status, a
    assert set(a.json()["error"]) == {"message", "type", "param", "code"}
    assert b"canary" not in a.body and b"html" not in a.body
    row = g.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"]) == ("failed_pre", 0)
    if name == "429":  # the backend's account is at its limit, not this client's
        assert a.headers["retry-after"] == "7"


def test_http_lies_about_usage_are_bounded_by_the_hold(front):
    """A backend that reports a million tokens for ten cannot charge more than was held."""
    liar = {**WHOLE, "usage": {"prompt_tokens": 10**6, "completion_tokens": 10**6, "total_tokens": 2 * 10**6}}
    g, key, up = front(lambda r: whole(liar))
    a = g.chat(key, "x", max_tokens=10)
    assert a.status == 200
    row = g.settlement(a.headers["x-request-id"])
    with g.ledger() as db:
        hold = db.execute("SELECT hold_atoms FROM request_open").fetchone()[0]
    assert row["amount_atoms"] <= hold and row["lines"][OUTPUT][0] <= 10


@pytest.mark.parametrize("usage", [{"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": 1},
                                   {"prompt_tokens": "11", "completion_tokens": 3},
                                   {"prompt_tokens": 2**63, "completion_tokens": 3}, [], "x", None])
def test_http_usage_that_is_none(front, usage):
    g, key, up = front(lambda r: whole({**WHOLE, "usage": usage}))
    a = g.chat(key, "x")
    assert a.status in (200, 502)
    row = g.settlement(a.headers["x-request-id"])
    assert row["outcome"] in ("ok_nousage", "failed_pre", "ok")
    assert row["amount_atoms"] <= atoms("0.0019")


def test_http_cached_tokens_are_not_counted_twice(front):
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
             "prompt_tokens_details": {"cached_tokens": 60},
             "completion_tokens_details": {"reasoning_tokens": 2}}
    g, key, up = front(lambda r: whole({**WHOLE, "usage": usage}))
    a = g.chat(key, "word " * 100)
    lines = g.settlement(a.headers["x-request-id"])["lines"]
    assert {m: q for m, (q, _) in lines.items()} == {0: 1, 1: 40, 2: 60, 4: 3, 5: 2}


def test_http_nobody_listens(make_gate):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        g = make_gate(catalog=upstream.CATALOG, worker=False,
                      fields={"port": s.getsockname()[1], "options": "connect_timeout_ms: 500ms"})
        a = g.chat(g.key(), "x")
    assert a.status in (502, 503)
    assert {(r["outcome"], r["amount_atoms"]) for r in g.settlements()} <= {("failed_pre", 0)}


def test_http_slow_first_byte(front):
    g, key, up = front(lambda r: (200, {"Content-Length": "2"}, [5.0, b"{}"]), first_byte_timeout_ms="300ms")
    a = g.chat(key, "x")
    assert a.status == 504
    assert g.settlement(a.headers["x-request-id"])["outcome"] == "failed_pre"


@pytest.mark.short
def test_gateway_before_gateway(make_gate):
    """A second gateway as the OpenAI-compatible backend: the same text, the same usage."""
    back = make_gate()
    back_key = back.key("upstream")
    secret = back.dir / "secret"
    secret.touch(0o600)
    secret.write_text(back_key + "\n")
    front = make_gate(catalog=upstream.CATALOG.replace("model: m", "model: base/chat"), worker=False,
                      fields={"port": back.port, "options": f"secret_file: {secret}"})
    key = front.key()
    for content in ("#tokens=12 one", "#tokens=30 two"):
        direct = back.chat(back_key, content, seed=1).json()
        a = front.chat(key, content, seed=1)
        assert a.json()["choices"] == direct["choices"] and a.json()["usage"] == direct["usage"]
        s = front.stream(key, content, seed=1, stream_options={"include_usage": True})
        events = s.rest()
        assert events[-1] == "[DONE]" and events[-2]["usage"] == direct["usage"]
        assert text_of(events) == direct["choices"][0]["message"]["content"]
        assert front.settlement(s.request_id)["lines"][OUTPUT][0] == direct["usage"]["completion_tokens"]

    def output(g):
        return g.ask("usage", "--by", "project")["data"][0]["usage"]["output_text_tokens"]
    assert output(back) == output(front) + 12 + 30


def test_http_headers_of_the_backend_stay_there(front):
    """Cookies, keys and server names of an upstream are not the client's business."""
    answer = whole(WHOLE, **{"Set-Cookie": "canary=1", "x-api-key": "canary", "Server": "canary", "X-Powered": "canary",
                             "Authorization": "canary", "x-request-id": "canary", "x-ratelimit-limit-requests": "canary"})
    g, key, up = front(lambda r: answer)
    a = g.chat(key, "x")
    assert a.status == 200 and "canary" not in str(a.headers)


def test_http_an_endless_event_is_refused(front):
    """One event without an end: bounded memory, an error, no more than the hold."""
    g, key, up = front(lambda r: stream([STREAM[0], b"data: {\"x\":\"", *[b"y" * 65536] * 1024, b"\"}\n\n", DONE]))
    s = g.stream(key, "x")
    events = s.rest()
    assert "[DONE]" not in events and events[-1]["error"]["code"] in ("upstream_cut", "backend_protocol_error")
    assert g.settlement(s.request_id)["outcome"] == "upstream_cut"
    with open(f"/proc/{g.daemon.pid}/status") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    assert SLOW > 1 or peak < 200 * 1024


def test_http_an_answer_without_end_is_refused(front):
    g, key, up = front(lambda r: (200, {"Content-Type": "application/json"}, [b'{"x":"', *[b"y" * 65536] * 1200]))
    a = g.chat(key, "x")
    assert a.status in (502, 503), a
    assert g.settlement(a.headers["x-request-id"])["amount_atoms"] == 0


def test_large_requests(gate, key):
    """Ten megabytes, and a hundred thousand messages."""
    a = gate.chat(key, "#tokens=1 " + "x" * 10_000_000)
    assert a.status in (200, 400), a
    many = [{"role": "user", "content": "#tokens=1 x"}] * 100_000
    a = gate.post("/v1/chat/completions", {"model": "base/chat", "messages": many}, key)
    assert a.status in (200, 400), a
    assert gate.chat(key, "#tokens=1 x").status == 200
