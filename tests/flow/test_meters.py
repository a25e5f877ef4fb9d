"""Every meter: what is reported is counted in one bucket, billed by its price and shown in the usage
report.  0 is a value; what is missing is not billed.  One row a bucket and way of reporting it."""
import json

import pytest
from gate import Gate, atoms
from invariants import METERS
from test_audio import END, KIND, part, wav
from test_python_worker import PythonWorker
from upstream import DONE, Upstream, event, stream, whole

# Of each meter another price, so that no bucket passes for another.
PRICE = {name: (f"0.00{number + 1:02}", 1) for number, name in enumerate(METERS)}
TOKENS = [name for name in METERS if name.endswith("_tokens")]


def prices(*names):
    return "price: {{" + ", ".join(f"{n}: {PRICE[n][0]}" for n in names) + "}}"


CATALOG = f"""
backends:
  up: {{{{transport: http, address: "http://127.0.0.1:{{port}}/v1"}}}}
  tensors: {{{{transport: http, dialect: oip2, address: "http://127.0.0.1:{{port}}/"}}}}
  worker: {{{{transport: {{transport}}, address: "{{address}}"}}}}
models:
  base/chat:
    capabilities: [chat, completions]
    video_ms_max: 600000
    {prices("requests", "video_ms", *TOKENS)}
    routes: [{{{{backend: up, model: m}}}}]
  base/embed:
    capabilities: [embeddings, rerank, moderation]
    {prices("input_uncached_tokens", "input_cached_tokens")}
    routes: [{{{{backend: up, model: m}}}}]
  base/draw:
    capabilities: [images]
    {prices("images", "input_uncached_tokens", "input_image_tokens", "output_image_tokens")}
    routes: [{{{{backend: up, model: m}}}}]
  base/paint:
    capabilities: [images]
    price:
      images:
        - {{{{unit: 0.04, size: 1024x1024, quality: high}}}}
        - {{{{unit: 0.02, size: 1024x1024}}}}
        - {{{{unit: 0.01}}}}
    routes: [{{{{backend: up, model: m}}}}]
  base/say:
    capabilities: [speech]
    {prices("characters")}
    routes: [{{{{backend: up, model: m}}}}]
  base/hear:
    capabilities: [transcription, translation]
    {prices("audio_ms")}
    routes: [{{{{backend: up, model: m}}}}]
  base/tensors:
    capabilities: [infer]
    {prices("tensor_elements", "compute_ms")}
    routes: [{{{{backend: tensors, model: m}}}}]
  base/worker:
    capabilities: [chat]
    video_ms_max: 600000
    {prices("requests", "video_ms", "compute_ms", *TOKENS)}
    routes: [{{{{backend: worker, model: m}}}}]
  base/compute:
    capabilities: [infer]
    {prices("requests", "tensor_elements", "compute_ms")}
    routes: [{{{{backend: worker, model: m}}}}]
"""


class Lab:
    def __init__(self):
        self.answer = None
        self.up = Upstream(lambda request: self.answer(request) if callable(self.answer) else self.answer)
        self.gate = Gate(catalog=CATALOG, worker=False, fields={"port": self.up.port})

    def start(self):
        self.gate.write_conf()
        self.gate.workers.append(PythonWorker(self.gate))
        self.gate.start()
        self.gate.wait_backend()
        self.key = self.gate.key(self.gate.project("meters", "100000000"))

    def ask(self, path, body, answer, headers=None):
        self.answer = answer
        a = self.gate.post(path, body, self.key, headers)
        assert a.status == 200, a
        return a

    def used(self, a):
        """{meter: (units, atoms)} of one request; the report has grown by as much, name by name."""
        row = self.gate.settlement(a.headers["x-request-id"])
        assert row["amount_atoms"] == sum(amount for _, amount in row["lines"].values())
        return {METERS[m]: line for m, line in row["lines"].items()}

    def report(self):
        rows = self.gate.ask("usage", "--project", "meters")["data"]
        return {name: sum(r["usage"].get(name, 0) for r in rows) for name in METERS}


