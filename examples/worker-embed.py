#!/usr/bin/env python3
"""A real sentence-embedding model as an engine of maasgate, over shared memory.

    pip install wordllama
    python3 worker-embed.py shm:/run/maasgate/embed.sock
"""
import base64
import pathlib
import sys

import maasworker
import numpy
import wordllama

DIMENSIONS = (64, 128, 256)  # the model was trained so that the first ones alone are good, too

# Its weights come with the package; nothing is fetched.
model = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)
worker = maasworker.Worker(sys.argv[1], name="wordllama")


def refuse_unless(good, message):
    if not good:
        raise maasworker.Fail(400, message)


@worker.on("embeddings")
def embeddings(call):
    body = call.json()
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    encoding, size = body.get("encoding_format", "float"), body.get("dimensions", 256)
    refuse_unless(isinstance(texts, list) and texts and all(isinstance(t, str) and t for t in texts),
                  "input: expected a text or a list of texts, none of them empty")
    refuse_unless(encoding in ("float", "base64"), "encoding_format: expected float or base64")
    refuse_unless(size in DIMENSIONS, f"dimensions: expected one of {DIMENSIONS}")

    call.usage.input_tokens = sum(sum(text.attention_mask) for text in model.tokenize(texts))
    vectors = model.embed(texts)[:, :size]
    vectors = (vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    return {
        "object": "list", "model": call.public_model,
        "data": [{"object": "embedding", "index": n,
                  "embedding": v.tolist() if encoding == "float" else base64.b64encode(v.tobytes()).decode()}
                 for n, v in enumerate(vectors)],
        "usage": {"prompt_tokens": call.usage.input_tokens, "total_tokens": call.usage.input_tokens},
    }


worker.run()
