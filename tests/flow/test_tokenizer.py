"""The gateway's own count beside its backends': what is billed when they differ, when nothing is
reported and when a stream ends in the middle; the hold by it; files that are wrong; reload.

What the right count is, tiktoken says here, with ranks that are trained here."""
import json
import random
import subprocess
import threading

import pytest
import tiktoken
from gate import BUILD, CORPUS, INPUT, OUTPUT, REQUESTS, Gate, atoms, wait_until
from reconcile import rid_of
from test_bpe_oracle import pattern_of, train, write_ranks
from upstream import CUT, DONE, Upstream, stream, whole

CACHED, WRITTEN, REASONING = 2, 3, 5
PER_MESSAGE, PER_REQUEST = 4, 3
PRICE = "price: {{requests: 0.001, input_uncached_tokens: 1.00/1M, output_text_tokens: 2.00/1M}}"
CATALOG = f"""
backends:
  up: {{{{transport: http, address: "http://127.0.0.1:{{port}}/v1"}}}}
tokenizers:
  small: {{{{rank_file: "{{ranks}}", pattern: cl100k_base}}}}
  held: {{{{rank_file: "{{ranks}}", pattern: cl100k_base, hold: count, message_tokens: 0, request_tokens: 0}}}}
  wide: {{{{rank_file: "{{ranks}}", pattern: cl100k_base, tolerance_basis_points: 5000, tolerance_tokens: 0}}}}
models:
  base/chat:
    capabilities: [chat, completions, embeddings]
    context_length: 10000000
    tokenizer: small
    {PRICE}
    routes: [{{{{backend: up, model: m}}}}]
  base/held:
    capabilities: [chat]
    context_length: 10000000
    tokenizer: held
    {PRICE}
    routes: [{{{{backend: up, model: m}}}}]
  base/short:
    capabilities: [chat]
    context_length: 100
    tokenizer: held
    {PRICE}
    routes: [{{{{backend: up, model: m}}}}]
  base/wide:
    capabilities: [chat]
    tokenizer: wide
    {PRICE}
    routes: [{{{{backend: up, model: m}}}}]
  base/plain:
    capabilities: [chat]
    {PRICE}
    routes: [{{{{backend: up, model: m}}}}]
  industry/finance/risk:
    parent: base/chat
    recipe: {{{{system: "You are a careful analyst.", params: {{{{temperature: 0.5}}}}}}}}
"""


