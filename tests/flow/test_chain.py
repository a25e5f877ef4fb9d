"""A gate behind a gate: every endpoint over HTTP, in both dialects, to an upstream that is real.
What the front one bills is what the one behind it billed."""
import json

import numpy as np
import openai
import pytest
import tritonclient.http as triton
from gate import INPUT, OUTPUT, REQUESTS, SLOW, Gate
from test_tensors import ELEMENTS, inputs_of, numbers

BACK = """
backends:
  worker: {{transport: {transport}, address: "{address}"}}
models:
  base/text:
    capabilities: [chat, completions]
    max_output_tokens: 1000
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
  base/embed:
    capabilities: [embeddings]
    price: {{input_uncached_tokens: 0.02/1M}}
    routes: [{{backend: worker, model: hash-embed}}]
  base/rank:
    capabilities: [rerank]
    price: {{input_uncached_tokens: 0.05/1M}}
    routes: [{{backend: worker, model: hash-rerank}}]
  base/guard:
    capabilities: [moderation]
    price: {{requests: 0.0003, input_uncached_tokens: 0}}
    routes: [{{backend: worker, model: word-list}}]
  base/simple:
    capabilities: [infer]
    price: {{requests: 0.0005, tensor_elements: 0.01/1k, compute_ms: 0}}
    routes: [{{backend: worker, model: simple}}]
"""
FRONT = """
backends:
  openai: {{transport: http, address: "http://127.0.0.1:{port}/v1", secret_file: "{secret}"}}
  oip: {{transport: http, dialect: oip2, address: "http://127.0.0.1:{port}", secret_file: "{secret}"}}
models:
""" + "".join(f"""
  domain/code/{name}:
    capabilities: {capabilities}
    price: {price}
    routes: [{{{{backend: {backend}, model: base/{name}}}}}]
""" for name, capabilities, price, backend in [
    ("text", "[chat, completions]",
     "{{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}", "openai"),
    ("embed", "[embeddings]", "{{input_uncached_tokens: 0.02/1M}}", "openai"),
    ("rank", "[rerank]", "{{input_uncached_tokens: 0.05/1M}}", "openai"),
    ("guard", "[moderation]", "{{requests: 0.0003}}", "openai"),
    ("simple", "[infer]", "{{requests: 0.0005, tensor_elements: 0.01/1k}}", "oip"),
])


@pytest.fixture(scope="module")
def gates():
    back = Gate(catalog=BACK)
    front = None
    try:
        back.start()
        secret = back.dir / "secret"
        secret.write_text(back.key("front"))
        secret.chmod(0o600)
        front = Gate(catalog=FRONT, worker=False, fields={"port": back.port, "secret": secret})
        front.start()
        for name in ("openai", "oip"):
            front.wait_backend(name)
        front.our_key = front.key("chain")
        yield front, back
        front.stop()
        back.stop()
    finally:
        for g in (front, back):
            if g:
                g.abandon()


@pytest.fixture(scope="module")
def client(gates):
    front, _ = gates
    with openai.OpenAI(base_url=front.url + "/domain/code/v1", api_key=front.our_key, max_retries=0, timeout=60 * SLOW) as c:
        yield c


def same_bill(gates, *meters):
    """Both sides' newest settlements: as much of each meter."""
    quantities = []
    for g in gates:
        row = g.settlements()[-1]
        assert row["outcome"] == "ok", dict(row)
        lines = {m: qty for m, qty, _ in json.loads(row["lines"])}
        quantities.append([lines.get(m, 0) for m in meters])
    assert quantities[0] == quantities[1] and all(quantities[0])


@pytest.mark.short
def test_completions(gates, client):
    a = client.completions.create(model="text", prompt="#tokens=9 go", max_tokens=50)
    assert a.choices[0].text and a.usage.completion_tokens == 9
    same_bill(gates, REQUESTS, INPUT, OUTPUT)
    chunks = list(client.completions.create(model="text", prompt="#tokens=9 go", max_tokens=50, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == a.choices[0].text and not any(c.usage for c in chunks)
    same_bill(gates, REQUESTS, INPUT, OUTPUT)


def test_chat(gates, client):
    a = client.chat.completions.create(model="text", messages=[{"role": "user", "content": "#tokens=9 go"}])
    assert a.usage.completion_tokens == 9
    same_bill(gates, REQUESTS, INPUT, OUTPUT)


def test_embeddings(gates, client):
    a = client.embeddings.create(model="embed", input=["one", "two"])
    assert len(a.data) == 2 and len(a.data[1].embedding) == 256
    same_bill(gates, INPUT)


def test_moderations(gates, client):
    assert client.moderations.create(model="guard", input="a bomb").results[0].flagged
    same_bill(gates, REQUESTS)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_rerank(gates, path):
    front, _ = gates
    a = front.post(path, {"model": "domain/code/rank", "query": "sea", "documents": ["a sea", "a tree"]}, front.our_key)
    assert [r["index"] for r in a.json()["results"]] == [0, 1]
    same_bill(gates, INPUT)


@pytest.mark.short
@pytest.mark.parametrize("binary", [True, False])
def test_tensors(gates, binary):
    front, _ = gates
    a, b = numbers(3)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary), triton.InferRequestedOutput("OUTPUT1", binary_data=binary)]
    with triton.InferenceServerClient(f"127.0.0.1:{front.port}/domain/code") as c:
        result = c.infer("simple", inputs_of(a, b, binary), outputs=outputs,
                         headers={"Authorization": f"Bearer {front.our_key}"})
    assert (result.as_numpy("OUTPUT0") == a + b).all() and (result.as_numpy("OUTPUT1") == a - b).all()
    assert result.as_numpy("OUTPUT0").dtype == np.int32
    same_bill(gates, REQUESTS, ELEMENTS)


def test_refusals_of_the_one_behind_reach_the_client(gates, client):
    front, _ = gates
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.completions.create(model="text", prompt=[1, 2])
    a = front.post("/v2/models/domain/code/simple/infer", {"inputs": []}, front.our_key)
    assert a.status == 400 and "INPUT0 is missing" in a.json()["error"]
