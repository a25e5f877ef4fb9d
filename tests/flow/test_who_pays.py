"""Who pays when it goes wrong: the path table, row by row, on every transport.

What the customer got is counted by the client, what the backend did by its own journal, and the
bill is read from the ledger.  The rows that need a recount, moderation or replay are not here.
"""
import socket
import time

import billed
import pytest
from billed import SOON, models, tokens_of
from fault_backend import TRANSPORTS, FaultBackend, scripted
from gate import SLOW, Gate, Leaving, atoms, wait_until
from reconcile import rid_of, text_of_rid

WORKERS = ["shm", "unix", "tcp"]
LAB = """
backends:
{backends}
""" + models({f"base/{t}": t for transport in TRANSPORTS for t in (transport, "hasty-" + transport)})


class Lab:
    """One gate before one scripted backend over every transport: the model base/TRANSPORT is it, and
    base/hasty-TRANSPORT has little time for it.  For scripts that break no connection of a worker."""

    def __init__(self, directory):
        self.backend = FaultBackend(directory, f"shm:{directory}/shm", f"unix:{directory}/unix", "tcp:0", "http:0")
        tcp, http = self.backend.ports[2:]
        where = {"shm": f"shm, address: {directory}/shm", "unix": f"socket, address: 'unix:{directory}/unix'",
                 "tcp": f"socket, address: '127.0.0.1:{tcp}'", "http": f"http, address: 'http://127.0.0.1:{http}/v1'"}
        self.gate = Gate(catalog=LAB, worker=False, fields={"backends": "".join(
            f"  {t}: {{transport: {w}, eject_after: 1000}}\n  hasty-{t}: {{transport: {w}, eject_after: 1000, {SOON}}}\n"
            for t, w in where.items())})
        self.gate.start()
        for t in where:
            self.gate.wait_backend(t)
            self.gate.wait_backend("hasty-" + t)
        self.key = self.gate.key()

    def chat(self, transport, words, *steps, **fields):
        return self.gate.chat(self.key, scripted(words, *steps), model=f"base/{transport}", **fields)

    def stream(self, transport, words, *steps, **fields):
        return self.gate.stream(self.key, scripted(words, *steps), model=f"base/{transport}", **fields)

    def rows(self, event, request_id):
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


def bill(g, request_id):
    """(outcome, evidence, input, output); the amount is the price list's, to the atom."""
    return billed.bill(g, request_id)[:4]


def new_row(g, before):
    """The one settlement that was not there before."""
    rows = wait_until(lambda: [r for r in g.settlements() if r["rid"] > before], what="the settlement")
    assert len(rows) == 1
    return rows[0]


def last_rid(g):
    return max((r["rid"] for r in g.settlements()), default=0)


# ---- 6: nothing was answered ----