class Lab:
    def __init__(self, directory):
        self.table = train("".join(p.read_text() for p in sorted(CORPUS.glob("*.txt"))), 2000)
        self.ranks = write_ranks(directory / "small.tiktoken", self.table)
        self.encoding = tiktoken.Encoding("small", pat_str=pattern_of("cl100k_base"), mergeable_ranks=self.table,
                                          special_tokens={})
        self.answer = None
        self.up = Upstream(lambda request: self.answer(request) if callable(self.answer) else self.answer)
        self.gate = Gate(catalog=CATALOG, worker=False, fields={"port": self.up.port, "ranks": self.ranks},
                         settings={"body_bytes_max": "32M"})

    def count(self, *texts):
        return sum(len(self.encoding.encode_ordinary(t)) for t in texts)

    def bill(self, request_id):
        row = self.gate.settlement(request_id)
        lines = {m: qty for m, (qty, _) in row["lines"].items() if m != REQUESTS}
        return row["outcome"], row["evidence"], lines

    def recount(self, request_id):
        """(reported, counted) of both sides; None: there is no row."""
        with self.gate.ledger() as db:
            row = db.execute("SELECT * FROM recount WHERE rid = ?", (rid_of(request_id),)).fetchone()
        return row and tuple(row[f"{side}_{what}"] for side in ("input", "output") for what in ("reported", "counted"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("ranks"))
    try:
        lab.gate.start()
        lab.key = lab.gate.key()
        yield lab
        lab.gate.stop()
    finally:
        lab.gate.abandon()
        lab.up.stop()


PROMPT = "Methane at the coal face: what do you do? \u4f60\u597d, caf\u00e9\n\n  don't <|endoftext|> " * 12
SAID = "First the fans, then the men. It's 1234567 litres\n\n\n a second; \U0001F469\u200d\U0001F467 leave. " * 12


def usage_of(prompt, completion, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {k: v for k, v in {**usage, **more}.items() if v is not None}


def pieces_of(text, seed=1):
    """Cut anywhere: words lie over the ends of events."""
    r, at = random.Random(seed), 0
    while at < len(text):
        n = r.randrange(1, 9)
        yield text[at:at + n]
        at += n


def chunk(index=0, **delta):
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": index, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


def end(usage, choices=1):
    last = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for i in range(choices):
        yield b"data: " + json.dumps({**last, "choices": [{"index": i, "delta": {}, "finish_reason": "stop"}]}).encode() + b"\n\n"
    if usage is not None:
        yield b"data: " + json.dumps({**last, "choices": [], "usage": usage}).encode() + b"\n\n"
    yield DONE


def says(usage, *texts, **message):
    """Whole or streamed, as it is asked; each text is a choice."""
    texts = texts or (SAID,)

    def answer(request):
        if request.get("stream"):
            events = [chunk(i, content=p) for i, t in enumerate(texts) for p in pieces_of(t)]
            events += [chunk(**{name: p}) for name, t in message.items() for p in (pieces_of(t) if isinstance(t, str) else [t])]
            return stream([*events, *end(usage, len(texts))])
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": i, "message": {"role": "assistant", "content": t, **message}, "finish_reason": "stop"}
            for i, t in enumerate(texts)]}
        return whole({**body, "usage": usage} if usage is not None else body)
    return answer


def ask(lab, answer, streamed=False, model="base/chat", prompt=PROMPT, **fields):
    lab.answer = answer
    a = lab.gate.chat(lab.key, prompt, model=model, stream=streamed, **fields)
    assert a.status == 200, a
    return a.headers["x-request-id"]


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def streamed(request):
    return request.param


# ---- 8, 11: reported and counted ----

@pytest.mark.short
@pytest.mark.parametrize("off_in, off_out, outcome, billed_in, billed_out", [
    (0, 0, "ok", 0, 0), (8, 8, "ok", 8, 8), (-8, -8, "ok", -8, -8),
    (9, 0, "ok_mismatch", 8, 0), (0, 9, "ok_mismatch", 0, 8), (500, 500, "ok_mismatch", 8, 8),
    (-9, 0, "ok_mismatch", -9, 0), (0, -9, "ok_mismatch", 0, -9), (-10**6, -10**6, "ok_mismatch", None, None),
])
def test_11_no_more_than_the_count_and_the_tolerance(lab, streamed, off_in, off_out, outcome, billed_in, billed_out):
    prompt, said = PROMPT[:600], SAID[:500]  # the two per cent are less than eight tokens
    right_in, right_out = lab.count(prompt) + PER_MESSAGE + PER_REQUEST, lab.count(said)
    assert max(right_in, right_out) * 2 / 100 < 8
    told = max(right_in + off_in, 0), max(right_out + off_out, 0)
    before = lab.gate.metric("maasgate_token_mismatches_total"), lab.gate.metric("maasgate_token_counts_total")
    rid = ask(lab, says(usage_of(*told), said), streamed, prompt=prompt)
    expected = {} if billed_in is None else {INPUT: right_in + billed_in, OUTPUT: right_out + billed_out}
    assert lab.bill(rid) == (outcome, "both", expected)
    assert lab.recount(rid) == (told[0], right_in, told[1], right_out)
    after = lab.gate.metric("maasgate_token_mismatches_total"), lab.gate.metric("maasgate_token_counts_total")
    assert (after[0] - before[0], after[1] - before[1]) == (outcome == "ok_mismatch", 1)
    line = (f"usage_mismatch request={rid} model=base/chat backend=up input_reported={told[0]} input_counted={right_in}"
            f" output_reported={told[1]} output_counted={right_out}")
    if outcome == "ok_mismatch":
        lab.gate.daemon.wait_line(line)
    else:
        assert line not in lab.gate.daemon.text()


