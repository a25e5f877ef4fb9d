"""An engine on the Python binding that does what the request's text says; of test_python_worker.py.

    python_worker.py LISTEN THREADS
"""
import json
import multiprocessing
import os
import pathlib
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"))
import maasworker

worker = maasworker.Worker(sys.argv[1], name="python", threads=int(sys.argv[2]))


def note(word):
    print(word, flush=True)


def count(call, words, delay=0.0):
    call.usage.input_tokens = 1 + len(words)
    try:
        for n in range(int(words)):
            call.usage.output_tokens = n + 1
            yield f"{n} "
            time.sleep(float(delay))
    finally:
        note(f"closed after {call.usage.output_tokens}")


def raw(call, *_):
    """Events in the engine's own shape, usage event included."""
    call.usage.input_tokens, call.usage.output_tokens = 5, 2
    for text in ("a", "b"):
        call.send({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
    call.send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    call.send({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}, usage_event=True)


def whole(call, size, letter="x"):
    call.usage.input_tokens, call.usage.output_tokens = 1, 1
    return letter * int(size)


def broken(call, *_):
    call.usage.input_tokens = 3
    yield "half "
    raise KeyError("a secret of the engine")


def leaves(call, *_):
    sys.exit("the engine wants to end the process")


def refuse(call, code, *words):
    raise maasworker.Fail(int(code), " ".join(words) + " \u00e9\n")


def slow(call, seconds, *_):
    """Computes without looking up; then without an answer for a request that is cancelled."""
    call.usage.input_tokens, call.usage.output_tokens = 7, 0
    call.report()
    note("begun")
    time.sleep(float(seconds))
    note(f"cancelled {call.cancelled}")
    return "late"


def polls(call, *_):
    call.usage.input_tokens, call.usage.output_tokens = 4, 0
    note("begun")
    while not call.cancelled:
        time.sleep(0.005)
    note("saw the cancel")


def forks(call, *_):
    """A child that outlives the worker, as a pool of processes would."""
    child = multiprocessing.get_context("fork").Process(target=signal.pause, daemon=False)
    child.start()
    note(f"child {child.pid}")
    call.usage.input_tokens, call.usage.output_tokens = 1, 1
    return str(os.getpid())


def wrong(call, *_):
    call.usage.output_tokens = -4
    return "never"


def uses(call, *words):
    """Every number that a worker can report: "images=2"; what is not said stays unknown."""
    for word in words:
        name, number = word.split("=")
        setattr(call.usage, name, int(number))
    return "used"


def nothing(call, *_):
    return None


CHAT = {f.__name__: f for f in (count, raw, whole, broken, leaves, refuse, slow, polls, forks, wrong, uses,
                              nothing)}


@worker.on("chat")
def chat(call):
    name, *words = call.json()["messages"][-1]["content"].split()
    return CHAT[name](call, *words)


@worker.on("completions")
def completions(call):
    call.usage.input_tokens = len(call.json()["prompt"].split())
    for n, word in enumerate(("and ", "so ", "on")):
        call.usage.output_tokens = n + 1
        yield word


@worker.on("speech")
def speech(call):
    """A part, a pause until the test has seen it, another part."""
    call.format("audio/x-raw")
    yield b"\0\1" * 30_000
    wait = call.json().get("instructions")
    while wait and not os.path.exists(wait) and not call.cancelled:
        time.sleep(0.005)
    yield b"\2\r\n"


@worker.on("transcription")
def transcription(call):
    """What kind of body came, and the file in it, as plain text."""
    kind, _, boundary = call.content_type.partition("; boundary=")
    parts = call.body.split(b"--" + boundary.encode())
    file = next(p for p in parts if b'name="file"' in p).split(b"\r\n\r\n", 1)[1][:-2]
    model = next(p for p in parts if b'name="model"' in p).split(b"\r\n\r\n", 1)[1][:-2]
    call.usage.audio_ms = 1500
    call.format("text/plain; charset=utf-8")
    return b"%s %s %d" % (kind.encode(), model, len(file))


@worker.on("embeddings")
def embeddings(call):
    if call.json()["input"] == "None":
        return None
    call.usage.input_tokens = 2
    return {"object": "list", "model": call.public_model, "usage": {"prompt_tokens": 2, "total_tokens": 2},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]}


@worker.on("images")
def images(call):
    """Bytes as they are, in parts, larger than a frame and than the credit of a call."""
    call.usage.images = 1
    call.send(b'{"created":1,"data":[{"b64_json":"')
    for _ in range(40):
        call.send(b"AAAA" * 25_000)
    call.send(b'"}]}')


@worker.on("infer")
def infer(call):
    """The sum of two INT32 tensors, JSON or binary as they came."""
    head = json.loads(call.body[:call.header_len])
    inputs = {t["name"]: t.get("data") for t in head["inputs"]}
    if call.header_len is not None:
        numbers = struct.unpack("<32i", call.body[call.header_len:])
        inputs = {"INPUT0": numbers[:16], "INPUT1": numbers[16:]}
    total = [a + b for a, b in zip(inputs["INPUT0"], inputs["INPUT1"])]
    call.usage.tensor_elements = 32
    call.usage.compute_ms = head.get("parameters", {}).get("compute_ms")
    output = {"name": "OUTPUT0", "datatype": "INT32", "shape": [1, 16]}
    if call.header_len is None:
        return {"model_name": call.public_model, "outputs": [{**output, "data": total}]}
    head = json.dumps({"model_name": call.public_model,
                       "outputs": [{**output, "parameters": {"binary_data_size": 64}}]}).encode()
    call.format("application/octet-stream", len(head))
    return head + struct.pack("<16i", *total)


note("ready")
worker.run()
note("ended")
