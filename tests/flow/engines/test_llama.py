"""llama.cpp's server behind the gateway: what it answers, what it counts, when it dies."""
import concurrent.futures
import hashlib
import re

import openai
import pytest
import tiny_gguf
from engines import Llama
from gate import CACHED, INPUT, OUTPUT, atoms, text_of, wait_until

CATALOG = """
backends:
  llama:
    transport: http
    address: {url}
    repeat_unanswered: true
  vectors:
    transport: http
    address: {vectors}
models:
  base/small:
    capabilities: [chat, completions]
    context_length: 4096
    max_output_tokens: 4096
    price: {{requests: 0.001, input_uncached_tokens: 1.00/1M, input_cached_tokens: 0.10/1M, output_text_tokens: 2.00/1M}}
    routes: [{{backend: llama, model: tiny}}]
  base/vectors:
    capabilities: [embeddings]
    price: {{input_uncached_tokens: 0.50/1M}}
    routes: [{{backend: vectors, model: tiny}}]
"""
# The sampler is told to take the likeliest token, so that two answers can be compared.
GREEDY = {"temperature": 0, "model": "base/small"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("llama")


@pytest.fixture(scope="module")
def llama(directory):
    engine = Llama(directory)
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def vectors(directory):
    engine = Llama(directory, "--embeddings", "--pooling", "mean", slots=1)
    yield engine
    engine.stop()


@pytest.fixture
def gate(make_gate, llama, vectors):
    return make_gate(catalog=CATALOG, worker=False, fields={"url": llama.url, "vectors": vectors.url})


@pytest.fixture
def key(gate):
    return gate.key()


def says(text):
    return [{"role": "user", "content": text}]


def counts(usage):
    """(uncached, cached, output) of a `usage`, as the bill has them."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return usage["prompt_tokens"] - cached, cached, usage["completion_tokens"]


def billed(gate, request_id):
    row = gate.settlement(request_id)
    assert row["outcome"] == "ok", row
    return tuple(row["lines"].get(meter, (0,))[0] for meter in (INPUT, CACHED, OUTPUT))


def test_the_model_is_the_same_each_time(tmp_path):
    digests = {hashlib.sha256(tiny_gguf.write(tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b")}
    assert len(digests) == 1 and (tmp_path / "a").stat().st_size < 2 << 20


def test_chat(gate, key, llama):
    messages = says("What does a gateway do, in \u4e2d\u6587 and in caf\u00e9s?")
    a = gate.post("/v1/chat/completions", {**GREEDY, "messages": messages, "max_tokens": 40}, key)
    assert a.status == 200, a
    usage = a.json()["usage"]
    # Three counts that the gateway did not make: the engine's, its tokenizer's, its timings'.
    assert usage["prompt_tokens"] == llama.prompt_tokens(messages)
    assert usage["completion_tokens"] == a.json()["timings"]["predicted_n"]
    assert billed(gate, a.headers["x-request-id"]) == counts(usage)
    uncached, cached, output = counts(usage)
    assert gate.settlement(a.headers["x-request-id"])["amount_atoms"] == (
        atoms("0.001") + atoms("1.00", 10**6, uncached) + atoms("0.10", 10**6, cached) + atoms("2.00", 10**6, output))
    direct = llama.post("/v1/chat/completions", messages=messages, max_tokens=40, temperature=0)
    assert a.json()["choices"] == direct["choices"]


@pytest.mark.parametrize("asked", [True, False])
def test_chat_streamed(gate, key, llama, asked):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    s = gate.stream(key, "Count the lamps.", max_tokens=60, **GREEDY, **options)
    events = s.rest()
    assert events[-1] == "[DONE]"
    usages = [e["usage"] for e in events[:-1] if e.get("usage")]
    direct = llama.post("/v1/chat/completions", messages=says("Count the lamps."), max_tokens=60, temperature=0)
    assert text_of(events) == direct["choices"][0]["message"]["content"]
    assert len(usages) == asked and all(e["choices"] for e in events[:-1 - asked])
    uncached, cached, output = billed(gate, s.request_id)
    assert uncached + cached == direct["usage"]["prompt_tokens"]
    assert output == direct["usage"]["completion_tokens"]
    assert not usages or counts(usages[0]) == (uncached, cached, output)


@pytest.mark.parametrize("prompt", ["A gateway stands between", ["The first of", "two of them"]])
def test_completions(gate, key, llama, prompt):
    body = {**GREEDY, "prompt": prompt, "max_tokens": 16}
    a = gate.post("/v1/completions", body, key)
    assert a.status == 200, a
    direct = llama.post("/v1/completions", **body)
    assert [c["text"] for c in a.json()["choices"]] == [c["text"] for c in direct["choices"]]
    assert a.json()["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"]
    assert billed(gate, a.headers["x-request-id"]) == counts(a.json()["usage"])


@pytest.mark.parametrize("asked", [True, False])
def test_completions_streamed(gate, key, llama, asked):
    """llama.cpp puts the usage into the last event with text, not into one of its own."""
    body = {"prompt": "A gateway stands between", "max_tokens": 30}
    options = {"stream_options": {"include_usage": True}} if asked else {}
    s = gate.stream(key, path="/v1/completions", **GREEDY, **body, **options)
    events = s.rest()
    assert events[-1] == "[DONE]"
    direct = llama.post("/v1/completions", **GREEDY, **body)
    assert "".join(c["text"] for e in events[:-1] for c in e["choices"]) == direct["choices"][0]["text"]
    uncached, cached, output = billed(gate, s.request_id)
    assert uncached + cached == direct["usage"]["prompt_tokens"] and output == 30
    usages = [e["usage"] for e in events[:-1] if e.get("usage")]
    assert len(usages) == 1 or not asked


def test_the_prefix_cache_is_billed_as_such(gate, key):
    talk = says("Tell me of the harbour. " * 12)
    first = gate.post("/v1/chat/completions", {**GREEDY, "messages": talk, "max_tokens": 10}, key).json()
    talk += [first["choices"][0]["message"], *says("And then?")]
    a = gate.post("/v1/chat/completions", {**GREEDY, "messages": talk, "max_tokens": 10}, key)
    uncached, cached, output = billed(gate, a.headers["x-request-id"])
    assert (uncached, cached, output) == counts(a.json()["usage"])
    assert cached > 50 and uncached < cached
    assert a.json()["timings"]["cache_n"] == cached


def test_many_streams_at_once(gate, key, llama):
    """More than the engine has slots; its own counters are the truth in the end."""
    before = llama.metric("prompt_tokens_total"), llama.metric("tokens_predicted_total")

    def one(n):
        s = gate.stream(key, f"Story number {n}, please.", model="base/small", max_tokens=20 + n, seed=n,
                        stream_options={"include_usage": True})
        events = s.rest()
        assert events[-1] == "[DONE]"
        assert billed(gate, s.request_id) == counts(events[-2]["usage"])
        return counts(events[-2]["usage"])
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        bills = list(pool.map(one, range(24)))
    for name, then, billed_ in (("prompt_tokens_total", before[0], sum(uncached for uncached, _, _ in bills)),
                                ("tokens_predicted_total", before[1], sum(output for _, _, output in bills))):
        wait_until(lambda name=name, sum_=then + billed_: llama.metric(name) == sum_, what=f"{name} of what was billed")


def test_a_client_that_leaves_frees_the_slot(gate, key, llama):
    before = llama.metric("tokens_predicted_total")
    streams = [gate.stream(key, f"A long story {n}.", max_tokens=3500, ignore_eos=True, model="base/small")
               for n in range(4)]
    for s in streams:
        s.read(4)
    wait_until(lambda: llama.busy() == 4, what="four slots")
    for s in streams:
        s.close()
    wait_until(lambda: llama.busy() == 0, what="the slots")
    assert gate.chat(key, "short", max_tokens=3, **GREEDY).status == 200  # there is room again
    made = llama.metric("tokens_predicted_total") - before
    outputs = [gate.settlement(s.request_id)["lines"][OUTPUT][0] for s in streams]
    assert all(n >= 3 for n in outputs)
    assert made < 4 * 3500  # and not because they had been told to the end
    assert {gate.settlement(s.request_id)["outcome"] for s in streams} == {"client_gone"}


def test_the_engine_refuses(gate, key):
    """What llama.cpp has against a request reaches the client, and costs nothing."""
    a = gate.chat(key, "x", max_tokens=5, grammar="root ::= (", **GREEDY)
    assert a.status == 400, a
    row = gate.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"]) == ("failed_pre", 0)


def test_too_long_for_the_engine(gate, key):
    a = gate.chat(key, "\u00e9" * 3000, max_tokens=5, **GREEDY)  # 6000 tokens of a byte each
    assert a.status == 400 and a.json()["error"]["code"] == "context_length_exceeded", a
    assert gate.settlement(a.headers["x-request-id"])["amount_atoms"] == 0


def test_the_official_sdk(gate, key, llama):
    client = openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0)
    answer = client.chat.completions.create(model="base/small", messages=says("Hello"), max_tokens=12)
    assert answer.usage.prompt_tokens == llama.prompt_tokens(says("Hello"))
    pieces = list(client.chat.completions.create(
        model="base/small", messages=says("Hello"), max_tokens=12, stream=True, stream_options={"include_usage": True}))
    assert pieces[-1].usage.completion_tokens == 12 and not pieces[-1].choices


def test_backend_test(gate, llama, vectors):
    """`maasgate backend test` finds each step in order, usage included."""
    for name, engine in (("llama", llama), ("vectors", vectors)):
        told = gate.cli("backend", "test", name).stdout
        assert re.search(r"^usage +ok", told, re.M) and told.rstrip().endswith("it works"), told


def test_embeddings(gate, key, vectors):
    texts = ["a quiet harbour", "a loud engine"]
    a = gate.post("/v1/embeddings", {"model": "base/vectors", "input": texts}, key)
    assert a.status == 200, a
    direct = vectors.post("/v1/embeddings", input=texts)
    for got, own in zip(a.json()["data"], direct["data"], strict=True):
        assert got["embedding"] == pytest.approx(own["embedding"], abs=1e-6)
    tokens = sum(len(vectors.post("/tokenize", content=t)["tokens"]) for t in texts)
    assert a.json()["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"] == tokens
    assert billed(gate, a.headers["x-request-id"])[0] == tokens


def test_killed_and_restarted(make_gate, directory):
    engine = Llama(directory)
    g = make_gate(catalog=CATALOG, worker=False, fields={"url": engine.url, "vectors": engine.url})
    key = g.key()
    s = g.stream(key, "A long story.", max_tokens=3500, ignore_eos=True, model="base/small")
    s.read(5)
    engine.kill()
    events = s.rest()
    assert events[-1]["error"]["code"] == "upstream_cut"
    row = g.settlement(s.request_id)
    assert row["outcome"] == "upstream_cut" and row["lines"][OUTPUT][0] >= 4
    a = g.chat(key, "anyone?", max_tokens=3, **GREEDY)
    assert a.status in (502, 503), a
    engine = Llama(directory, port=engine.port)
    try:
        wait_until(lambda: g.chat(key, "back?", max_tokens=3, **GREEDY).status == 200, what="the engine's return")
    finally:
        engine.stop()


def test_the_engines_own_key(make_gate, directory):
    """llama-server asks for a key; the gateway has it from a file, the client never sees it."""
    secret = directory / "engine.key"
    secret.write_text("an-engine-key-of-its-own\n")
    secret.chmod(0o600)
    engine = Llama(directory, "--api-key-file", secret)
    catalog = CATALOG.replace("address: {url}", "address: {url}\n    secret_file: {secret}")
    fields = {"url": engine.url, "vectors": engine.url, "secret": secret}
    try:
        g = make_gate(catalog=catalog, worker=False, fields=fields)
        a = g.chat(g.key(), "x", max_tokens=3, **GREEDY)
        assert a.status == 200 and "an-engine-key" not in str(a.headers) + a.body.decode()
        g = make_gate(catalog=CATALOG, worker=False, fields=fields)
        a = g.chat(g.key(), "x", max_tokens=3, **GREEDY)
        assert a.status == 502, a  # the operator's mistake, not the client's
    finally:
        engine.stop()
