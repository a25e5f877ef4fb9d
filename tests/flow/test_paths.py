"""The 28 paths of a request (docs/finance.md, "Who pays"): one test a row, through the real daemon, with
what the customer got and pays beside what the backend's own journal says was done for it.

Rows that this product does not have stand in NOT_HERE, with the reason; nothing is faked for them.
The same paths on every transport, and at every byte, are in test_who_pays.py.
"""
import json
import pathlib
import re
import socket
import time

import pytest
from billed import SOON, bill, models, tokens_of
from fault_backend import FaultBackend, scripted
from gate import CATALOG, OUTPUT, REQUESTS, ROOT, SLOW, Gate, Leaving, atoms, this_month, wait_until
from reconcile import rid_of

NOT_HERE = {
    2: "the gateway does not moderate prompts itself",
    5: "the gateway does not moderate answers itself",
    19: "images are not streamed, so there are no previews",
    20: "a form is read whole before anything runs: of a cut upload there is nothing to bill",
    21: "the gateway does not keep answers for others (an Idempotency-Key's is row 22)",
    25: "there is no batch endpoint",
    26: "there is no batch endpoint",
}
ELSEWHERE = {11: "test_tokenizer.py"}  # it needs a tokenizer and tiktoken's own count beside it
LAB = """
backends:
  worker: {{transport: shm, address: '{shm}'}}
  http: {{transport: http, address: 'http://127.0.0.1:{http}/v1', eject_after: 1000}}
  hasty-worker: {{transport: shm, address: '{shm}', {soon}}}
  hasty-http: {{transport: http, address: 'http://127.0.0.1:{http}/v1', eject_after: 1000, {soon}}}
""" + models({"base/chat": "http", "base/worker": "worker", "base/hasty-chat": "hasty-http",
            "base/hasty-worker": "hasty-worker"})


class Lab:
    """One gate before one scripted backend, as a worker and over HTTP."""

    def __init__(self, directory):
        self.backend = FaultBackend(directory, f"shm:{directory}/shm", "http:0")
        self.gate = Gate(catalog=LAB, worker=False, settings={"stream_checkpoint_ms": "500ms"},
                         fields={"shm": f"{directory}/shm", "http": self.backend.ports[1], "soon": SOON})
        self.gate.start()
        for name in ("worker", "http", "hasty-worker", "hasty-http"):
            self.gate.wait_backend(name)
        self.key = self.gate.key()

    def chat(self, words, *steps, **fields):
        return self.gate.chat(self.key, scripted(words, *steps), **fields)

    def stream(self, words, *steps, **fields):
        return self.gate.stream(self.key, scripted(words, *steps), **fields)

    def done(self, event, request_id):
        return self.backend.rows(event, rid_of(request_id))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made
        made.gate.stop()
        made.backend.stop()
    finally:
        made.gate.abandon()


def cost(tokens_in, tokens_out):
    return atoms("0.001") + atoms("0.1", 10**6, tokens_in) + atoms("0.4", 10**6, tokens_out)


def id_of(a):
    return a.headers["x-request-id"]


# ---- the table itself ----

def test_every_row_is_here_or_says_why_not():
    """One test of each row's number, a line of the finance page, and each reason on it, too."""
    here = {int(n) for n in re.findall(r"^def test_row_(\d\d)_", pathlib.Path(__file__).read_text(), re.M)}
    assert here | NOT_HERE.keys() | ELSEWHERE.keys() == set(range(1, 29))
    for number, name in ELSEWHERE.items():
        assert f"def test_{number}_" in (ROOT / "tests/flow" / name).read_text()
    page = (ROOT / "docs/finance.md").read_text()
    told = {int(n) for n in re.findall(r"^\| (\d+) \|", page, re.M)}
    assert told == set(range(1, 29))
    for number in NOT_HERE:
        row, = re.findall(rf"^\| {number} \|.*$", page, re.M)
        assert "not here" in row, row


# ---- nothing runs ----

