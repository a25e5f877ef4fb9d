"""A real sentence-embedding model, attached by examples/worker-embed.py over shared memory."""
import base64
import concurrent.futures
import pathlib
import struct

import openai
import pytest
import wordllama
from engines import ROOT, Engine
from gate import INPUT, atoms

CATALOG = """
backends:
  sentences:
    transport: shm
    address: {dir}/worker.sock
models:
  base/sentences:
    capabilities: [embeddings]
    price: {{input_uncached_tokens: 0.02/1M}}
    routes: [{{backend: sentences, model: wordllama}}]
"""
CARS = ["I went to the car.", "I drove my vehicle to work."]
BANKS = ["The central bank raised interest rates.", "Monetary policy was tightened by the bank."]
TEXTS = [*CARS, *BANKS, "\u4e2d\u6587 and caf\u00e9s", "word " * 400]


@pytest.fixture(scope="module")
def own():
    """The same model in this process; its weights are in its package, and nothing is fetched."""
    return wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)


@pytest.fixture
def gate(make_gate):
    g = make_gate(catalog=CATALOG, worker=False)
    g.workers.append(Engine(g.dir, ROOT / "examples" / "worker-embed.py", g.worker_listen()))
    g.wait_backend("sentences")
    return g


@pytest.fixture
def key(gate):
    return gate.key()


def ask(gate, key, texts, **fields):
    return gate.post("/v1/embeddings", {"model": "base/sentences", "input": texts, **fields}, key)


def tokens(own, texts):
    return sum(len(own.tokenizer.encode(t, add_special_tokens=False).ids) for t in texts)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))  # they have the length 1


def test_the_vectors_are_the_models_own(gate, key, own):
    a = ask(gate, key, TEXTS)
    assert a.status == 200, a
    got = [d["embedding"] for d in a.json()["data"]]
    for vector, mine in zip(got, own.embed(TEXTS, norm=True), strict=True):
        assert vector == pytest.approx(mine.tolist(), abs=1e-6)
    alike = cosine(got[0], got[1]), cosine(got[2], got[3])  # cars, banks
    unlike = [cosine(car, bank) for car in got[:2] for bank in got[2:4]]
    assert min(alike) > 2 * max(unlike), (alike, unlike)


def test_usage_is_its_tokenizers_count(gate, key, own):
    for texts in (TEXTS, TEXTS[:1], "just one text"):
        a = ask(gate, key, texts)
        count = tokens(own, [texts] if isinstance(texts, str) else texts)
        assert a.json()["usage"] == {"prompt_tokens": count, "total_tokens": count}
        row = gate.settlement(a.headers["x-request-id"])
        assert row["lines"][INPUT] == (count, atoms("0.02", 10**6, count))


def test_formats_and_dimensions(gate, key, own):
    mine = own.embed(TEXTS[:2], norm=True)
    a = ask(gate, key, TEXTS[:2], encoding_format="base64")
    for got, vector in zip(a.json()["data"], mine, strict=True):
        raw = base64.b64decode(got["embedding"])
        assert struct.unpack(f"<{len(vector)}f", raw) == pytest.approx(vector.tolist(), abs=1e-6)
    client = openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0)  # it asks for base64
    answer = client.embeddings.create(model="base/sentences", input=TEXTS[:2])
    assert answer.data[1].embedding == pytest.approx(mine[1].tolist(), abs=1e-6)
    small = client.embeddings.create(model="base/sentences", input=TEXTS[0], dimensions=64).data[0].embedding
    assert len(small) == 64 and cosine(small, small) == pytest.approx(1)


def test_refusals(gate, key):
    for fields in ({"input": []}, {"input": [1, 2]}, {"input": [""]}, {"input": "x", "dimensions": 65},
                   {"input": "x", "encoding_format": "hex"}):
        a = gate.post("/v1/embeddings", {"model": "base/sentences", **fields}, key)
        assert a.status == 400, (fields, a)
    assert ask(gate, key, "still here").status == 200


def test_many_at_once(gate, key, own):
    def one(n):
        return ask(gate, key, f"sentence number {n}").json()["data"][0]["embedding"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(one, range(200)))
    for vector, mine in zip(got, own.embed([f"sentence number {n}" for n in range(200)], norm=True), strict=True):
        assert vector == pytest.approx(mine.tolist(), abs=1e-6)


def test_a_large_answer(gate, key, own):
    texts = [f"line {n}" for n in range(2000)]
    a = ask(gate, key, texts)
    assert a.status == 200 and len(a.body) > 5_000_000
    assert a.json()["usage"]["prompt_tokens"] == tokens(own, texts)