@pytest.fixture(scope="module")
def lab():
    lab = Lab()
    try:
        lab.start()
        yield lab
        lab.gate.stop()
    finally:
        lab.gate.abandon()
        lab.up.stop()


def chat_answer(usage):
    def answer(request):
        if request.get("stream"):
            return stream([event("one "), event("two"), event(finish="stop"), event(usage=usage), DONE])
        return whole({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}]})
    return answer


def tokens(prompt=50, completion=9, details=None, out=None, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    if details:
        usage["prompt_tokens_details"] = details
    if out:
        usage["completion_tokens_details"] = out
    return usage


WRITES = {"ephemeral_5m_input_tokens": 11, "ephemeral_1h_input_tokens": 7}
CHAT = {  # what is reported of a chat -> its buckets beside `requests`
    "text": (tokens(), {"input_uncached_tokens": 50, "output_text_tokens": 9}),
    "zero": (tokens(0, 0), {}),
    "zero of a part": (tokens(details={"cached_tokens": 0}, out={"reasoning_tokens": 0}),
                       {"input_uncached_tokens": 50, "output_text_tokens": 9}),
    "null is missing": (tokens(details={"cached_tokens": None}, completion=None), {"input_uncached_tokens": 50}),
    "cached": (tokens(details={"cached_tokens": 30}),
               {"input_uncached_tokens": 20, "input_cached_tokens": 30, "output_text_tokens": 9}),
    "cached, as DeepSeek has it": (tokens(prompt_cache_hit_tokens=30),
                                   {"input_uncached_tokens": 20, "input_cached_tokens": 30, "output_text_tokens": 9}),
    "cache write": (tokens(details={"cache_write_tokens": 40}),
                    {"input_uncached_tokens": 10, "input_cache_write_tokens": 40, "output_text_tokens": 9}),
    "cache writes by their life": (tokens(cache_creation=WRITES), {
        "input_uncached_tokens": 32, "input_cache_write_tokens": 11, "input_cache_write_1h_tokens": 7,
        "output_text_tokens": 9}),
    "reasoning": (tokens(out={"reasoning_tokens": 8}),
                  {"input_uncached_tokens": 50, "output_text_tokens": 1, "output_reasoning_tokens": 8}),
    "audio": (tokens(details={"audio_tokens": 45}, out={"audio_tokens": 6}), {
        "input_uncached_tokens": 5, "input_audio_tokens": 45, "output_text_tokens": 3, "output_audio_tokens": 6}),
    "image": (tokens(details={"image_tokens": 44}, out={"image_tokens": 5}), {
        "input_uncached_tokens": 6, "input_image_tokens": 44, "output_text_tokens": 4, "output_image_tokens": 5}),
    "film": (tokens(details={"video_tokens": 43}),
             {"input_uncached_tokens": 7, "input_video_tokens": 43, "output_text_tokens": 9}),
    "film by its length": (tokens(video_duration=12.5),
                           {"input_uncached_tokens": 50, "video_ms": 12500, "output_text_tokens": 9}),
    "all of them": (tokens(100, 50, {"cached_tokens": 10, "cache_write_tokens": 20, "image_tokens": 15, "video_tokens": 12,
                                     "audio_tokens": 13}, {"reasoning_tokens": 20, "image_tokens": 4, "audio_tokens": 6}),
                    {"input_uncached_tokens": 30, "input_cached_tokens": 10, "input_cache_write_tokens": 20,
                     "input_image_tokens": 15, "input_video_tokens": 12, "input_audio_tokens": 13,
                     "output_text_tokens": 20, "output_reasoning_tokens": 20, "output_image_tokens": 4,
                     "output_audio_tokens": 6}),
}


def check(lab, a, expected, before):
    lines = lab.used(a)
    assert {name: qty for name, (qty, _) in lines.items()} == expected
    assert {name: amount for name, (_, amount) in lines.items()} == {
        name: atoms(*PRICE[name], qty) for name, qty in expected.items()}
    after = lab.report()
    assert {n: after[n] - before[n] for n in METERS if after[n] != before[n]} == expected


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("what", CHAT)
def test_chat(lab, what, streamed):
    usage, expected = CHAT[what]
    before = lab.report()
    a = lab.ask("/v1/chat/completions", {"model": "base/chat", "stream": streamed, "max_tokens": 100, "messages": [
        {"role": "user", "content": "x" * 200}]}, chat_answer(usage))
    check(lab, a, {"requests": 1, **expected}, before)


def test_length_of_film_is_held_for(lab):
    """Beyond video_ms_max nothing is charged, as nothing was held for it."""
    before = lab.report()
    a = lab.ask("/v1/chat/completions", {"model": "base/chat", "max_tokens": 100, "messages": [
        {"role": "user", "content": "x"}]}, chat_answer({"video_duration": 601}))
    check(lab, a, {"requests": 1, "video_ms": 600_000}, before)


LIST = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
PICTURE = {"created": 1, "data": [{"b64_json": "AAAA"}] * 2}
SOUND = 200, {"Content-Type": "audio/x", "Content-Length": "4"}, [b"\\0\\1\\2\\3"[:4]]
JSON_OF = {
    "embeddings": ("/v1/embeddings", {"model": "base/embed", "input": "x" * 99},
                   whole({**LIST, "usage": {"prompt_tokens": 12, "total_tokens": 12}}), {"input_uncached_tokens": 12}),
    "embeddings by the total": ("/v1/embeddings", {"model": "base/embed", "input": "x" * 99},
                                whole({**LIST, "usage": {"total_tokens": 13}}), {"input_uncached_tokens": 13}),
    "rerank": ("/v1/rerank", {"model": "base/embed", "query": "x" * 50, "documents": ["a"]},
               whole({"results": [], "usage": {"total_tokens": 14}}), {"input_uncached_tokens": 14}),
    "moderation": ("/v1/moderations", {"model": "base/embed", "input": "x" * 50},
                   whole({"results": [], "usage": {"total_tokens": 15}}), {"input_uncached_tokens": 15}),
    "images by their number": ("/v1/images/generations", {"model": "base/draw", "prompt": "x", "n": 2},
                               whole({**PICTURE}), {"images": 2}),
    "images by tokens": ("/v1/images/generations", {"model": "base/draw", "prompt": "x" * 99, "n": 2}, whole(
        {**PICTURE, "usage": {"input_tokens": 50, "output_tokens": 0,
                              "input_tokens_details": {"image_tokens": 40, "text_tokens": 10}}}),
        {"images": 2, "input_uncached_tokens": 10, "input_image_tokens": 40}),
    "characters": ("/v1/audio/speech", {"model": "base/say", "input": "\u00e9t\u00e9 \U0001F600", "voice": "v"}, SOUND,
                   {"characters": 5}),
    "tensor elements": ("/v2/models/base/tensors/infer", {"inputs": [
        {"name": "A", "datatype": "INT32", "shape": [2, 3], "data": [1] * 6},
        {"name": "B", "datatype": "INT32", "shape": [4], "data": [1] * 4}]}, whole({"outputs": []}),
        {"tensor_elements": 10}),
}


@pytest.mark.parametrize("what", JSON_OF)
def test_other_endpoints(lab, what):
    path, body, answer, expected = JSON_OF[what]
    before = lab.report()
    a = lab.ask(path, body, answer)
    lines = lab.used(a)
    lines.pop("compute_ms", None)  # the wall time of infer: test_wall_time
    assert {name: qty for name, (qty, _) in lines.items()} == expected
    assert all(amount == atoms(*PRICE[name], qty) for name, (qty, amount) in lines.items())
    after = lab.report()
    assert {n: after[n] - before[n] for n in expected} == expected


@pytest.mark.parametrize("fields, price", [
    ({"size": "1024x1024", "quality": "high"}, "0.04"), ({"size": "1024x1024", "quality": "low"}, "0.02"),
    ({"size": "1024x1024"}, "0.02"), ({"size": "512x512", "quality": "high"}, "0.01"), ({}, "0.01")])
def test_images_by_size_and_quality(lab, fields, price):
    a = lab.ask("/v1/images/generations", {"model": "base/paint", "prompt": "x", "n": 2, **fields}, whole(PICTURE))
    row = lab.gate.ledger
    with row() as db:
        from reconcile import rid_of
        lines, amount = db.execute("SELECT lines, amount_atoms FROM settlement WHERE rid = ?",
                                   (rid_of(a.headers["x-request-id"]),)).fetchone()
    assert amount == 2 * atoms(price) and json.loads(lines)[0][:2] == [METERS.index("images"), 2]


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
@pytest.mark.parametrize("answer, ms", [
    ({"text": "x", "usage": {"type": "duration", "seconds": 1.25}}, 1250), ({"text": "x", "duration": 0.75}, 750),
    ({"text": "x", "usage": {"type": "duration", "seconds": 0}}, 0), ({"text": "x"}, 1000)])
def test_sound_by_its_length(lab, path, answer, ms):
    """As it is reported, 0 too; else as the file says."""
    before = lab.report()
    a = lab.ask(f"/v1/audio/{path}", part("model", "base/hear") + part("file", wav(1000), "a.wav", "audio/wav") + END,
                whole(answer), KIND)
    check(lab, a, {"audio_ms": ms} if ms else {}, before)


WORKER = {
    "text": "input_tokens=9 output_tokens=2", "zero": "input_tokens=0 output_tokens=0",
    "cached": "input_tokens=9 input_cached_tokens=8 input_cache_write_tokens=7 output_tokens=2",
    "reasoning": "input_tokens=9 output_tokens=2 output_reasoning_tokens=6",
    "sound and pictures": "input_tokens=1 input_audio_tokens=5 input_image_tokens=4 output_tokens=2"
                          " output_audio_tokens=3 output_image_tokens=9",
    "film and time": "input_tokens=1 output_tokens=1 video_ms=1234 compute_ms=77",
}
NAMES = {"input_tokens": "input_uncached_tokens", "output_tokens": "output_text_tokens"}


@pytest.mark.parametrize("what", WORKER)
def test_worker(lab, what):
    """The same by a worker's numbers, which are disjoint already."""
    before = lab.report()
    a = lab.ask("/v1/chat/completions", {"model": "base/worker", "max_tokens": 100, "messages": [
        {"role": "user", "content": f"uses {WORKER[what]}"}]}, None)
    said = {NAMES.get(n, n): int(q) for n, q in (w.split("=") for w in WORKER[what].split())}
    lines = lab.used(a)
    if "compute_ms" not in said:
        lines.pop("compute_ms", None)  # the wall time
    expected = {"requests": 1, **{n: q for n, q in said.items() if q}}
    assert {name: qty for name, (qty, _) in lines.items()} == expected
    assert all(amount == atoms(*PRICE[name], qty) for name, (qty, amount) in lines.items())
    after = lab.report()
    assert {n: after[n] - before[n] for n in expected} == expected


ROW = [{"name": name, "datatype": "INT32", "shape": [1, 16], "data": [1] * 16} for name in ("INPUT0", "INPUT1")]


def test_compute_time_as_reported(lab):
    before = lab.report()
    a = lab.ask("/v2/models/base/compute/infer", {"inputs": ROW, "parameters": {"compute_ms": 4321}}, None)
    check(lab, a, {"requests": 1, "tensor_elements": 32, "compute_ms": 4321}, before)


def test_compute_time_zero_is_a_value(lab):
    before = lab.report()
    a = lab.ask("/v2/models/base/compute/infer", {"inputs": ROW, "parameters": {"compute_ms": 0}}, None)
    check(lab, a, {"requests": 1, "tensor_elements": 32}, before)


def test_wall_time(lab):
    """Where nobody reports it, compute time is how long the backend worked."""
    status, headers, pieces = whole({"outputs": []})
    a = lab.ask("/v2/models/base/tensors/infer", {"inputs": ROW}, (status, headers, [0.25, *pieces]))
    ms, amount = lab.used(a)["compute_ms"]
    assert 250 <= ms < 60_000 and amount == atoms(*PRICE["compute_ms"], ms)