@pytest.mark.short
def test_row_01_refused(lab):
    """Key, model, body, limits, budget: no row, no call, no charge."""
    g, starts = lab.gate, len(lab.backend.rows("start"))
    g.project("poor", "0.0000001", "total")
    slow = g.key("slow", rpm=1)
    before = len(g.settlements())
    answers = [g.chat("sk-wrong"), g.chat(lab.key, model="base/none"), g.post("/v1/chat/completions", "{", lab.key),
               g.chat(lab.key, max_tokens="many"), g.chat(g.key("poor"))]
    answers += [g.chat(slow, scripted("x", "final")), g.chat(slow)]
    assert [a.status for a in answers] == [401, 404, 400, 400, 429, 200, 429]
    assert [a.code for a in answers[-3:] if a.status != 200] == ["insufficient_quota", "rate_limit_exceeded"]
    assert len(lab.backend.rows("start")) == starts + 1 and len(g.settlements()) == before + 1 and g.open_holds() == 0


@pytest.mark.short
@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
@pytest.mark.parametrize("stream", [False, True])
def test_row_03_the_provider_refuses_the_prompt(lab, code, stream):
    """The customer is told why and pays nothing; if the provider charges for it, that is the operator's."""
    error = {"error": {"message": "filtered", "type": "invalid_request_error", "param": "prompt", "code": code}}
    a = lab.chat("x", {"head": 400, "headers": {"Content-Type": "application/json"}},
                 {"bytes": json.dumps(error)}, "fin", stream=stream)
    assert (a.status, a.code, a.json()["error"]["message"]) == (400, "content_filter", "filtered"), a
    assert a.headers["x-should-retry"] == "false"
    assert bill(lab.gate, id_of(a)) == ("blocked_upstream", "none", 0, 0, 0)
    assert len(lab.done("start", id_of(a))) == 1


# ---- it ends well, more or less ----

FILTERED = {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "I"}, "finish_reason": "content_filter"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}


@pytest.mark.short
def test_row_04_the_answer_is_filtered(lab):
    """What was reported is paid."""
    a = lab.chat("a b c", {"body": FILTERED}, "done")
    assert a.status == 200 and bill(lab.gate, id_of(a)) == ("ok_filtered", "upstream", 9, 1, cost(9, 1))


@pytest.mark.short
@pytest.mark.parametrize("model", ["base/chat", "base/worker"])
def test_row_04_the_stream_is_filtered(lab, model):
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
             "choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
    s = lab.stream("a b c", {"tokens": 2}, {"say": chunk}, "usage_event", "done", model=model)
    events = s.rest()
    assert events[-1] == "[DONE]" and tokens_of(events) == 2
    assert bill(lab.gate, s.request_id) == ("ok_filtered", "upstream", 3, 2, cost(3, 2))


