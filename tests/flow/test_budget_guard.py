"""stream_hold_tokens: a stream holds its price in parts, and ends with its budget, never beyond it."""
import concurrent.futures

import openai
import pytest
from fault_backend import TRANSPORTS
from gate import INPUT, OUTPUT, atoms, wait_until

STEP = 16
ON_ITS_WAY = 64  # what a backend says before it hears that it is held back, on a slow machine


def price(tokens_out, tokens_in=0):
    return atoms("0.001") + atoms("0.1", 10**6, tokens_in) + atoms("0.4", 10**6, tokens_out)


def money(value):
    return f"{value // 10**10}.{value % 10**10:010}"


def pieces(events, field="delta"):
    chunks = [c for e in events if isinstance(e, dict) for c in e.get("choices", [])]
    return sum(bool((c["delta"].get("content") if field == "delta" else c["text"])) for c in chunks)


def held(g, request_id):
    """What its hold was at first, and each part that came later."""
    from reconcile import rid_of
    with g.ledger() as db:
        first, = db.execute("SELECT hold_atoms FROM request_open WHERE rid = ?", (rid_of(request_id),)).fetchone()
        return first, [r[0] for r in db.execute("SELECT atoms FROM hold_more WHERE rid = ? ORDER BY leg",
                                                (rid_of(request_id),))]


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_hold_grows_with_its_stream(fault_gate, transport):
    g, key, b = fault_gate(transport, {"do": [{"tokens": 100, "every": 1}, "final"]}, stream_hold_tokens=STEP)
    s = g.stream(key, "x", max_tokens=200)
    events = s.rest()
    assert events[-1] == "[DONE]" and pieces(events) == 100
    first, more = held(g, s.request_id)
    assert first < price(STEP, 200) and set(more) == {price(STEP) - price(0)}
    assert 100 - STEP <= len(more) * STEP <= 100 + STEP
    row = g.settlement(s.request_id)
    assert row["outcome"] == "ok" and row["lines"][OUTPUT][0] == 100
    assert row["amount_atoms"] == price(100, row["lines"][INPUT][0]) <= first + sum(more)


def test_short_answers_and_whole_ones_hold_once(make_gate):
    g = make_gate(settings={"stream_hold_tokens": STEP})
    key = g.key()
    s = g.stream(key, "#tokens=5 x")
    assert s.rest()[-1] == "[DONE]" and held(g, s.request_id)[1] == []
    a = g.chat(key, "#tokens=100 x", max_tokens=200)
    first, more = held(g, a.headers["x-request-id"])
    assert first > price(200) and more == []
    s = g.stream(key, "x", max_tokens=200, n=2)  # the worker refuses it, after the hold
    assert held(g, s.request_id)[0] > 2 * price(200) - price(0), "several answers at once are held whole"


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("each", [True, False])
def test_the_budget_ends_in_the_middle(fault_gate, transport, each):
    """The dialect's own end, then why; the client pays what it has, the budget is not overrun."""
    steps = [{"usage": "right", "each": each}, {"tokens": 400, "every": 10}, "final"]
    g, key, b = fault_gate(transport, {"do": steps}, stream_hold_tokens=STEP)
    g.project("small", money(price(100, 400)), "total")
    s = g.stream(g.key("small"), "x", max_tokens=400)
    events = s.rest()
    assert events[-1]["error"]["code"] == "insufficient_quota" and "stopped at" in events[-1]["error"]["message"]
    assert events[-2]["choices"][0]["finish_reason"] == "length" and events[-2]["object"] == "chat.completion.chunk"
    got = pieces(events)
    first, more = held(g, s.request_id)
    billed = STEP * (1 + len(more))
    assert 48 <= billed <= got <= min(billed + ON_ITS_WAY, 399)
    row = g.settlement(s.request_id)
    assert (row["outcome"], row["lines"][OUTPUT][0], row["http_status"]) == ("budget_cut", billed, 429)
    assert row["amount_atoms"] <= first + sum(more) <= price(100, 400)
    assert b.wait_row("cancel")["output_tokens"] < 400
    assert g.metric("maasgate_budget_cuts_total") == 1
    if got > billed:
        g.daemon.wait_line("usage_beyond_bound")
    else:
        assert "usage_beyond_bound" not in g.daemon.text()


