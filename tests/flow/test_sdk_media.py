"""The official OpenAI SDK on the other endpoints: completions and moderations by the reference
worker, sound by an upstream that checks what it is sent."""
import io
import json

import openai
import pytest
from gate import SLOW, Gate
from test_audio import Scripted, sound, text, wav
from upstream import DONE, Upstream, stream, whole

CATALOG = """
backends:
  worker: {{transport: {transport}, address: "{address}"}}
  up: {{transport: http, address: "http://127.0.0.1:{port}/v1"}}
models:
  base/text:
    capabilities: [completions]
    max_output_tokens: 500
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
  base/many:
    capabilities: [completions]
    max_output_tokens: 500
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: up, model: up-text}}]
  base/guard:
    capabilities: [moderation]
    price: {{requests: 0.0003, input_uncached_tokens: 0}}
    routes: [{{backend: worker, model: word-list}}]
  base/say:
    capabilities: [speech]
    price: {{characters: 15.00/1M}}
    routes: [{{backend: up, model: up-say}}]
  base/hear:
    capabilities: [transcription, translation]
    price: {{audio_ms: 0.006/60000}}
    routes: [{{backend: up, model: up-hear}}]
"""


@pytest.fixture(scope="module")
def up():
    script = Scripted()
    script.upstream = Upstream(script)
    yield script
    script.upstream.stop()


@pytest.fixture(scope="module")
def client(up):
    with Gate(catalog=CATALOG, fields={"port": up.upstream.port}) as g:
        g.start()
        g.wait_backend("up")
        with openai.OpenAI(base_url=g.url + "/v1", api_key=g.key("sdk"), max_retries=0, timeout=60 * SLOW) as c:
            yield c


# ---- completions ----

@pytest.mark.short
def test_completions(client):
    a = client.completions.create(model="base/text", prompt="#tokens=8 hello", max_tokens=50)
    assert a.object == "text_completion" and a.choices[0].text and a.choices[0].finish_reason == "stop"
    assert a.usage.completion_tokens == 8 and a._request_id.startswith("req_")


