"""Idempotency-Key: whatever a client sends again under one key is carried out and charged once."""
import concurrent.futures
import json
import time

import openai
import pytest
from gate import SLOW, wait_until

CHAT = "/v1/chat/completions"
HUNDRED = 100


def body(text="#tokens=4 hello", **fields):
    return {"model": "base/chat", "messages": [{"role": "user", "content": text}], **fields}


def send(g, key, name, what=None, path=CHAT):
    return g.post(path, body() if what is None else what, key, {"Idempotency-Key": name})


def streamed(text, **fields):
    """What Gate.stream sends: the order of the parts is a part of the request."""
    return {"model": "base/chat", "stream": True, "messages": [{"role": "user", "content": text}], **fields}


def rows(g):
    return len(g.settlements())


TENSORS = {"inputs": [{"name": n, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))}
                      for n in ("INPUT0", "INPUT1")]}
ENDPOINTS = {
    CHAT: body(),
    "/v1/embeddings": {"model": "base/embed", "input": "hello"},
    "/v1/images/generations": {"model": "base/image", "prompt": "x", "size": "256x256"},
    "/v2/models/base%2Fsimple/infer": TENSORS,
    "/domain/code/v1/chat/completions": body(model="domain/code/review"),
}


@pytest.mark.short
@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_same_answer_is_given_again(gate, key, path):
    first = send(gate, key, f"same-{path}", ENDPOINTS[path], path)
    assert first.status == 200 and "idempotent-replayed" not in first.headers, first
    before, replays = rows(gate), gate.metric("maasgate_idempotent_replays_total")
    for _ in range(3):
        again = send(gate, key, f"same-{path}", ENDPOINTS[path], path)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-request-id"] == first.headers["x-request-id"]
        assert again.headers["content-type"] == first.headers["content-type"]
        assert "x-maas-cost" not in again.headers
    assert rows(gate) == before
    assert gate.metric("maasgate_idempotent_replays_total") == replays + 3


def test_another_key_or_none_is_another_charge(gate, key):
    before = rows(gate)
    assert gate.chat(key).status == gate.chat(key).status == 200
    assert send(gate, key, "one").status == send(gate, key, "two").status == 200
    assert rows(gate) == before + 4


@pytest.mark.short
def test_another_request_under_the_key_is_refused(gate, key):
    first = send(gate, key, "reused")
    for what, path in ((body("#tokens=4 bye"), CHAT), (body(temperature=1), CHAT),
                       (ENDPOINTS["/v1/embeddings"], "/v1/embeddings")):
        a = send(gate, key, "reused", what, path)
        assert (a.status, a.code) == (422, "idempotency_key_reused")
        assert a.json()["error"]["param"] == "Idempotency-Key"
        assert first.headers["x-request-id"] in a.json()["error"]["message"]
        assert a.headers["x-should-retry"] == "false"


def test_spaces_do_not_make_another_request(gate, key):
    text = json.dumps(body("#tokens=4 a  \\\" b"))
    first = send(gate, key, "spaces", text)
    again = send(gate, key, "spaces", json.dumps(json.loads(text), indent=3))
    assert first.status == again.status == 200
    assert again.body == first.body and again.headers["idempotent-replayed"] == "true"
    assert send(gate, key, "spaces", json.dumps(body("#tokens=4 a \\\" b"))).status == 422


def test_quotes_of_the_draft_are_no_part_of_the_key(gate, key):
    first, again = send(gate, key, '"quoted"'), send(gate, key, "quoted")
    assert again.body == first.body and again.headers["idempotent-replayed"] == "true"


@pytest.mark.short
@pytest.mark.parametrize("name", ["", '""', "a b", 'a"b', "x" * 256])
def test_what_is_no_key(gate, key, name):
    a = send(gate, key, name)
    assert (a.status, a.code) == (400, "invalid_value") and a.json()["error"]["param"] == "Idempotency-Key"


def test_two_headers_are_refused(gate, key):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60 * SLOW)
    c.putrequest("POST", CHAT)
    text = json.dumps(body()).encode()
    for name, value in (("Authorization", f"Bearer {key}"), ("Content-Length", str(len(text))),
                        ("Idempotency-Key", "a"), ("Idempotency-Key", "b")):
        c.putheader(name, value)
    c.endheaders(text)
    assert c.getresponse().status == 400
    c.close()


def test_a_key_belongs_to_its_project(gate, key):
    """Two projects may use one key; two API keys of a project share it."""
    first = send(gate, key, "ours")
    assert send(gate, gate.key("shared"), "ours").headers["idempotent-replayed"] == "true"
    other = send(gate, gate.key("stranger"), "ours")
    assert other.status == 200 and other.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.short