def test_completions_end_in_their_own_dialect(make_gate):
    catalog = """
backends: {{worker: {{transport: {transport}, address: '{address}'}}}}
models:
  base/text:
    capabilities: [completions]
    price: {{input_uncached_tokens: 0, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
"""
    g = make_gate(catalog=catalog, settings={"stream_hold_tokens": STEP})
    g.project("small", money(atoms("0.4", 10**6, 40)), "total")
    from gate import Stream
    s = Stream(g.port, "/v1/completions", {"model": "base/text", "prompt": "#delay=2 #tokens=100 x", "stream": True,
                                           "max_tokens": 100}, g.key("small"))
    events = s.rest()
    assert events[-1]["error"]["code"] == "insufficient_quota"
    end = events[-2]
    assert (end["object"], end["choices"][0]["finish_reason"], end["choices"][0]["text"]) == ("text_completion", "length", "")
    assert 2 * STEP <= pieces(events, "text") < 100
    assert g.settlement(s.request_id)["amount_atoms"] == atoms("0.4", 10**6, 2 * STEP)


def test_many_streams_never_overrun_a_budget(make_gate):
    """As many as like run at once; together they cost what the budget has, and each what it got."""
    g = make_gate(settings={"stream_hold_tokens": STEP})
    limit = price(0) * 30 + price(900, 30 * 100)
    g.project("shared", money(limit), "total")
    key = g.key("shared")

    def one(_):
        s = g.stream(key, "#delay=10 #tokens=120 x", max_tokens=120)
        if s.head().status != 200:
            return s.status, None, 0
        events = s.rest()
        return 200, s.request_id, pieces(events)
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        ended = list(pool.map(one, range(30)))
    assert {status for status, _, _ in ended} <= {200, 429}
    outcomes = set()
    for status, request_id, got in ended:
        if status == 200:
            row = g.settlement(request_id)
            outcomes.add(row["outcome"])
            billed = row["lines"].get(OUTPUT, (0, 0))[0]
            assert billed == got or (row["outcome"] == "budget_cut" and billed < got <= billed + ON_ITS_WAY)
    assert "budget_cut" in outcomes
    spent = sum(r["amount_atoms"] for r in g.settlements())
    assert limit * 0.5 < spent <= limit


def test_a_prepaid_fund_is_drawn_part_by_part(make_gate):
    """What is left of the fund, then the end: nothing on credit."""
    g = make_gate(settings={"stream_hold_tokens": STEP})
    g.key("acme")
    g.cli("contract", "set", "acme", "--credit", "0")
    g.cli("fund", "add", "acme", "promo", money(price(40, 90)))
    g.cli("fund", "add", "acme", "prepaid", money(atoms("0.4", 10**6, 40)))
    s = g.stream(g.key("acme"), "#delay=2 #tokens=300 x", max_tokens=300)
    events = s.rest()
    assert events[-1]["error"]["code"] == "insufficient_quota"
    row = g.settlement(s.request_id)
    assert row["outcome"] == "budget_cut" and 2 * STEP < row["lines"][OUTPUT][0] <= pieces(events)
    import json
    assert len(json.loads(row["draws"])) == 2 and sum(d[1] for d in json.loads(row["draws"])) == row["amount_atoms"]


def test_kill_9_while_holds_grow(make_gate):
    g = make_gate(settings={"stream_hold_tokens": STEP})
    key = g.key()
    for n in range(6):
        streams = [g.stream(key, "#delay=2 #tokens=500 x", max_tokens=500) for _ in range(8)]
        for s in streams:
            s.read(5 + 20 * n)
        g.kill_daemon()
        for s in streams:
            s.close()
        g.start_daemon()
        g.wait_backend()
        assert g.open_holds() == 0 and g.cli("audit", check=False).returncode == 0
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM hold_more").fetchone()[0] > 8
    g.reconcile()


def test_a_client_that_leaves_while_its_hold_grows(make_gate):
    g = make_gate(settings={"stream_hold_tokens": 4})
    key = g.key()
    for n in range(40):
        s = g.stream(key, "#delay=1 #tokens=300 x", max_tokens=300)
        s.read(2 + n % 9)
        s.close(reset=n % 2 == 0)
    wait_until(lambda: g.open_holds() == 0, what="their ends")
    assert {r["outcome"] for r in g.settlements()} <= {"client_gone", "client_gone_0"}


def test_the_sdk_sees_length_and_then_the_error(make_gate):
    g = make_gate(settings={"stream_hold_tokens": STEP})
    g.project("small", money(price(60, 200)), "total")
    finish = None
    with openai.OpenAI(base_url=g.url + "/v1", api_key=g.key("small"), max_retries=0) as c:
        stream = c.chat.completions.create(model="base/chat", stream=True, max_tokens=200,
                                           messages=[{"role": "user", "content": "#delay=2 #tokens=200 x"}])
        with pytest.raises(openai.APIError) as ended:
            for chunk in stream:
                finish = chunk.choices[0].finish_reason or finish
    assert finish == "length" and ended.value.code == "insufficient_quota"
