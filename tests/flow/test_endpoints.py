"""Completions, rankings, moderations: what a client sees, and the bill beside it."""
import json

import pytest
from gate import CATALOG, INPUT, OUTPUT, REQUESTS, Gate, atoms
from raw import send_raw
from upstream import Upstream, whole

MODELS = CATALOG + """
  base/text:
    capabilities: [completions, chat]
    max_output_tokens: 2000
    default_output_tokens: 256
    recipe: {{params: {{top_p: 0.5}}}}
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
  base/rank:
    capabilities: [rerank]
    price: {{requests: 0.002, input_uncached_tokens: 0.05/1M}}
    routes: [{{backend: worker, model: hash-rerank}}]
  base/guard:
    capabilities: [moderation]
    price: {{requests: 0.0003, input_uncached_tokens: 0}}
    routes: [{{backend: worker, model: word-list}}]
  industry/finance/rank:
    parent: base/rank
    price: {{requests: 0.004, input_uncached_tokens: 0.07/1M}}
"""

@pytest.fixture(scope="module")
def gate():
    with Gate(catalog=MODELS) as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("endpoints")


def billed(gate, answer, endpoint):
    """The settlement, which sums up and was held for."""
    row = gate.settlement(answer.headers["x-request-id"])
    with gate.ledger() as db:
        held, = db.execute("SELECT hold_atoms FROM request_open WHERE rid = ?", (row["rid"],)).fetchone()
    assert row["endpoint"] == endpoint
    assert row["amount_atoms"] == sum(a for _, a in row["lines"].values()) <= held
    return row


# ---- completions ----

@pytest.mark.short
def test_completion(gate, key):
    a = gate.post("/v1/completions", {"model": "base/text", "prompt": "#tokens=7 once", "max_tokens": 50}, key)
    body = a.json()
    assert a.status == 200 and body["object"] == "text_completion" and body["model"] == "base/text"
    assert body["id"].startswith("cmpl-") and isinstance(body["created"], int)
    choice = body["choices"][0]
    assert choice["text"] and (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "stop")
    usage = body["usage"]
    assert usage["completion_tokens"] == 7 and usage["total_tokens"] == usage["prompt_tokens"] + 7
    row = billed(gate, a, "completions")
    assert (row["outcome"], row["evidence"]) == ("ok", "upstream")
    assert row["lines"] == {REQUESTS: (1, atoms("0.001")), OUTPUT: (7, atoms("0.4", 10**6, 7)),
                            INPUT: (usage["prompt_tokens"], atoms("0.1", 10**6, usage["prompt_tokens"]))}


def test_sixteen_tokens_unless_told_otherwise(gate, key):
    """As in OpenAI's API, whatever the model's default for chat is; never more than its most."""
    def ask(**fields):
        return gate.post("/v1/completions", {"model": "base/text", "prompt": "on and on #tokens=9999", **fields},
                         key).json()
    assert ask()["usage"]["completion_tokens"] == 16
    assert ask()["choices"][0]["finish_reason"] == "stop"  # "#tokens=" is met by the cap
    assert ask(max_tokens=40)["usage"]["completion_tokens"] == 40
    assert ask(max_tokens=9999)["usage"]["completion_tokens"] == 2000


def test_echo(gate, key):
    a = gate.post("/v1/completions", {"model": "base/text", "prompt": "Said before.", "echo": True}, key).json()
    assert a["choices"][0]["text"].startswith("Said before.") and len(a["choices"][0]["text"]) > 14
    assert a["usage"]["completion_tokens"] <= 16  # what is repeated is no output


@pytest.mark.short
@pytest.mark.parametrize("asked", [False, True])
def test_completion_stream(gate, key, asked):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    a = gate.post("/v1/completions", {"model": "base/text", "prompt": "#tokens=6 once", "max_tokens": 50,
                                      "stream": True, **options}, key)
    assert a.status == 200 and a.headers["content-type"].startswith("text/event-stream")
    blocks = a.body.decode().split("\n\n")
    assert blocks.pop() == "" and blocks.pop() == "data: [DONE]"
    events = [json.loads(b.removeprefix("data: ")) for b in blocks]
    if asked:
        last = events.pop()
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == 6
    assert all(e["object"] == "text_completion" and not e.get("usage") for e in events)
    assert [e["choices"][0]["finish_reason"] for e in events][-1] == "stop"
    assert "".join(e["choices"][0]["text"] for e in events)
    assert len({e["id"] for e in events}) == 1
    row = billed(gate, a, "completions")
    assert row["lines"][OUTPUT][0] == 6