@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("code", [500, 429, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_06_refused(lab, transport, code, stream):
    a = lab.chat(transport, "x", {"final": code}, stream=stream)
    assert a.status in (502, 503), a
    assert bill(lab.gate, a.headers["x-request-id"]) == ("failed_pre", "none", 0, 0)
    assert len(lab.rows("start", a.headers["x-request-id"])) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_06_died_before_the_first_token(fault_gate, transport, how):
    g, key, b = fault_gate(transport, {"do": [how]}, "repeat_unanswered: false")
    a = g.chat(key, "x")
    assert a.status in (502, 503), a
    assert bill(g, a.headers["x-request-id"]) == ("failed_pre", "none", 0, 0)
    assert [r["output_tokens"] for r in b.rows("start")] == [0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_06_a_role_is_no_token(fault_gate, transport):
    """The client has a 200 and a first chunk, and nothing that could be paid for."""
    g, key, b = fault_gate(transport, {"do": ["role", {"wait": 30}, "reset"]})
    s = g.stream(key, "x")
    assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    assert bill(g, s.request_id) == ("failed_pre", "none", 0, 0)


# ---- 7: another did it ----

TWO = """
backends:
  fault: {{transport: {kind}, address: '{where}'}}
  other: {{transport: {other_kind}, address: '{other_where}'}}
models:
  base/chat:
    capabilities: [chat]
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: fault, model: m}}, {{backend: other, model: m, priority: 2}}]
"""


@pytest.mark.parametrize("transport,other", [("shm", "http"), ("unix", "shm"), ("tcp", "shm")])
def test_07_the_winner_is_paid(fault_gate, tmp_path, transport, other):
    winner = FaultBackend.over(other, tmp_path)
    g, key, loser = fault_gate(transport, {"do": [{"usage": "absent"}, {"final": 503}]}, catalog=TWO,
                               fields={"other_kind": winner.kind, "other_where": winner.where})
    g.wait_backend("other")
    a = g.chat(key, "#tokens=4 x y")
    assert a.status == 200
    assert bill(g, a.headers["x-request-id"]) == ("ok", "upstream", 3, 4)
    assert len(g.settlements()) == 1 and g.open_holds() == 0
    assert len(loser.rows("failed")) == 1 and len(winner.rows("final")) == 1
    winner.stop()


# ---- 8 to 11: a whole answer ----

CLAIMS = {  # what is said of 5 input and 3 output tokens; the bill of each
    "right": ("right", ("ok", "upstream", 5, 3)),             # row 8
    "absent": ("absent", ("ok_nousage", "none", 0, 0)),       # row 9: an alarm, and no tokens
    "zero": ({"in": 0, "out": 0}, ("ok", "upstream", 0, 0)),  # row 10: 0 is a value
    "less": ({"out": 2}, ("ok", "upstream", 5, 2)),
}


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("stream", [False, True])
def test_08_to_10_what_is_reported(lab, transport, claim, stream):
    usage, expected = CLAIMS[claim]
    ask = lab.stream if stream else lab.chat
    a = ask(transport, "one two three four five", {"usage": usage}, {"tokens": 3}, "final")
    if stream:
        assert a.rest()[-1] == "[DONE]"
    request_id = a.request_id if stream else a.headers["x-request-id"]
    assert bill(lab.gate, request_id) == expected
    assert lab.rows("final", request_id)[-1]["output_tokens"] == 3


def test_09_missing_usage_is_told(lab):
    before = lab.gate.metric("maasgate_unreported_usage_total")
    a = lab.chat("shm", "x", {"usage": "absent"}, {"tokens": 3}, "final")
    assert a.status == 200
    assert lab.gate.metric("maasgate_unreported_usage_total") == before + 1
    lab.gate.daemon.wait_line(f"usage_not_reported request={a.headers['x-request-id']} backend=shm")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_11_more_than_was_held_is_never_billed(lab, transport):
    a = lab.chat(transport, "x", {"usage": {"in": 10**9, "out": 10**9}}, {"tokens": 3}, "final", max_tokens=10)
    outcome, _, tokens_in, tokens_out = bill(lab.gate, a.headers["x-request-id"])
    assert outcome == "ok" and tokens_in < 300 and tokens_out <= 10


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_11_a_lie_costs_the_client_no_tokens_of_its_limit(lab, transport):
    key = lab.gate.key("limited", tpm=20000)
    steps = [{"usage": {"in": 10**9, "out": 10**9}}, {"tokens": 3}, "final"]
    for _ in range(3):
        a = lab.gate.chat(key, scripted("x", *steps), model=f"base/{transport}", max_tokens=10)
        assert a.status == 200, a
    assert int(a.headers["x-ratelimit-remaining-tokens"]) > 15000


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("usage", [{"in": -5, "out": -3}, "falling"])
def test_11_usage_that_cannot_be(fault_gate, transport, usage):
    """Over HTTP it is not reported; it ends the session of a worker."""
    g, key, b = fault_gate(transport, {"do": [{"usage": usage, "each": True}, {"tokens": 3}, "final"]},
                           "repeat_unanswered: false")
    s = g.stream(key, "x", max_tokens=10)
    if s.head().status == 200:
        s.rest()
    _, _, tokens_in, tokens_out = bill(g, s.request_id)
    assert tokens_in < 300 and tokens_out <= 10


# ---- 12, 13: the client leaves ----

@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("stream", [False, True])
def test_12_gone_before_the_first_token(lab, transport, stream):
    before, starts = last_rid(lab.gate), len(lab.backend.rows("start"))
    s = lab.stream(transport, "x", "hang", stream=stream)
    wait_until(lambda: len(lab.backend.rows("start")) > starts, what="the call")
    s.close()
    row = new_row(lab.gate, before)
    assert (row["outcome"], row["amount_atoms"]) == ("client_gone_0", 0)
    assert lab.backend.wait_row("cancel", row["rid"])["output_tokens"] == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_12_gone_after_a_role(lab, transport):
    s = lab.stream(transport, "x", "role", "hang")
    s.read(1)
    s.close()
    assert bill(lab.gate, s.request_id) == ("client_gone_0", "none", 0, 0)


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("reset", [False, True])
def test_13_gone_in_the_middle(lab, transport, reset):
    s = lab.stream(transport, "one two three", "role", {"tokens": 4}, "hang")
    assert tokens_of(s.read(5)) == 4
    with Leaving() as leaving:
        s.close(reset)
        outcome, evidence, tokens_in, tokens_out = bill(lab.gate, s.request_id)
    assert (outcome, tokens_out) == ("client_gone", 4)
    if transport == "http":  # it counts at the end, which was not awaited: a quarter of the body's bytes
        assert evidence == "estimate" and 3 <= tokens_in < 100
    elif leaving.in_time:
        assert (evidence, tokens_in) == ("upstream", 3)
    assert lab.backend.wait_row("cancel", rid_of(s.request_id))["output_tokens"] == 4


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_13_usage_in_each_chunk(lab, transport):
    s = lab.stream(transport, "one two three", {"usage": "right", "each": True}, {"tokens": 4}, "hang")
    s.read(4)
    s.close()
    assert bill(lab.gate, s.request_id) == ("client_gone", "upstream", 3, 4)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_13_gone_after_the_last_token(fault_gate, transport):
    """All content, no end: what the backend had said of it is the bill."""
    g, key, b = fault_gate(transport, {"rules": [{"when": {"has": "behind"}, "do": [{"tokens": 1}, "final"]}, {"do": [
        {"tokens": 4}, "finish", "usage_event", "hang"]}]}, loop_threads=1)
    s = g.stream(key, "one two three", stream_options={"include_usage": True})
    s.read(5)
    assert g.chat(key, "behind").status == 200  # the usage is kept back; on the same loop it has come before this
    s.close()
    assert bill(g, s.request_id) == ("client_gone", "upstream", 3, 4)


def all_events(s):
    """Whole events; what a cut connection left of the last one is dropped."""
    try:
        yield from s.events()
    except (OSError, ValueError):
        return


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_13_what_a_full_socket_kept_is_not_billed(fault_gate, transport):
    """The client reads nothing and then leaves by half: what it can still read is what it pays."""
    g, key, b = fault_gate(transport, {"do": [{"tokens": 40000}, "final"]}, stream_buffer_max="64K")
    s = g.stream(key, "x", receive_buffer=4096, max_tokens=50000)
    g.wait_still("maasgate_stream_events_total")  # a full socket
    s.socket.shutdown(socket.SHUT_WR)
    outcome, _, _, tokens_out = bill(g, text_of_rid(new_row(g, 0)["rid"]))
    got = tokens_of(all_events(s))
    assert outcome == "client_gone"
    assert 0 < tokens_out <= got, "billed more than came"
    assert got - tokens_out <= 150, "what the HTTP server held is in the customer's favour, and no more"
    if transport != "http":  # there the kernel's buffers may hold all of it
        assert tokens_out < b.wait_row("cancel")["output_tokens"]


# ---- drain: the same bill, and an end to it ----

@pytest.mark.parametrize("transport", TRANSPORTS)
def test_13_drained_to_its_end(fault_gate, transport):
    """The backend's last word tells the input; the tail is ours."""
    g, key, b = fault_gate(transport, {"do": ["role", {"tokens": 2}, {"wait": 2000}, {"tokens": 5}, "final"]},
                           "on_disconnect: drain")
    s = g.stream(key, "one two three")
    s.read(3)
    s.close()
    assert bill(g, s.request_id) == ("client_gone", "gateway" if transport == "http" else "upstream", 3, 2)
    assert b.rows("final")[-1]["output_tokens"] == 7 and not b.rows("cancel")
    assert g.metric("maasgate_drained_calls_total") == 1


@pytest.mark.parametrize("transport", ["shm", "http"])
def test_13_a_drain_ends_in_time(fault_gate, transport):
    g, key, b = fault_gate(transport, {"do": [{"tokens": 2}, "hang"]}, "on_disconnect: drain\n    drain_timeout_ms: 700ms")
    s = g.stream(key, "x")
    s.read(2)
    left = time.monotonic_ns()
    s.close()
    assert bill(g, s.request_id)[0] == "client_gone"
    waited = b.wait_row("cancel")["t"] - left
    assert 700e6 <= waited < 10e9 * SLOW, waited  # not the half minute that is the default
    assert g.running_requests() == 0


@pytest.mark.parametrize("transport", ["shm", "http"])
def test_13_only_so_many_drain(fault_gate, transport):
    """Two may, of all threads together; the others are cancelled at once."""
    g, key, b = fault_gate(transport, {"do": [{"tokens": 2}, "hang"]}, "on_disconnect: drain\n    drain_calls_max: 2\n"
                           "    drain_timeout_ms: 1h", loop_threads=2, drain_timeout_ms="500ms")
    streams = [g.stream(key, "x") for _ in range(6)]
    for s in streams:
        s.read(2)
    for s in streams:
        s.close()
    wait_until(lambda: len(b.rows("cancel")) == 4 and g.running_requests() == 2, what="four cancels")
    assert g.metric("maasgate_drained_calls_total") == 2
    g.daemon.signal(15)  # the daemon's own drain ends before theirs
    assert g.daemon.wait(20) == 0
    assert {r["outcome"] for r in g.settlements()} == {"client_gone"} and len(g.settlements()) == 6


# ---- 14 to 16: the backend fails in the middle ----

@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["fin", "reset", "exit"])
def test_14_the_backend_dies(fault_gate, transport, how):
    g, key, b = fault_gate(transport, {"do": ["role", {"tokens": 3}, {"wait": 50}, how]})
    s = g.stream(key, "one two")
    events = s.rest()
    assert events[-1]["error"]["code"] == "upstream_cut" and tokens_of(events) == 3
    outcome, evidence, tokens_in, tokens_out = bill(g, s.request_id)
    assert (outcome, tokens_out) == ("upstream_cut", 3)
    assert (evidence, tokens_in) == ("upstream", 2) or transport == "http"


CUTS = [(t, k, how) for t, ks, hows in (("http", (1, 40, 160, 400, 1000), ("fin", "reset", "garbage", "hang")),
                                        ("unix", (1, 200, 1000), ("fin", "garbage")), ("shm", (1, 1000), ("fin",)))
        for k in ks for how in hows]


@pytest.mark.parametrize("transport,k,how", CUTS)
def test_14_cut_at_byte_k(lab, fault_gate, transport, k, how):
    """Wherever the answer breaks off, the client pays for the whole events it has."""
    steps = [{"cut": k, "how": how}, {"tokens": 20, "every": 2}, "final"]
    if transport == "http":
        g, s = lab.gate, lab.stream("hasty-http" if how == "hang" else "http", "x", *steps)
    else:
        g, key, b = fault_gate(transport, {"do": steps}, "repeat_unanswered: false")
        s = g.stream(key, "x")
    if s.head().status != 200:
        assert bill(g, s.request_id) == ("failed_pre", "none", 0, 0)
        return
    events = s.rest()
    assert events[-1]["error"]["code"] in ("upstream_cut", "backend_protocol_error", "deadline_exceeded"), events[-1]
    got = tokens_of(events)
    outcome, _, _, tokens_out = bill(g, s.request_id)
    assert (outcome, tokens_out) == ("upstream_cut", got) and got > 0


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_15_an_error_after_200(lab, transport):
    """The words of an error are no output."""
    s = lab.stream(transport, "one two", "role", {"tokens": 3}, {"final": 500})
    events = s.rest()
    assert "error" in events[-1] and "[DONE]" not in events
    outcome, _, _, tokens_out = bill(lab.gate, s.request_id)
    assert (outcome, tokens_out) == ("upstream_cut", 3)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("tokens", [0, 3])
def test_16_our_deadline(lab, transport, tokens):
    s = lab.stream("hasty-" + transport, "x", {"tokens": tokens}, "hang")
    if tokens == 0:
        assert s.head().status == 504
        assert bill(lab.gate, s.request_id) == ("failed_pre", "none", 0, 0)
    else:
        assert s.rest()[-1]["error"]["code"] in ("deadline_exceeded", "upstream_cut")
        assert bill(lab.gate, s.request_id)[::3] == ("upstream_cut", 3)
    assert wait_until(lambda: lab.rows("cancel", s.request_id), what="the cancel")


# ---- 18: a part of what was asked ----

def test_18_fewer_images_than_asked(fault_gate):
    g, key, b = fault_gate("http", {"do": [{"body": {"created": 1, "data": [{"b64_json": "AA=="}]}}]})
    a = g.post("/v1/images/generations", {"model": "base/image", "prompt": "x", "n": 3, "size": "64x64"}, key)
    assert a.status == 200 and len(a.json()["data"]) == 1
    row = g.settlement(a.headers["x-request-id"])
    assert row["amount_atoms"] == atoms("0.01") and row["outcome"] == "ok_partial"


# ---- a lie after the end ----

AFTER = {"final again": ["final", "final"], "token after final": ["final", {"tokens": 1}],
         "another's slot": [{"frame": {"type": 6, "flags": 8, "slot": "+1", "zeros": 16, "text": "{\"canary\":1}"}}, "final"],
         "a generation to come": [{"frame": {"type": 7, "gen": "+1", "zeros": 136}}, "final"],
         "an earlier generation": [{"frame": {"type": 7, "gen": "-1", "zeros": 136}}, "final"]}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", AFTER)
def test_settled_once_whatever_follows(fault_gate, transport, name):
    if "frame" in str(AFTER[name]) and transport == "http":
        return  # it has no frames
    g, key, b = fault_gate(transport, {"rules": [{"when": {"has": "dear"}, "do": [{"tokens": 3}, *AFTER[name]]},
                                                 {"do": [{"tokens": 1}, "final"]}]})
    s = g.stream(key, "dear")
    events = s.rest()
    assert "canary" not in str(events)
    assert bill(g, s.request_id)[0] in ("ok", "upstream_cut")
    a = wait_until(lambda: (r := g.chat(key, "next")).status == 200 and r, 20, "the next answer")
    assert a.json()["choices"][0]["message"]["content"] == "tok "
    assert bill(g, a.headers["x-request-id"])[3] == 1
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM settlement GROUP BY rid HAVING count(*) > 1").fetchall() == []