def test_row_04_the_word_in_a_text_is_no_filter(lab):
    s = lab.stream("a", {"say": {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": 0, "delta": {"content": '"content_filter"'}, "finish_reason": None}]}}, {"tokens": 1}, "final")
    assert s.rest()[-1] == "[DONE]" and bill(lab.gate, s.request_id)[0] == "ok"


@pytest.mark.short
@pytest.mark.parametrize("model", ["base/chat", "base/worker"])
@pytest.mark.parametrize("code", [500, 429, 503])
def test_row_06_all_attempts_fail(lab, model, code):
    a = lab.chat("x", {"final": code}, model=model)
    assert a.status in (502, 503) and bill(lab.gate, id_of(a)) == ("failed_pre", "none", 0, 0, 0)
    assert len(lab.done("start", id_of(a))) == 1 and not lab.done("final", id_of(a))


def test_row_07_failover(fault_gate, tmp_path):
    """The winner is paid once; what the loser did is the operator's."""
    winner = FaultBackend.over("shm", tmp_path)
    from test_who_pays import TWO
    g, key, loser = fault_gate("http", {"do": [{"final": 503}]}, catalog=TWO,
                               fields={"other_kind": winner.kind, "other_where": winner.where})
    g.wait_backend("other")
    a = g.chat(key, "#tokens=4 x y")
    assert a.status == 200 and bill(g, id_of(a)) == ("ok", "upstream", 3, 4, cost(3, 4))
    assert len(loser.rows("failed")) == 1 and len(winner.rows("final")) == 1 and len(g.settlements()) == 1
    winner.stop()


REPORTS = {8: ("right", "ok", "upstream", 5, 3), 9: ("absent", "ok_nousage", "none", 0, 0),
           10: ({"in": 0, "out": 0}, "ok", "upstream", 0, 0)}


def report(lab, number, model, stream):
    said, outcome, evidence, tokens_in, tokens_out = REPORTS[number]
    ask = lab.stream if stream else lab.chat
    a = ask("one two three four five", {"usage": said}, {"tokens": 3}, "final", model=model)
    if stream:
        events = a.rest()
        assert events[-1] == "[DONE]" and tokens_of(events) == 3
    request_id = a.request_id if stream else id_of(a)
    assert bill(lab.gate, request_id) == (outcome, evidence, tokens_in, tokens_out, cost(tokens_in, tokens_out))
    assert lab.done("final", request_id)[-1]["output_tokens"] == 3
    return request_id


both_ways = pytest.mark.parametrize("model,stream", [(m, s) for m in ("base/chat", "base/worker") for s in (False, True)])


@pytest.mark.short
@both_ways
def test_row_08_usage_is_reported(lab, model, stream):
    report(lab, 8, model, stream)


@pytest.mark.short
@both_ways
def test_row_09_no_usage(lab, model, stream):
    """The request's fee and no tokens; the operator has an alarm."""
    before = lab.gate.metric("maasgate_unreported_usage_total")
    request_id = report(lab, 9, model, stream)
    assert lab.gate.metric("maasgate_unreported_usage_total") == before + 1
    lab.gate.daemon.wait_line(f"usage_not_reported request={request_id}")


@pytest.mark.short
@both_ways
def test_row_10_usage_of_zero_is_a_value(lab, model, stream):
    report(lab, 10, model, stream)


# ---- the client leaves ----

@pytest.mark.short
@both_ways
def test_row_12_gone_before_the_first_token(lab, model, stream):
    starts, before = len(lab.backend.rows("start")), {r["rid"] for r in lab.gate.settlements()}
    s = lab.stream("x", "role", "hang", model=model, stream=stream)
    wait_until(lambda: len(lab.backend.rows("start")) > starts, what="the call")
    s.close()
    row = wait_until(lambda: [r for r in lab.gate.settlements() if r["rid"] not in before], what="its bill")[0]
    assert (row["outcome"], row["evidence"], row["amount_atoms"]) == ("client_gone_0", "none", 0)
    assert lab.backend.wait_row("cancel", row["rid"])["output_tokens"] == 0


@pytest.mark.short
@pytest.mark.parametrize("model", ["base/chat", "base/worker"])
def test_row_13_gone_in_the_middle(lab, model):
    """Input and what was sent; the tail that the backend had made is the operator's."""
    s = lab.stream("one two three", {"tokens": 4}, "hang", model=model)
    got = tokens_of(s.read(4))
    with Leaving() as leaving:
        s.close()
        outcome, evidence, tokens_in, tokens_out, paid = bill(lab.gate, s.request_id)
    assert (outcome, tokens_out, paid) == ("client_gone", got, cost(tokens_in, got))
    if model == "base/chat" or leaving.in_time:
        assert (evidence, tokens_in) == ("upstream", 3) if model == "base/worker" else evidence == "estimate"
    assert lab.backend.wait_row("cancel", rid_of(s.request_id))["output_tokens"] >= got


# ---- the backend fails ----

@pytest.mark.short
def test_row_14_the_backend_dies(fault_gate):
    g, key, b = fault_gate("http", {"do": [{"tokens": 3}, {"wait": 50}, "reset"]})
    s = g.stream(key, "one two")
    events = s.rest()
    assert events[-1]["error"]["code"] == "upstream_cut" and tokens_of(events) == 3
    outcome, _, tokens_in, tokens_out, paid = bill(g, s.request_id)
    assert (outcome, tokens_out, paid) == ("upstream_cut", 3, cost(tokens_in, 3))
    assert b.rows("reset")[-1]["output_tokens"] == 3


@pytest.mark.short
@pytest.mark.parametrize("model", ["base/chat", "base/worker"])
def test_row_15_an_error_after_200(lab, model):
    """The words of an error are no output."""
    s = lab.stream("one two", {"tokens": 3}, {"final": 500}, model=model)
    events = s.rest()
    assert "error" in events[-1] and "[DONE]" not in events and tokens_of(events) == 3
    outcome, _, tokens_in, tokens_out, paid = bill(lab.gate, s.request_id)
    assert (outcome, tokens_out, paid) == ("upstream_cut", 3, cost(tokens_in, 3))
    assert lab.done("failed", s.request_id)


@pytest.mark.short
@pytest.mark.parametrize("model", ["base/hasty-chat", "base/hasty-worker"])
@pytest.mark.parametrize("tokens", [0, 3])
def test_row_16_our_deadline(lab, model, tokens):
    s = lab.stream("x", {"tokens": tokens}, "hang", model=model)
    if tokens == 0:
        assert s.head().status == 504 and bill(lab.gate, s.request_id) == ("failed_pre", "none", 0, 0, 0)
    else:
        assert tokens_of(s.rest()) == 3
        outcome, _, tokens_in, tokens_out, paid = bill(lab.gate, s.request_id)
        assert (outcome, tokens_out, paid) == ("upstream_cut", 3, cost(tokens_in, 3))
    assert lab.backend.wait_row("cancel", rid_of(s.request_id))["output_tokens"] == tokens


# ---- a part of what was asked ----

def choice(index, reason="stop", **more):
    return {"index": index, "message": {"role": "assistant", "content": f"choice {index}"}, "finish_reason": reason, **more}


def whole(*choices, tokens):
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": list(choices),
            "usage": {"prompt_tokens": 4, "completion_tokens": tokens, "total_tokens": 4 + tokens}}


@pytest.mark.short
@pytest.mark.parametrize("choices,outcome", [
    ([choice(0), choice(1), choice(2)], "ok"), ([choice(0), choice(2)], "ok_partial"),
    ([choice(0), choice(1, "error"), choice(2)], "ok_partial"), ([choice(0), choice(1, None), choice(2, "length")], "ok_partial"),
    ([choice(0), choice(1), choice(2, "content_filter")], "ok_filtered")])
def test_row_17_some_choices_fail(lab, choices, outcome):
    """What the backend reports is paid: the choices that came.  Whole answers."""
    a = lab.chat("x", {"body": whole(*choices, tokens=len(choices))}, "done", n=3)
    assert a.status == 200 and len(a.json()["choices"]) == len(choices)
    assert bill(lab.gate, id_of(a)) == (outcome, "upstream", 4, len(choices), cost(4, len(choices)))


@pytest.mark.short
@pytest.mark.parametrize("finished,outcome", [((0, 1, 2), "ok"), ((0, 2), "ok_partial"), ((), "ok_partial")])
def test_row_17_some_choices_fail_in_a_stream(lab, finished, outcome):
    def chunk(index, delta, reason=None):
        return {"say": {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}}
    steps = [chunk(i, {"content": f"word{i} "}) for i in range(3)] + [chunk(i, {}, "stop") for i in finished]
    usage = {"say": {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                     "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}}}
    s = lab.stream("x", *steps, usage, "done", n=3)
    events = s.rest()
    assert events[-1] == "[DONE]" and tokens_of(events) == 3
    assert bill(lab.gate, s.request_id) == (outcome, "upstream", 4, 3, cost(4, 3))


@pytest.mark.short
@pytest.mark.parametrize("came,outcome", [(1, "ok_partial"), (2, "ok_partial"), (3, "ok")])
def test_row_18_fewer_images_than_asked(fault_gate, came, outcome):
    """k images at the price of the size that was asked for."""
    g, key, b = fault_gate("http", {"do": [{"body": {"created": 1, "data": [{"b64_json": "AA=="}] * came}}]})
    a = g.post("/v1/images/generations", {"model": "base/image", "prompt": "x", "n": 3, "size": "64x64"}, key)
    assert a.status == 200 and len(a.json()["data"]) == came, a
    row = g.settlement(id_of(a))
    assert (row["outcome"], row["amount_atoms"]) == (outcome, atoms("0.01", 1, came))


def test_row_20_a_cut_upload_is_no_request(lab):
    """Not here: it is read whole first.  Nothing is held, nothing runs."""
    before, starts = len(lab.gate.settlements()), len(lab.backend.rows("start"))
    s = socket.create_connection(("127.0.0.1", lab.gate.port))
    s.sendall((f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {lab.key}\r\n"
               "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n").encode())
    s.close()
    time.sleep(0.2 * SLOW)
    assert len(lab.gate.settlements()) == before and lab.gate.open_holds() == 0
    assert len(lab.backend.rows("start")) == starts


# ---- again ----

@pytest.mark.short
@pytest.mark.parametrize("model", ["base/chat", "base/worker"])
def test_row_22_the_same_key_again(lab, model):
    """One call, one charge, one answer; test_idempotency.py has the rest."""
    what = {"model": model, "messages": [{"role": "user", "content": scripted("x", {"tokens": 3}, "final")}]}
    send = lambda: lab.gate.post("/v1/chat/completions", what, lab.key, {"Idempotency-Key": f"row22-{model}"})  # noqa: E731
    first, before = send(), len(lab.gate.settlements())
    again = send()
    assert again.body == first.body and again.headers["idempotent-replayed"] == "true"
    assert id_of(again) == id_of(first) and len(lab.done("start", id_of(first))) == 1
    assert len(lab.gate.settlements()) == before and bill(lab.gate, id_of(first))[0] == "ok"


# ---- the daemon dies ----

def after_a_kill(g, s, needed=0):
    """Kills it once the stream's checkpoint says `needed`; (what the client has, its bill)."""
    def noted():
        with g.ledger() as db:
            row = db.execute("SELECT lines FROM checkpoint WHERE rid = ?", (rid_of(s.request_id),)).fetchone()
        return sum(q for m, q, *_ in json.loads(row[0]) if m == OUTPUT) if row else 0
    told = wait_until(lambda: noted() or needed == 0, 20, "a checkpoint") if needed else 0
    g.kill_daemon()
    events = []
    try:
        for event in s.events():
            events.append(event)
    except (OSError, ValueError):
        pass
    s.close()
    g.start_daemon()
    assert g.open_holds() == 0
    return told, tokens_of(events), bill(g, s.request_id)


@pytest.mark.short
def test_row_23_the_daemon_dies_and_nothing_was_sent(fault_gate):
    g, key, b = fault_gate("http", {"do": ["role", "hang"]})
    s = g.stream(key, "x")
    s.head()
    assert after_a_kill(g, s) == (0, 0, ("orphan_0", "none", 0, 0, 0))
    assert b.rows("start")


@pytest.mark.short
@pytest.mark.parametrize("transport", ["shm", "http"])
def test_row_24_the_daemon_dies_in_a_stream(fault_gate, transport):
    """Input and what was noted as sent; the rest is the operator's."""
    g, key, b = fault_gate(transport, {"do": [{"tokens": 4000, "every": 10}, "hang"]}, stream_checkpoint_ms="500ms")
    s = g.stream(key, "x", max_tokens=4000)
    s.head()
    told, got, (outcome, evidence, tokens_in, tokens_out, paid) = after_a_kill(g, s, 1)
    assert (outcome, evidence) == ("orphan", "estimate") and 0 < told <= tokens_out <= got
    assert paid == cost(tokens_in, tokens_out) and tokens_in > 0


# ---- prices ----

def test_row_27_no_price_for_what_was_used(make_gate):
    """Billed 0 for good, and the operator has an alarm."""
    g = make_gate(catalog=CATALOG)
    tensors = [{"name": n, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))} for n in ("INPUT0", "INPUT1")]
    a = g.post("/v2/models/base%2Fsimple/infer", {"inputs": tensors}, g.key())
    assert a.status == 200
    row = g.settlement(id_of(a))
    assert (row["outcome"], row["amount_atoms"]) == ("ok_unpriced", atoms("0.0005")) and list(row["lines"]) == [REQUESTS]
    assert g.metric("maasgate_unpriced_usage_total") == 1
    g.daemon.wait_line(f"usage_without_price request={id_of(a)}")


def test_row_28_reserved_capacity(make_gate):
    """The hours of the month are on the invoice, used or not; the tokens of such a model cost nothing."""
    free = CATALOG.replace("requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M",
                           "requests: 0, input_uncached_tokens: 0, output_text_tokens: 0")
    g = make_gate(catalog=free)
    key = g.key()
    g.cli("contract", "set", "acme", "--reserved", "two H20,3.50,2")
    a = g.chat(key, "#tokens=5 x")
    row = g.settlement(id_of(a))
    assert (row["outcome"], row["amount_atoms"], row["lines"][OUTPUT][0]) == ("ok", 0, 5)
    month = this_month()
    draft = g.ask("invoice", month, "--org", "acme")
    lines = [line for line in draft["lines"] if "two H20" in json.dumps(line)]
    assert len(lines) == 1 and float(lines[0]["net"]) > 0, draft