def test_completion_stream_is_kept_alive(make_gate):
    g = make_gate(catalog=MODELS, settings={"stream_keepalive_ms": "1s"})
    a = g.post("/v1/completions", {"model": "base/text", "prompt": "#delay=2500 #tokens=2 x", "stream": True},
               g.key())
    events = [json.loads(b.removeprefix("data: ")) for b in a.body.decode().split("\n\n")[:-2]]
    quiet = [e for e in events if e["choices"][0]["text"] == "" and not e["choices"][0]["finish_reason"]]
    assert quiet and all(e["object"] == "text_completion" and e["id"] == events[0]["id"] for e in quiet)


@pytest.mark.parametrize("fields, status, param", [
    ({}, 400, "prompt"), ({"prompt": 7}, 400, "prompt"), ({"prompt": []}, 400, "prompt"),
    ({"prompt": "a", "n": 0}, 400, "n"), ({"prompt": "a", "n": 129}, 400, "n"),
    ({"prompt": "a", "best_of": 21}, 400, "best_of"), ({"prompt": "a", "n": 2, "best_of": 1}, 400, "best_of"),
    ({"prompt": "a", "best_of": 2, "stream": True}, 400, "best_of"),
    ({"prompt": "a", "max_tokens": -1}, 400, "max_tokens"), ({"prompt": "a", "stream": "yes"}, 400, "stream"),
    ({"prompt": "a", "stream_options": {}}, 400, "stream_options"),
    ({"prompt": "a", "api_base": "http://x"}, 400, "api_base"),
    ({"prompt": "a", "model": "base/embed"}, 400, "model"), ({"prompt": "a", "model": "base/none"}, 404, "model"),
])
def test_completions_that_are_refused(gate, key, fields, status, param):
    before = len(gate.settlements())
    a = gate.post("/v1/completions", {"model": "base/text", **fields}, key)
    assert (a.status, a.json()["error"]["param"]) == (status, param) and a.json()["error"]["message"]
    assert len(gate.settlements()) == before


# ---- rerank ----

DOCUMENTS = ["a garden with tomatoes", "loans and their credit risks", {"text": "a boat on the sea"}]


