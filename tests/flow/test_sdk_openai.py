"""The official OpenAI SDK, as a developer uses it: base_url, a key, nothing else."""
import base64
import time

import openai
import pytest
from gate import OUTPUT, SLOW, wait_until


def client_of(gate, key, path="/v1", **options):
    return openai.OpenAI(base_url=gate.url + path, api_key=key, max_retries=0, timeout=60 * SLOW, **options)


@pytest.fixture(scope="module")
def client(gate, key):
    with client_of(gate, key) as c:
        yield c


def messages(text):
    return [{"role": "user", "content": text}]


@pytest.mark.short
def test_chat(client):
    a = client.chat.completions.create(model="base/chat", messages=messages("#tokens=8 hello"), max_tokens=50)
    assert a.choices[0].message.content and a.choices[0].finish_reason == "stop"
    assert a.usage.completion_tokens == 8
    assert a.usage.total_tokens == a.usage.prompt_tokens + 8
    assert a._request_id.startswith("req_")


@pytest.mark.short
def test_stream(client):
    pieces, finish = [], None
    for chunk in client.chat.completions.create(model="base/chat", messages=messages("#tokens=8 hello"), stream=True):
        assert chunk.usage is None
        pieces.append(chunk.choices[0].delta.content or "")
        finish = chunk.choices[0].finish_reason or finish
    assert "".join(pieces) and finish == "stop"


@pytest.mark.short
def test_stream_with_usage(client):
    chunks = list(client.chat.completions.create(model="base/chat", messages=messages("#tokens=8 hello"), stream=True,
                                                 stream_options={"include_usage": True}))
    assert [c.usage.completion_tokens for c in chunks if c.usage] == [8]
    assert chunks[-1].choices == []


def test_stream_helper(client):
    """The helper that accumulates events into a final completion."""
    with client.chat.completions.stream(model="base/chat", messages=messages("#tokens=5 hello"),
                                        stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content and final.usage.completion_tokens == 5


def test_stream_with_keep_alives(make_gate):
    g = make_gate(settings={"stream_keepalive_ms": "1s"})
    with client_of(g, g.key()) as c:
        chunks = list(c.chat.completions.create(model="base/chat", messages=messages("#delay=2500 #tokens=2 x"),
                                                stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_abort(gate, client):
    stream = client.chat.completions.create(model="base/chat", messages=messages("#delay=20 #tokens=900 x"), stream=True)
    for i, _ in enumerate(stream):
        if i == 4:
            break
    request_id = stream.response.headers["x-request-id"]
    stream.close()
    row = gate.settlement(request_id)
    assert row["outcome"] == "client_gone" and 0 < row["lines"][OUTPUT][0] < 800


@pytest.mark.short
def test_embeddings(client):
    a = client.embeddings.create(model="base/embed", input=["one", "two"])  # the SDK asks for base64
    b = client.embeddings.create(model="base/embed", input=["one", "two"], encoding_format="float")
    assert len(a.data) == 2 and len(a.data[0].embedding) == 256
    assert all(abs(x - y) < 1e-6 for x, y in zip(a.data[1].embedding, b.data[1].embedding))
    assert a.usage.prompt_tokens > 0


def test_images(client):
    a = client.images.generate(model="base/image", prompt="a harbour", size="256x256", n=1)
    assert base64.b64decode(a.data[0].b64_json).startswith(b"\x89PNG")


@pytest.mark.short
def test_models(client):
    listed = {m.id: m for m in client.models.list()}
    assert "industry/finance/risk" in listed and listed["base/chat"].level == "base"
    m = client.models.retrieve("industry/finance/risk")
    assert m.id == "industry/finance/risk" and m.object == "model"


@pytest.mark.parametrize("path, model", [("/industry/finance/v1", "risk"), ("/domain/code/v1", "review"),
                                         ("/base/v1", "chat")])
def test_a_level_as_base_url(gate, key, path, model):
    with client_of(gate, key, path) as c:
        a = c.chat.completions.create(model=model, messages=messages("#tokens=2 x"))
        assert a.model.endswith(model) and [m.id for m in c.models.list()]


def raises(kind, code, call):
    with pytest.raises(kind) as e:
        call()
    assert e.value.code == code and e.value.message and e.value.request_id.startswith("req_")
    return e.value


@pytest.mark.short
def test_errors_are_typed(gate, client):
    def chat(c=client, **changes):
        return lambda: c.chat.completions.create(**{"model": "base/chat", "messages": messages("x"), **changes})
    raises(openai.NotFoundError, "model_not_found", chat(model="base/none"))
    raises(openai.BadRequestError, "invalid_value", chat(max_tokens=-1))
    assert raises(openai.BadRequestError, "invalid_value", chat(messages=[])).param == "messages"
    with client_of(gate, "sk-maas-nobody") as nobody:
        raises(openai.AuthenticationError, "invalid_api_key", chat(nobody))
    with client_of(gate, gate.key("sdk", rpm=1)) as tiny:
        chat(tiny)()
        e = raises(openai.RateLimitError, "rate_limit_exceeded", chat(tiny))
        assert int(e.response.headers["retry-after-ms"]) > 0
    gate.project("sdk-broke", "0.0001", "total")
    with client_of(gate, gate.key("sdk-broke")) as broke:
        raises(openai.RateLimitError, "insufficient_quota", chat(broke))
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="base/chat", input="x")


def test_it_does_not_retry_what_it_is_told_not_to(gate):
    gate.project("sdk-once", "0.0001", "total")
    before = gate.metric("maasgate_requests_total")
    with openai.OpenAI(base_url=gate.url + "/v1", api_key=gate.key("sdk-once"), max_retries=3) as c:
        with pytest.raises(openai.RateLimitError):
            c.chat.completions.create(model="base/chat", messages=messages("x"))
    assert gate.metric("maasgate_requests_total") - before == 1


def test_it_waits_as_told_and_then_succeeds(gate):
    key = gate.key("sdk", rpm=60)
    with openai.OpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=2) as c:
        began = time.monotonic()
        for _ in range(62):
            c.chat.completions.create(model="base/chat", messages=messages("#tokens=1 x"))
        assert time.monotonic() - began < 20


def test_an_error_in_the_stream_is_raised(make_gate):
    g = make_gate()
    with client_of(g, g.key()) as c:
        stream = c.chat.completions.create(model="base/chat", messages=messages("#delay=30 #tokens=500 x"), stream=True)
        with pytest.raises(openai.APIError, match="backend died"):
            for i, _ in enumerate(stream):
                if i == 3:
                    g.workers[0].kill()
    wait_until(lambda: g.open_holds() == 0)


def test_async_client(gate, key):
    import asyncio

    async def many():
        async with openai.AsyncOpenAI(base_url=gate.url + "/v1", api_key=key, max_retries=0) as c:
            return await asyncio.gather(*(c.chat.completions.create(
                model="base/chat", messages=messages(f"#tokens=3 {i}")) for i in range(30)))
    assert all(a.usage.completion_tokens == 3 for a in asyncio.run(many()))