def test_a_hundred_at_once_are_one(make_gate):
    """I20.  Each is answered by the one that ran, or told that it runs; then all are replayed."""
    g = make_gate()
    key, what = g.key(), body("#delay=10 #tokens=30 x")
    with concurrent.futures.ThreadPoolExecutor(HUNDRED) as pool:
        answers = list(pool.map(lambda _: send(g, key, "storm", what), range(HUNDRED)))
        assert {a.status for a in answers} <= {200, 409}
        whole = [a for a in answers if a.status == 200]
        assert len({a.body for a in whole}) == 1 and len({a.headers["x-request-id"] for a in answers}) == 1
        assert sum("idempotent-replayed" not in a.headers for a in whole) == 1
        for a in answers:
            if a.status == 409:
                assert a.code == "idempotency_in_progress" and a.headers["x-should-retry"] == "true"
                assert int(a.headers["retry-after"]) == 1
        again = list(pool.map(lambda _: send(g, key, "storm", what), range(HUNDRED)))
    assert {a.body for a in again} == {whole[0].body}
    assert len(g.settlements()) == 1 and g.open_holds() == 0


def test_a_failed_request_may_be_tried_again(fault_gate):
    g, key, b = fault_gate("http", {"rules": [{"when": {"has": "bad"}, "do": [{"final": 500}]}, {"do": [{"tokens": 2}, "final"]}]})
    a = send(g, key, "again", body("bad"))
    assert a.status == 502, a
    assert send(g, key, "again", body("bad")).status == 502
    a = send(g, key, "again", body("good"))  # a voided request has left the key
    assert a.status == 200 and "idempotent-replayed" not in a.headers
    assert send(g, key, "again", body("good")).headers["idempotent-replayed"] == "true"
    assert [r["outcome"] for r in g.settlements()] == ["failed_pre", "failed_pre", "ok"]


def test_a_client_that_left_too_early_may_come_back(fault_gate):
    """Its request timed out there, was cancelled and cost nothing."""
    g, key, b = fault_gate("http", {"rules": [{"when": {"nth": 1}, "do": ["hang"]}, {"do": [{"tokens": 2}, "final"]}]})
    s = g.stream(key, "x", stream=False, headers={"Idempotency-Key": "back"})
    wait_until(lambda: b.rows("start"), what="the call")
    s.close()
    wait_until(lambda: g.settlements(), what="its end")
    what = {"model": "base/chat", "stream": False, "messages": [{"role": "user", "content": "x"}]}
    assert send(g, key, "back", what).status == 200
    assert [r["outcome"] for r in g.settlements()] == ["client_gone_0", "ok"]


@pytest.mark.short
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_a_stream_is_told_again(gate, key, options):
    """Event for event, its usage and its end too."""
    name = f"stream-{len(options)}"
    what = streamed("#tokens=9 x", **options)
    s = gate.stream(key, "#tokens=9 x", headers={"Idempotency-Key": name}, **options)
    first, before = s.rest(), rows(gate)
    assert first[-1] == "[DONE]" and bool(options) == bool(first[-2].get("usage"))
    a = send(gate, key, name, what)
    assert (a.status, a.headers["idempotent-replayed"]) == (200, "true")
    assert a.headers["content-type"].startswith("text/event-stream")
    assert a.headers["x-request-id"] == s.request_id
    *events, end, nothing = a.body.decode().split("\n\n")
    assert [json.loads(e.removeprefix("data: ")) for e in events] == first[:-1]
    assert (end, nothing) == ("data: [DONE]", "")
    assert rows(gate) == before


def test_the_sdk_is_told_a_stream_again(gate, key):
    with openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0) as client:
        told = [[c.to_dict() for c in client.chat.completions.create(
            **streamed("#tokens=9 x"), extra_headers={"Idempotency-Key": "sdk-stream"})] for _ in range(2)]
    assert len(told[0]) > 9 and told[0] == told[1]


def test_keep_alives_are_not_told_again(fault_gate):
    g, key, b = fault_gate("shm", {"do": [{"tokens": 2}, {"wait": 2500}, {"tokens": 2}, "final"]}, stream_keepalive_ms="1s")
    what = streamed("x")
    s = g.stream(key, "x", headers={"Idempotency-Key": "quiet"})
    first = s.rest()
    events = send(g, key, "quiet", what).body.decode().split("\n\n")[:-1]
    kept = [e for e in first if not (isinstance(e, dict) and e["choices"] and e["choices"][0]["delta"] == {}
                                     and not e["choices"][0]["finish_reason"])]
    assert len(first) > len(kept) == len(events)


def test_a_stream_that_is_too_long_to_be_kept(make_gate):
    g = make_gate(settings={"idempotency_answer_bytes_max": "2K"})
    key = g.key()
    s = g.stream(key, "#tokens=100 x", headers={"Idempotency-Key": "long"}, max_tokens=100)
    assert s.rest()[-1] == "[DONE]"
    a = send(g, key, "long", streamed("#tokens=100 x", max_tokens=100))
    assert (a.status, a.code) == (409, "idempotency_unreplayable")
    assert a.headers["x-request-id"] == s.request_id and a.headers["x-should-retry"] == "false"
    assert g.settlement(s.request_id)["outcome"] == "ok" and len(g.settlements()) == 1