@pytest.mark.short
@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank", "/base/v1/rerank", "/base/rerank"])
def test_rerank(gate, key, path):
    model = {"model": "rank" if path.startswith("/base") else "base/rank"}
    a = gate.post(path, {"query": "the credit risk of a loan", "documents": DOCUMENTS, **model}, key)
    assert a.status == 200, a
    body = a.json()
    assert body["model"] == "base/rank" and [r["index"] for r in body["results"]][0] == 1
    scores = [r["relevance_score"] for r in body["results"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True) and 0 <= scores[2] <= scores[0] <= 1
    assert not any("document" in r for r in body["results"])
    assert body["meta"]["billed_units"]["search_units"] == 1
    tokens = body["usage"]["total_tokens"]
    row = billed(gate, a, "rerank")
    assert (row["outcome"], row["evidence"]) == ("ok", "upstream")
    assert row["lines"] == {REQUESTS: (1, atoms("0.002")), INPUT: (tokens, atoms("0.05", 10**6, tokens))}


def test_rerank_gives_back_the_best_with_their_texts(gate, key):
    a = gate.post("/v1/rerank", {"model": "base/rank", "query": "sea boats", "documents": DOCUMENTS, "top_n": 1,
                                 "return_documents": True}, key).json()
    assert a["results"] == [{"index": 2, "relevance_score": a["results"][0]["relevance_score"],
                             "document": {"text": "a boat on the sea"}}]


def test_rerank_of_many_documents(gate, key):
    documents = [f"document number {i} about " + "words " * (i % 30) for i in range(3000)]
    a = gate.post("/v1/rerank", {"model": "base/rank", "query": "number 17", "documents": documents,
                                 "return_documents": True}, key)
    results = a.json()["results"]
    assert sorted(r["index"] for r in results) == list(range(3000))
    assert all(r["document"]["text"] == documents[r["index"]] for r in results)
    assert a.json()["meta"]["billed_units"]["search_units"] == 30


def test_rerank_under_a_level(gate, key):
    a = gate.post("/industry/finance/v1/rerank", {"model": "rank", "query": "q", "documents": ["d"]}, key)
    assert a.headers["x-maas-model"] == "industry/finance/rank"
    assert billed(gate, a, "rerank")["model_name"] == "industry/finance/rank"


@pytest.mark.parametrize("fields, param", [
    ({"documents": ["a"]}, "query"), ({"query": 7, "documents": ["a"]}, "query"), ({"query": "q"}, "documents"),
    ({"query": "q", "documents": []}, "documents"), ({"query": "q", "documents": "a"}, "documents"),
    ({"query": "q", "texts": ["a"]}, "documents"), ({"query": "q", "documents": ["a"], "stream": True}, "stream"),
    ({"query": "q", "documents": ["a"] * 10001}, "documents"),
])
def test_rankings_that_are_refused(gate, key, fields, param):
    a = gate.post("/v1/rerank", {"model": "base/rank", **fields}, key)
    assert (a.status, a.json()["error"]["param"]) == (400, param)


def test_cohere_has_its_own_shape_of_errors(gate, key):
    a = gate.post("/v2/rerank", {"model": "base/none", "query": "q", "documents": ["a"]}, key)
    assert (a.status, list(a.json())) == (404, ["message"]) and "base/none" in a.json()["message"]
    a = gate.post("/v2/rerank", {"model": "base/rank", "query": "q", "documents": ["a"]}, "sk-maas-nobody")
    assert (a.status, list(a.json())) == (401, ["message"])


# ---- moderations ----

@pytest.mark.short
def test_moderation(gate, key):
    a = gate.post("/v1/moderations", {"model": "base/guard", "input": ["I will kill you", "good morning"]}, key)
    assert a.status == 200
    bad, good = a.json()["results"]
    assert bad["flagged"] and bad["categories"]["violence"] and bad["category_scores"]["violence"] == 0.5
    assert not good["flagged"] and not any(good["categories"].values()) and len(good["categories"]) == 13
    assert "not by a model" in a.json()["note"]
    row = billed(gate, a, "moderations")
    assert row["lines"][REQUESTS] == (1, atoms("0.0003")) and row["amount_atoms"] == atoms("0.0003")


@pytest.mark.parametrize("fields, param", [
    ({}, "input"), ({"input": 7}, "input"), ({"input": []}, "input"), ({"input": "a", "stream": True}, "stream"),
    ({"input": ["a"] * 2049}, "input"),
])
def test_moderations_that_are_refused(gate, key, fields, param):
    a = gate.post("/v1/moderations", {"model": "base/guard", **fields}, key)
    assert (a.status, a.json()["error"]["param"]) == (400, param)


# ---- what all have in common ----

@pytest.mark.parametrize("path", ["/v1/completions", "/v1/rerank", "/v2/rerank", "/rerank", "/v1/moderations"])
def test_methods_keys_and_encodings(gate, key, path):
    a = gate.get(path, key)
    assert (a.status, a.headers["allow"]) == (405, "POST")
    assert gate.post(path, {}).status == 401
    a = gate.post(path, b"\x1f\x8b", key, {"Content-Encoding": "gzip"})
    assert a.status == 415
    assert gate.post(path, b"no json", key).status == 400


@pytest.mark.parametrize("path, most", [
    ("/v1/chat/completions", 32 << 20), ("/v1/completions", 8 << 20), ("/v1/embeddings", 8 << 20),
    ("/v1/images/generations", 1 << 20), ("/v1/audio/speech", 256 << 10), ("/v1/audio/transcriptions", 32 << 20),
    ("/v1/audio/translations", 32 << 20), ("/v1/rerank", 16 << 20), ("/v1/moderations", 8 << 20),
    ("/v2/models/base/simple/infer", 32 << 20),
])
def test_bodies_have_a_limit_by_endpoint(gate, key, path, most):
    """By its head alone, with the length; and a chunked one when it has come so far."""
    head = (f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n"
            + ("Content-Type: multipart/form-data; boundary=b\r\n" if "trans" in path else ""))
    small = b" " * (most + 1) if most < 1 << 20 else b""  # is read and dropped before it is answered
    long = send_raw(gate.port, f"{head}Content-Length: {most + 1}\r\n\r\n".encode() + small, expect=1)
    assert long.statuses == [413] and str(most).encode() in long.data
    fits = send_raw(gate.port, f"{head}Content-Length: {most}\r\nExpect: 100-continue\r\n\r\n".encode(), quiet=0.5)
    assert fits.statuses == [100]
    if most <= 1 << 20:
        chunk = b"%x\r\n" % (most + 1) + b" " * (most + 1) + b"\r\n0\r\n\r\n"
        assert send_raw(gate.port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk, expect=1).final == [413]


def test_models_say_what_they_do(gate, key):
    models = {m["id"]: m for m in gate.get("/v1/models", key).json()["data"]}
    assert models["base/text"]["capabilities"] == ["chat", "completions"]
    assert models["base/rank"]["capabilities"] == ["rerank"]
    assert models["industry/finance/rank"]["capabilities"] == ["rerank"]
    assert models["base/guard"]["capabilities"] == ["moderation"]


def test_the_hold_covers_every_answer_that_is_written(gate):
    """Two prompts, three tries each: six answers of 100 tokens are reserved, or nothing runs."""
    body = {"model": "base/text", "prompt": ["a", "b"], "n": 1, "best_of": 3, "max_tokens": 100}
    need = atoms("0.001") + atoms("0.4", 10**6, 600) + atoms("0.1", 10**6, len(json.dumps(body)))
    assert need < atoms("0.0013")
    gate.project("narrow", "0.0012", "total")
    gate.project("wide", "0.0013", "total")
    narrow = gate.post("/v1/completions", body, gate.key("narrow"))
    assert (narrow.status, narrow.code) == (429, "insufficient_quota")
    wide = gate.post("/v1/completions", body, gate.key("wide"))  # the worker itself takes one prompt only
    assert wide.status == 400 and "prompt" in wide.json()["error"]["message"]
    row = gate.settlement(wide.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"]) == ("failed_pre", 0)


# ---- over HTTP: what is reported, and what is missed ----

OVER_HTTP = """
backends:
  up: {{transport: http, address: "http://127.0.0.1:{port}/v1"}}
models:
  base/text:
    capabilities: [completions]
    max_output_tokens: 100
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: up, model: m}}]
  base/rank:
    capabilities: [rerank]
    price: {{requests: 0.002}}
    routes: [{{backend: up, model: m}}]
  base/strict:
    capabilities: [rerank]
    price: {{input_uncached_tokens: 1/1M}}
    routes: [{{backend: up, model: m}}]
  base/guard:
    capabilities: [moderation]
    price: {{requests: 0.0003}}
    routes: [{{backend: up, model: m}}]
"""
RANK = {"query": "q", "documents": ["a"]}


@pytest.fixture(scope="module")
def http():
    answers = {}
    up = Upstream(lambda request: whole(answers["next"]))
    g = Gate(catalog=OVER_HTTP, worker=False, fields={"port": up.port})
    try:
        g.start()
        g.wait_backend("up")
        our_key = g.key("http")

        def ask(path, body, answer):
            answers["next"] = answer
            a = g.post(path, body, our_key)
            assert a.status == 200, a
            row = g.settlement(a.headers["x-request-id"])
            return row["outcome"], row["evidence"], {m: qty for m, (qty, _) in row["lines"].items()}
        yield ask
        g.stop()
    finally:
        g.abandon()
        up.stop()


@pytest.mark.parametrize("path, model, body, usage, expected", [
    # a report is missed only where a price needs it
    ("rerank", "rank", RANK, None, ("ok", "gateway", {REQUESTS: 1})),
    ("rerank", "strict", RANK, None, ("ok_nousage", "none", {})),
    ("rerank", "strict", RANK, {"total_tokens": 9}, ("ok", "upstream", {INPUT: 9})),
    ("rerank", "strict", RANK, {"prompt_tokens": 8, "total_tokens": 9}, ("ok", "upstream", {INPUT: 8})),
    ("moderations", "guard", {"input": "a"}, None, ("ok", "gateway", {REQUESTS: 1})),
    # 0 is a value, null and nothing are none
    ("rerank", "strict", RANK, {"total_tokens": 0}, ("ok", "upstream", {})),
    ("completions", "text", {"prompt": "a"}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
     ("ok", "upstream", {REQUESTS: 1})),
    ("completions", "text", {"prompt": "a"}, None, ("ok_nousage", "none", {REQUESTS: 1})),
    ("completions", "text", {"prompt": "a"}, {"prompt_tokens": None, "completion_tokens": None},
     ("ok_nousage", "none", {REQUESTS: 1})),
    # a query is read with every document: its tokens are within the hold; beyond it they are cut
    ("rerank", "strict", {"query": "q" * 100, "documents": ["a"] * 50}, {"total_tokens": 5200},
     ("ok", "upstream", {INPUT: 5200})),
    # six answers of 16 tokens are held for two prompts, three tries each
    ("completions", "text", {"prompt": ["a", "b"], "best_of": 3}, {"prompt_tokens": 2, "completion_tokens": 96},
     ("ok", "upstream", {REQUESTS: 1, INPUT: 2, OUTPUT: 96})),
    ("completions", "text", {"prompt": ["a", "b"], "best_of": 3}, {"prompt_tokens": 2, "completion_tokens": 97},
     ("ok", "upstream", {REQUESTS: 1, INPUT: 2, OUTPUT: 96})),
])
def test_what_is_reported_is_billed_within_the_hold(http, path, model, body, usage, expected):
    answer = {"id": "x", "object": "x", "model": "m", "choices": [], "results": []}
    if usage is not None:
        answer["usage"] = usage
    assert http(f"/v1/{path}", {"model": f"base/{model}", **body}, answer) == expected