def test_11_the_tolerance_is_set(lab, streamed):
    right_in, right_out = lab.count(PROMPT) + 7, lab.count(SAID)
    most = right_in + right_in // 2, right_out + right_out // 2
    assert lab.bill(ask(lab, says(usage_of(*most)), streamed, "base/wide")) == ("ok", "both", {INPUT: most[0], OUTPUT: most[1]})
    rid = ask(lab, says(usage_of(most[0] + 1, most[1] + 1)), streamed, "base/wide")
    assert lab.bill(rid) == ("ok_mismatch", "both", {INPUT: most[0], OUTPUT: most[1]})


def test_two_per_cent_of_a_long_text(lab):
    prompt = PROMPT * 20
    right = lab.count(prompt) + 7
    assert right * 2 // 100 > 8
    rid = ask(lab, says(usage_of(right + right * 2 // 100 + 1, lab.count(SAID))), prompt=prompt)
    assert lab.bill(rid) == ("ok_mismatch", "both", {INPUT: right + right * 2 // 100, OUTPUT: lab.count(SAID)})


def test_11_what_is_too_much_is_not_taken_from_the_cache(lab, streamed):
    right, out = lab.count(PROMPT) + 7, lab.count(SAID)
    limit = right + max(right * 2 // 100, 8)
    usage = usage_of(right + 1000, out, prompt_tokens_details={"cached_tokens": 50, "cache_write_tokens": right + 900})
    assert lab.bill(ask(lab, says(usage), streamed)) == ("ok_mismatch", "both", {CACHED: 50, WRITTEN: limit - 50, OUTPUT: out})


def test_reasoning_that_is_shown_is_counted(lab, streamed):
    thought = "Hm. " * 40 + SAID[:200]
    right, text, hidden = lab.count(PROMPT) + 7, lab.count(SAID), lab.count(thought)
    usage = usage_of(right, text + hidden, completion_tokens_details={"reasoning_tokens": hidden})
    rid = ask(lab, says(usage, reasoning_content=thought), streamed)
    assert lab.bill(rid) == ("ok", "both", {INPUT: right, OUTPUT: text, REASONING: hidden})
    assert lab.recount(rid) == (right, right, text + hidden, text + hidden)


def test_reasoning_that_is_hidden_is_believed(lab, streamed):
    """It cannot be counted; the text beside it is."""
    right, text = lab.count(PROMPT) + 7, lab.count(SAID)
    limit = text + max(text * 2 // 100, 8)
    usage = usage_of(right, text + 100 + 5000, completion_tokens_details={"reasoning_tokens": 5000})
    rid = ask(lab, says(usage), streamed, max_tokens=8000)
    assert lab.bill(rid) == ("ok_mismatch", "both", {INPUT: right, OUTPUT: limit, REASONING: 5000})
    assert lab.recount(rid) == (right, right, text + 100, text)


def test_choices_are_counted_each(lab, streamed):
    texts = SAID, "Then " + SAID[:300], "x"
    right, out = lab.count(PROMPT) + 7, lab.count(*texts)
    assert lab.bill(ask(lab, says(usage_of(right, out), *texts), streamed, n=3)) == ("ok", "both", {INPUT: right, OUTPUT: out})


def messages(*contents, **more):
    return [{"role": "user", "content": c, **more} for c in contents]


@pytest.mark.parametrize("asked, texts, extra", [
    (messages("one", "two two", ""), ["one", "two two"], 3 * 4 + 3),
    (messages([{"type": "text", "text": "part \u00e9"}, {"type": "text", "text": "next\n"}]), ["part \u00e9", "next\n"], 4 + 3),
    (messages("x", name="alice"), ["x", "alice"], 4 + 3),
    ([{"role": "system", "content": "Be brief."}, *messages("q \"quoted\" \\ \u2028")], ["Be brief.", "q \"quoted\" \\ \u2028"], 11),
    ([*messages("q"), {"role": "assistant", "content": None}], ["q"], 11),
])
def test_all_that_a_model_reads(lab, asked, texts, extra):
    right, out = lab.count(*texts) + extra, lab.count(SAID)
    lab.answer = says(usage_of(right, out))
    a = lab.gate.post("/v1/chat/completions", {"model": "base/chat", "messages": asked}, lab.key)
    assert lab.recount(a.headers["x-request-id"]) == (right, right, out, out)


def test_a_recipe_is_read_too(lab):
    right, out = lab.count(PROMPT, "You are a careful analyst.") + 2 * 4 + 3, lab.count(SAID)
    rid = ask(lab, says(usage_of(right, out)), model="industry/finance/risk")
    assert lab.bill(rid)[:2] == ("ok", "both") and lab.recount(rid) == (right, right, out, out)


NOT_COUNTED = {  # what is asked or answered -> the sides that are not compared
    "a picture": ({"messages": messages([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:,"}}])}, {}, "in"),
    "tools": ({"messages": messages("x"), "tools": [{"type": "function", "function": {"name": "f"}}]}, {}, "in"),
    "a format": ({"messages": messages("x"), "response_format": {"type": "json_object"}}, {}, "in"),
    "a call of a tool": ({"messages": messages("x")}, {"tool_calls": [{"index": 0, "id": "c", "type": "function",
                                                                      "function": {"name": "f", "arguments": "{}"}}]}, "out"),
    "a call of before": ({"messages": [*messages("x"), {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]}, {}, "in"),
}


@pytest.mark.parametrize("what", NOT_COUNTED)
def test_what_cannot_be_counted_is_believed(lab, streamed, what):
    body, message, side = NOT_COUNTED[what]
    lab.answer = says(usage_of(200, 1000), "said", **message)
    before = lab.gate.metric("maasgate_token_counts_incomplete_total")
    a = lab.gate.post("/v1/chat/completions", {"model": "base/chat", "stream": streamed, "user": "x" * 999, **body}, lab.key)
    rid = a.headers["x-request-id"]
    outcome, _, lines = lab.bill(rid)
    _, counted_in, _, counted_out = lab.recount(rid)
    assert (counted_in is None, counted_out is None) == (side == "in", side == "out")
    limit = (lab.count("said") + 8) if side == "in" else 1000
    assert outcome == "ok_mismatch" and lines[OUTPUT] == limit and (lines[INPUT] == 200) == (side == "in")
    assert lab.gate.metric("maasgate_token_counts_incomplete_total") == before + 1


def test_pictures_among_the_numbers(lab):
    """Tokens that are no text were read: the text alone is not what was reported."""
    out = lab.count(SAID)
    rid = ask(lab, says(usage_of(5000, out, prompt_tokens_details={"image_tokens": 100})), prompt="x" * 6000)
    assert lab.bill(rid)[:2] == ("ok", "upstream") and lab.recount(rid)[1] is None


def test_completions(lab, streamed):
    def answer(request):
        usage = usage_of(lab.count("Once", "upon"), lab.count(SAID) + 100)
        choice = [{"index": 0, "text": p, "finish_reason": None} for p in pieces_of(SAID)]
        if not request.get("stream"):
            return whole({"id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": usage,
                          "choices": [{"index": i, "text": t, "finish_reason": "stop"} for i, t in enumerate((SAID, ""))]})
        return stream([*(b"data: " + json.dumps({"id": "c", "object": "text_completion", "choices": [c]}).encode() + b"\n\n"
                         for c in choice), *end(usage, 2)])
    lab.answer = answer
    a = lab.gate.post("/v1/completions", {"model": "base/chat", "prompt": ["Once", "upon"], "max_tokens": 2000,
                                          "stream": streamed}, lab.key)
    out = lab.count(SAID)
    assert lab.bill(a.headers["x-request-id"]) == (
        "ok_mismatch", "both", {INPUT: lab.count("Once", "upon"), OUTPUT: out + max(out * 2 // 100, 8)})


@pytest.mark.parametrize("prompt, right", [([1, 2, 3], 3), ([[1, 2], [3]], 3)])
def test_ids_are_tokens(lab, prompt, right):
    lab.answer = whole({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}], "usage": usage_of(90, 1)})
    a = lab.gate.post("/v1/completions", {"model": "base/chat", "prompt": prompt}, lab.key)
    assert lab.recount(a.headers["x-request-id"])[:2] == (90, right)


def test_echoes_are_not_counted(lab):
    lab.answer = whole({"choices": [{"index": 0, "text": "Once. Then", "finish_reason": "stop"}], "usage": usage_of(1, 1)})
    a = lab.gate.post("/v1/completions", {"model": "base/chat", "prompt": "Once", "echo": True}, lab.key)
    assert lab.recount(a.headers["x-request-id"])[3] is None


@pytest.mark.parametrize("usage, outcome", [({"prompt_tokens": 999}, "ok_mismatch"), (None, "ok_nousage")])
def test_embeddings(lab, usage, outcome):
    right = lab.count("one", "two")
    body = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": i, "embedding": [0.5]} for i in (0, 1)]}
    lab.answer = whole({**body, "usage": usage} if usage else body)
    a = lab.gate.post("/v1/embeddings", {"model": "base/chat", "input": ["one", "two"], "user": "x" * 2000}, lab.key)
    assert lab.bill(a.headers["x-request-id"])[::2] == (outcome, {INPUT: right + (8 if usage else 0)})


# ---- 9: nothing reported ----

@pytest.mark.short
def test_09_what_the_gateway_counted(lab, streamed):
    right, out = lab.count(PROMPT) + 7, lab.count(SAID)
    before = lab.gate.metric("maasgate_unreported_usage_total")
    rid = ask(lab, says(None), streamed)
    assert lab.bill(rid) == ("ok_nousage", "gateway", {INPUT: right, OUTPUT: out})
    assert lab.recount(rid) == (None, right, None, out)
    assert lab.gate.metric("maasgate_unreported_usage_total") == before + 1


def test_09_one_side_alone(lab, streamed):
    right, out = lab.count(PROMPT) + 7, lab.count(SAID)
    assert lab.bill(ask(lab, says(usage_of(right - 1, None)), streamed)) == ("ok_nousage", "gateway", {INPUT: right - 1, OUTPUT: out})
    assert lab.bill(ask(lab, says(usage_of(None, out + 1)), streamed)) == ("ok_nousage", "gateway", {INPUT: right, OUTPUT: out + 1})


def test_10_zero_is_a_value(lab, streamed):
    assert lab.bill(ask(lab, says(usage_of(0, 0)), streamed)) == ("ok_mismatch", "both", {})


def test_a_model_without_a_tokenizer_is_not_counted(lab, streamed):
    before = lab.gate.metric("maasgate_token_counts_total")
    rid = ask(lab, says(usage_of(90, 9000)), streamed, "base/plain", max_tokens=9000)
    assert lab.bill(rid) == ("ok", "upstream", {INPUT: 90, OUTPUT: 8192}) and lab.recount(rid) is None
    assert lab.bill(ask(lab, says(None), streamed, "base/plain")) == ("ok_nousage", "none", {})
    assert lab.gate.metric("maasgate_token_counts_total") == before


# ---- 13, 14: the middle of a stream ----

def test_14_a_backend_that_dies(lab):
    parts = list(pieces_of(SAID))[:40]
    lab.answer = stream([*(chunk(content=p) for p in parts), CUT])
    s = lab.gate.stream(lab.key, PROMPT)
    assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    got = lab.count("".join(parts))
    assert got != len(parts)
    assert lab.bill(s.request_id) == ("upstream_cut", "gateway", {INPUT: lab.count(PROMPT) + 7, OUTPUT: got})
    assert lab.recount(s.request_id) == (None, lab.count(PROMPT) + 7, None, got)


def test_13_a_client_that_leaves(lab):
    """It pays for what had been sent to it, by the count, and not for what was said after."""
    parts, go = list(pieces_of(SAID)), threading.Event()
    lab.answer = stream([*(chunk(content=p) for p in parts[:30]), go, *(chunk(content=p) for p in parts[30:]), *end(usage_of(1, 1))])
    s = lab.gate.stream(lab.key, PROMPT)
    events = s.read(30)
    assert [e["choices"][0]["delta"]["content"] for e in events] == parts[:30]
    rid = s.request_id
    s.close(reset=True)
    row = lab.gate.settlement(rid)
    go.set()
    assert row["outcome"] == "client_gone" and row["evidence"] == "gateway"
    sent = row["lines"][OUTPUT][0]
    possible = [lab.count("".join(parts[:n])) for n in range(1, 31)]
    assert sent in possible and sent >= possible[-2]  # the last event may still be on its way
    assert row["lines"][INPUT][0] == lab.count(PROMPT) + 7 and lab.recount(rid)[3] == sent


# ---- the hold ----

def test_hold_by_the_count(lab, streamed):
    right, out = lab.count(PROMPT), lab.count(SAID)
    most = right + max(right * 2 // 100, 8)
    rid = ask(lab, says(usage_of(right + 10**5, out)), streamed, "base/held", max_tokens=1000)
    with lab.gate.ledger() as db:
        estimate, hold = db.execute("SELECT estimate_in, hold_atoms FROM request_open WHERE rid = ?", (rid_of(rid),)).fetchone()
    assert estimate == most < len(PROMPT)
    assert hold == atoms("0.001") + atoms("1", 10**6, most) + atoms("2", 10**6, 1000)
    assert lab.bill(rid) == ("ok_mismatch", "both", {INPUT: most, OUTPUT: out})


def test_hold_of_what_cannot_be_counted_is_by_bytes(lab):
    lab.answer = says(usage_of(10, 1), "a")
    body = json.dumps({"model": "base/held", "messages": messages([{"type": "image_url", "image_url": {"url": "data:," + "A" * 4000}}])})
    a = lab.gate.post("/v1/chat/completions", body, lab.key)
    with lab.gate.ledger() as db:
        estimate, = db.execute("SELECT estimate_in FROM request_open WHERE rid = ?", (rid_of(a.headers["x-request-id"]),)).fetchone()
    assert estimate >= len(body) > 4000


def test_a_chat_longer_than_the_context_reaches_no_backend(lab):
    """Nor is anything held for it; up to the tolerance (8 tokens) the backend has the word."""
    lab.answer = says(usage_of(100, 1), "a")
    text = next(t for t in (" the" * n for n in range(200)) if 100 < lab.count(t) <= 108)
    assert lab.gate.chat(lab.key, text, "base/short").status == 200
    seen, text = len(lab.up.seen), text + text
    a = lab.gate.chat(lab.key, text, "base/short")
    error = a.json()["error"]
    assert (a.status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    assert f"have {lab.count(text)} tokens" in error["message"] and "at most 100" in error["message"]
    with lab.gate.ledger() as db:
        assert not db.execute("SELECT 1 FROM request_open WHERE rid = ?", (rid_of(a.headers["x-request-id"]),)).fetchone()
    assert len(lab.up.seen) == seen


# ---- long texts, and many at once ----

def test_a_word_beyond_a_megabyte(lab):
    """It is not counted: the backend is believed."""
    rid = ask(lab, says(usage_of(123456, 3), "a"), prompt="a" * 1_200_000)
    assert lab.recount(rid)[:2] == (123456, None) and lab.bill(rid)[2][INPUT] == 123456


def test_a_long_text_keeps_nobody_waiting(make_gate, lab):
    """On one loop: while four times twelve megabytes are counted, small requests come and go."""
    g = make_gate(catalog=CATALOG, worker=False, fields={"port": lab.up.port, "ranks": lab.ranks},
                  settings={"loop_threads": 1, "body_bytes_max": "32M"})
    key, text = g.key(), (PROMPT * 20000)[:12_000_000]
    lab.answer = says(usage_of(1, 1), "a")
    done, small = [], 0
    threads = [threading.Thread(target=lambda: done.append(g.chat(key, text))) for _ in range(4)]
    for t in threads:
        t.start()
    wait_until(lambda: g.metric("maasgate_requests_held_total") == 4, what="four long requests")
    while not done and small < 20:
        assert g.chat(key, "short").status == 200
        small += 1
    assert small >= 3  # where the loop counts itself, none comes before the first long one
    for t in threads:
        t.join()
    assert [a.status for a in done] == [200] * 4


def test_many_at_once(lab):
    right, out = lab.count(PROMPT) + 7, lab.count(SAID)
    lab.answer = says(usage_of(right, out))
    answers = []
    threads = [threading.Thread(target=lambda s=s: answers.extend(
        lab.gate.chat(lab.key, PROMPT, stream=s).headers["x-request-id"] for _ in range(10))) for s in [False, True] * 8]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 160
    assert {lab.recount(rid) for rid in answers} == {(right, right, out, out)}


# ---- what is told ----

def test_others_come_to_the_same(lab):
    """The second audit, which shares no code with the first, over all that was billed above."""
    lab.gate.reconcile("--allow-open")


def test_the_list(lab):
    right, out = lab.count(PROMPT) + 7, lab.count(SAID)
    rid = ask(lab, says(usage_of(right + 1000, out)))
    agreed = ask(lab, says(usage_of(right, out)))
    rows = {r["request"]: r for r in lab.gate.ask("recounts")["data"]}
    assert agreed not in rows
    digest = lab.gate.cli("recounts").stdout
    assert rid in digest and f"{right + 1000}/{right}" in digest
    row = rows[rid]
    assert row["input"] == {"reported": right + 1000, "counted": right, "tolerance": max(right * 2 // 100, 8)}
    assert (row["project"], row["model"], row["backend"], row["outcome"]) == ("acme", "base/chat", "up", "ok_mismatch")
    assert row["tokenizer"].startswith("small@") and len(row["tokenizer"]) == 6 + 16
    assert agreed in {r["request"] for r in lab.gate.ask("recounts", "--all", "--limit", "10000")["data"]}
    assert lab.gate.ask("recounts", "--limit", "1")["has_more"] is True
    assert lab.gate.cli("recounts", "--project", "nobody", check=False).returncode == 1


def test_count_by_hand(lab, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(PROMPT)
    assert lab.gate.cli("count", "--config", lab.gate.conf, "--model", "base/chat", text).stdout.strip() == str(lab.count(PROMPT))
    bad = b"caf\xc3\xa9 \xff\xfe \xe4\xbd x \xed\xa0\x80"
    text.write_bytes(bad)
    done = lab.gate.cli("count", "--config", lab.gate.conf, "--tokenizer", "held", text)
    assert done.stdout.strip() == str(lab.count(bad.decode("utf-8", "replace"))) and "U+FFFD" in done.stderr
    for words, why in [(["--model", "base/plain"], "no tokenizer is configured"), (["--model", "base/none"], "no model"),
                       (["--tokenizer", "none"], "no tokenizer 'none'"), ([], "--model or --tokenizer")]:
        done = lab.gate.cli("count", "--config", lab.gate.conf, *words, text, check=False)
        assert done.returncode in (1, 2) and why in done.stderr, done


# ---- the configuration ----

WRONG = {
    "rank_file: /nowhere, pattern: cl100k_base": "tokenizers.small.rank_file: '/nowhere' cannot be read",
    "rank_file: {bad}, pattern: cl100k_base": "is no rank file: line 2: expected a token in base64",
    "rank_file: {short}, pattern: cl100k_base": "is no rank file: there is no token for the byte 0x00 alone",
    "rank_file: {ranks}": "tokenizers.small: needs 'pattern' or 'pattern_regex', and not both",
    "rank_file: {ranks}, pattern: gpt5": "tokenizers.small.pattern: 'gpt5' is not one of cl100k_base|o200k_base|r50k_base",
    "rank_file: {ranks}, pattern_regex: '('": "tokenizers.small.pattern_regex: is not a regular expression",
    "rank_file: {ranks}, pattern_regex: 'a*'": "tokenizers.small.pattern_regex: can match nothing at all",
    "pattern: cl100k_base": "tokenizers.small: 'rank_file' is missing",
    "rank_file: {ranks}, pattern: cl100k_base, hold: some": "'some' is not one of bytes|count",
}


@pytest.mark.parametrize("entry", WRONG)
def test_wrong_files_name_line_and_key(lab, tmp_path, entry):
    (tmp_path / "bad").write_text("QQ== 0\nQQ\n")
    (tmp_path / "short").write_text("QQ== 0\n")
    words = entry.format(bad=tmp_path / "bad", short=tmp_path / "short", ranks=lab.ranks)
    conf = tmp_path / "conf.yaml"
    conf.write_text(lab.gate.conf.read_text().replace(f'rank_file: "{lab.ranks}", pattern: cl100k_base', words, 1))
    done = subprocess.run([BUILD / "maasgated", "--check", conf], capture_output=True, text=True, check=False)
    out = done.stdout + done.stderr
    line = conf.read_text().split("  small:")[0].count("\n") + 1
    assert done.returncode != 0 and f"{conf}:{line}:" in out and WRONG[entry] in out, out


@pytest.mark.parametrize("old, new, why", [
    ("    tokenizer: small\n", "    tokenizer: smal\n", "there is no tokenizer 'smal'"),
    ("    tokenizer: wide\n", "", "the tokenizer 'wide' has no effect: no model names it"),
    ("capabilities: [chat]\n    tokenizer: wide", "capabilities: [images]\n    tokenizer: wide", "'tokenizer' has no effect"),
])
def test_wrong_models(lab, tmp_path, old, new, why):
    text = lab.gate.conf.read_text()
    assert old in text
    conf = tmp_path / "conf.yaml"
    conf.write_text(text.replace(old, new, 1))
    done = subprocess.run([BUILD / "maasgated", "--check", conf], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and why in done.stdout + done.stderr


def test_the_configuration_prints_as_it_was_read(lab, tmp_path):
    def printed(conf):
        return subprocess.run([BUILD / "maasgated", "--print-config", "--config", conf], capture_output=True, text=True, check=True).stdout
    again = tmp_path / "again.yaml"
    again.write_text(printed(lab.gate.conf))
    assert "tokenizers:" in again.read_text() and printed(again) == again.read_text()


def test_a_reload_swaps_the_ranks(make_gate, lab, tmp_path):
    """Requests before it are counted by the old ones; a file that is wrong changes nothing."""
    ranks = tmp_path / "ranks"
    ranks.write_bytes(lab.ranks.read_bytes())
    g = make_gate(catalog=CATALOG, worker=False, fields={"port": lab.up.port, "ranks": ranks})
    key, held = g.key(), threading.Event()
    bytes_only = {bytes([b]): b for b in range(256)}
    lab.answer = says(None)

    def counted():
        return g.settlement(g.chat(key, PROMPT).headers["x-request-id"])["lines"][OUTPUT][0]
    assert counted() == lab.count(SAID)
    lab.answer = stream([chunk(content=SAID[:300]), held, chunk(content=SAID[300:]), *end(None)])
    s = g.stream(key, PROMPT)
    s.read(1)
    ranks.write_text("QQ== 0\n")
    assert "is no rank file" in g.cli("reload", check=False).stderr
    lab.answer = says(None)
    assert counted() == lab.count(SAID)
    write_ranks(ranks, bytes_only)
    g.cli("reload")
    assert counted() == len(SAID.encode())
    held.set()
    s.rest()
    assert g.settlement(s.request_id)["lines"][OUTPUT][0] == lab.count(SAID)