def test_a_listener_who_left_a_stream_is_not_told_the_rest(fault_gate):
    """There is no rest: its backend was stopped.  What was sent is charged once."""
    g, key, b = fault_gate("shm", {"do": [{"tokens": 400, "every": 10}, "final"]})
    s = g.stream(key, "x", headers={"Idempotency-Key": "left"}, max_tokens=400)
    s.read(5)
    s.close()
    wait_until(lambda: g.settlements(), what="the bill")
    a = send(g, key, "left", streamed("x", max_tokens=400))
    assert (a.status, a.code) == (409, "idempotency_unreplayable")
    assert [r["outcome"] for r in g.settlements()] == ["client_gone"]


def test_a_stream_that_was_cut_is_not_charged_again(fault_gate):
    g, key, b = fault_gate("http", {"do": [{"tokens": 3}, {"final": 500}]})
    s = g.stream(key, "x", headers={"Idempotency-Key": "cut"})
    assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    a = send(g, key, "cut", {"model": "base/chat", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    assert (a.status, a.code) == (409, "idempotency_unreplayable")
    assert [r["outcome"] for r in g.settlements()] == ["upstream_cut"]


@pytest.mark.parametrize("setting", ["idempotency_answer_bytes_max: 0", "idempotency_answers_bytes_max: 0",
                                     "idempotency_answer_bytes_max: 100"])
def test_an_answer_that_is_not_kept(make_gate, setting):
    name, value = setting.split(": ")
    g = make_gate(settings={name: value})
    key = g.key()
    first, again = send(g, key, "k"), send(g, key, "k")
    assert (again.status, again.code) == (409, "idempotency_unreplayable")
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert len(g.settlements()) == 1
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM idempotency_answer").fetchone()[0] == 0


def test_a_key_may_not_be_forgotten_in_a_month(make_gate):
    g = make_gate(start=False, settings={"idempotency_keep_ms": "700h"})
    g.write_conf()
    g.start_daemon(ready=False)
    assert g.daemon.wait() != 0 and "idempotency_keep_ms" in g.daemon.text()
    g.daemon = None


def test_kill_9_and_the_same_key(make_gate):
    """Killed before, while and after it ran: the client sends it again until it has an answer."""
    g = make_gate()
    key = g.key()
    for n in range(12):
        what, name = body("#delay=15 #tokens=12 x"), f"kill-{n}"
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(send_or_none, g, key, name, what)
            time.sleep(0.03 * n)
            g.kill_daemon()
            before = first.result()
        g.start_daemon()
        g.wait_backend()
        a = send(g, key, name, what)
        assert a.status == 200, a
        if before:  # it had come, so it was on disk
            assert a.body == before.body and a.headers["idempotent-replayed"] == "true"
        with g.ledger() as db:
            charged = db.execute("SELECT count(*) FROM settlement WHERE amount_atoms > 0").fetchone()[0]
        assert charged == n + 1
        assert g.cli("audit", check=False).returncode == 0


def send_or_none(g, key, name, what):
    try:
        return send(g, key, name, what)
    except Exception:  # noqa: BLE001 -- whatever a killed server does to a client
        return None


# ---- the official SDK ----

def ask_sdk(client, **options):
    return client.chat.completions.with_raw_response.create(
        model="base/chat", messages=[{"role": "user", "content": "#tokens=4 x"}], **options)


@pytest.mark.short
def test_the_sdk_sends_none_by_itself(gate, key):
    with openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0) as c:
        assert c._idempotency_header is None
        before = rows(gate)
        assert ask_sdk(c).headers["x-request-id"] != ask_sdk(c).headers["x-request-id"]
        assert rows(gate) == before + 2


@pytest.mark.short
def test_the_sdk_with_a_key(gate, key):
    with openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0) as c:
        named = {"extra_headers": {"Idempotency-Key": "sdk-1"}}
        first, again = ask_sdk(c, **named), ask_sdk(c, **named)
        assert again.headers["idempotent-replayed"] == "true"
        assert first.parse().id == again.parse().id
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            ask_sdk(c, max_tokens=3, **named)
        assert refused.value.code == "idempotency_key_reused"


def test_the_sdks_retries_with_one_key_are_one_charge(make_gate):
    """It gives up and asks again while the first call runs on: 409 until that has ended, then the answer."""
    g = make_gate()
    with openai.OpenAI(base_url=g.url + "/v1", api_key=g.key(), max_retries=5) as c:
        c._idempotency_header = "Idempotency-Key"  # its own switch: then it makes a key for each call
        first = g.stream(g.key(), "#tokens=4 x")
        first.rest()
        asked = ask_sdk(c)
        sent = asked.http_request.headers["Idempotency-Key"]
        assert sent.startswith("stainless-python-retry-")
        what = json.loads(asked.http_request.content)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            slow = {**what, "messages": [{"role": "user", "content": "#delay=100 #tokens=12 x"}]}
            runs = pool.submit(send, g, g.key(), "sdk-slow", slow)
            wait_until(lambda: g.open_holds() == 1, what="the first call")
            a = c.chat.completions.create(**slow, extra_headers={"Idempotency-Key": "sdk-slow"})
        assert a.id == runs.result().json()["id"]
        assert len(g.settlements()) == 3