def test_completions_streamed(client):
    chunks = list(client.completions.create(model="base/text", prompt="#tokens=8 hello", max_tokens=50, stream=True,
                                            stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8
    assert "".join(c.choices[0].text for c in chunks[:-1]) and chunks[-2].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks[:-1])


@pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_completions_of_many_prompts_and_choices(client, up, prompt):
    count = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    up.answer = whole({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [
        {"index": i, "text": "x", "logprobs": None, "finish_reason": "length"} for i in range(2 * count)],
        "usage": {"prompt_tokens": 3, "completion_tokens": 6 * count, "total_tokens": 3 + 6 * count}})
    a = client.completions.create(model="base/many", prompt=prompt, n=2, best_of=3, max_tokens=2, suffix="end",
                                  echo=False, logit_bias={"50256": -100})
    assert len(a.choices) == 2 * count and a.usage.completion_tokens == 6 * count
    sent = up.requests[-1]
    assert sent == {"model": "up-text", "prompt": prompt, "n": 2, "best_of": 3, "max_tokens": 2, "suffix": "end",
                    "echo": False, "logit_bias": {"50256": -100}}


# ---- moderations ----

@pytest.mark.short
def test_moderations(client):
    a = client.moderations.create(model="base/guard", input=["I will kill you", "hello"])
    assert [r.flagged for r in a.results] == [True, False]
    assert a.results[0].categories.violence and a.results[0].category_scores.violence == 0.5
    a = client.moderations.create(model="base/guard", input=[{"type": "text", "text": "a bomb"}])
    assert a.results[0].flagged
    with pytest.raises(openai.BadRequestError, match="only text"):
        client.moderations.create(model="base/guard", input=[
            {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}])


# ---- sound ----

@pytest.mark.short
def test_speech(client, up):
    data = b"ID3" + bytes(range(256)) * 50
    up.answer = sound([data[:700], data[700:]])
    assert client.audio.speech.create(model="base/say", voice="alloy", input="Hello").content == data
    assert up.requests[-1] == {"model": "up-say", "voice": "alloy", "input": "Hello"}


def test_speech_streamed(client, up, tmp_path):
    data = bytes(range(256)) * 300
    up.answer = sound([data[i:i + 1000] for i in range(0, len(data), 1000)], "audio/wav")
    with client.audio.speech.with_streaming_response.create(model="base/say", voice="alloy", input="Hello",
                                                            response_format="wav", speed=1.5) as response:
        assert response.headers["content-type"] == "audio/wav"
        response.stream_to_file(tmp_path / "said.wav")
    assert (tmp_path / "said.wav").read_bytes() == data
    assert up.requests[-1]["response_format"] == "wav" and up.requests[-1]["speed"] == 1.5


@pytest.mark.short
def test_transcriptions(client, up):
    up.answer = whole({"text": "hello", "usage": {"type": "duration", "seconds": 1}})
    a = client.audio.transcriptions.create(model="base/hear", file=("a.wav", wav()), language="en",
                                           timestamp_granularities=["word", "segment"])
    assert a.text == "hello" and a.usage.seconds == 1
    sent = up.requests[-1]
    assert sent["file"][2] == wav() and sent["timestamp_granularities[]"] == [b"word", b"segment"]
    assert (sent["model"], sent["language"]) == (b"up-hear", b"en")


@pytest.mark.parametrize("form, answer, seen", [
    ("text", text(b"hello\n"), "hello\n"), ("srt", text(b"1\n00:00", "application/x-subrip"), "1\n00:00"),
    ("vtt", text(b"WEBVTT\n", "text/vtt"), "WEBVTT\n"),
])
def test_transcriptions_as_text(client, up, form, answer, seen):
    up.answer = answer
    assert client.audio.transcriptions.create(model="base/hear", file=io.BytesIO(wav()), response_format=form) == seen
    assert up.requests[-1]["response_format"] == form.encode()


def test_transcriptions_verbose(client, up):
    up.answer = whole({"task": "transcribe", "language": "english", "duration": 1.0, "text": "hello",
                       "segments": [], "words": []})
    a = client.audio.transcriptions.create(model="base/hear", file=wav(), response_format="verbose_json")
    assert (a.text, a.duration) == ("hello", 1.0)


def test_transcriptions_streamed(client, up):
    events = [{"type": "transcript.text.delta", "delta": "hel"}, {"type": "transcript.text.delta", "delta": "lo"},
              {"type": "transcript.text.done", "text": "hello"}]
    up.answer = stream([b"data: " + json.dumps(e).encode() + b"\n\n" for e in events] + [DONE])
    got = list(client.audio.transcriptions.create(model="base/hear", file=wav(), stream=True))
    assert [e.type for e in got] == [e["type"] for e in events] and got[-1].text == "hello"


def test_translations(client, up):
    up.answer = whole({"text": "hello"})
    assert client.audio.translations.create(model="base/hear", file=("a.mp3", wav(), "audio/mpeg")).text == "hello"
    assert up.requests[-1]["file"][:2] == ("a.mp3", "audio/mpeg")
    assert up.upstream.seen[-1][0] == "/v1/audio/translations"


def test_errors_are_typed(client, up):
    with pytest.raises(openai.NotFoundError) as e:
        client.audio.transcriptions.create(model="base/none", file=wav())
    assert e.value.code == "model_not_found" and e.value.param == "model"
    with pytest.raises(openai.BadRequestError):
        client.audio.translations.create(model="base/hear", file=wav(), extra_body={"stream": "true"})
    up.answer = whole({"error": {"message": "too long", "param": "input"}}, 400)
    with pytest.raises(openai.BadRequestError, match="too long"):
        client.audio.speech.create(model="base/say", voice="alloy", input="x")
