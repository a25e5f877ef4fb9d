#!/usr/bin/env python3
"""A small GGUF file, made here: the llama architecture with random weights.

The shapes, the tokenizer and the chat template are real; what the model says is noise, but
the same noise each time: weights come from one seed, the byte-level BPE from our own corpus.
It is for tests that need a real engine and no download; nobody can talk to it.

    tiny_gguf.py FILE
"""
import json
import pathlib
import sys

import gguf
import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = pathlib.Path(__file__).resolve().parents[3] / "backends" / "refworker" / "corpus"
SEED = 20261125
CONTEXT, VOCABULARY, WIDTH, HEADS, LAYERS, INNER = 4096, 1024, 64, 4, 2, 192
BOS, EOS = "<|begin|>", "<|end|>"
SPACE = "\u0120"  # what byte-level BPE writes for a space
NEVER = -10
# Each message ends with EOS, and so does an answer.
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n"
            "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")


def tokenizer():
    """Byte-level BPE as GPT-2 has it: any text has tokens, and no token is unknown."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train([str(f) for f in sorted(CORPUS.glob("*.txt"))], trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, EOS], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return t


def speakable(token):
    """Whole words and punctuation; not a lone byte, which is half a character, and not BOS."""
    return token == EOS or (token != BOS and token.isascii()) or token.startswith(SPACE)


def add_vocabulary(w, t):
    tokens = [t.id_to_token(i) for i in range(t.get_vocab_size())]
    merges = [" ".join(pair) for pair in json.loads(t.to_str())["model"]["merges"]]
    kinds = [gguf.TokenType.CONTROL if token in (BOS, EOS) else gguf.TokenType.NORMAL for token in tokens]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(merges)
    w.add_bos_token_id(tokens.index(BOS))
    w.add_eos_token_id(tokens.index(EOS))
    w.add_add_bos_token(False)  # the template says where it stands
    w.add_chat_template(TEMPLATE)


def add_shape(w, vocabulary):
    w.add_name("maasgate-tiny")
    w.add_description("random weights, for tests")
    w.add_context_length(CONTEXT)
    w.add_vocab_size(vocabulary)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(INNER)
    w.add_head_count(HEADS)
    w.add_head_count_kv(HEADS)
    w.add_rope_dimension_count(WIDTH // HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)


def add_weights(w, t):
    """Noise, but for the first coordinate: it is 1 in every token and nothing writes to it, so that
    the first column of the output is a bias, by which tokens are never said."""
    dice = numpy.random.Generator(numpy.random.PCG64(SEED))
    vocabulary = t.get_vocab_size()

    def matrix(name, rows, columns, first_row=None, first_column=None):
        m = (dice.standard_normal((rows, columns)) / numpy.sqrt(columns)).astype(numpy.float32)
        if first_row is not None:
            m[0, :] = first_row
        if first_column is not None:
            m[:, 0] = first_column
        w.add_tensor(name, m)

    def ones(name):
        w.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    matrix("token_embd.weight", vocabulary, WIDTH, first_column=1)
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        ones(at + "attn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v"):
            matrix(f"{at}{part}.weight", WIDTH, WIDTH)
        matrix(at + "attn_output.weight", WIDTH, WIDTH, first_row=0)
        ones(at + "ffn_norm.weight")
        matrix(at + "ffn_gate.weight", INNER, WIDTH)
        matrix(at + "ffn_up.weight", INNER, WIDTH)
        matrix(at + "ffn_down.weight", WIDTH, INNER, first_row=0)
    ones("output_norm.weight")
    said = [speakable(t.id_to_token(i)) for i in range(vocabulary)]
    matrix("output.weight", vocabulary, WIDTH, first_column=[0 if ok else NEVER for ok in said])


def write(path):
    """Writes the file whole or not at all; returns its path."""
    path = pathlib.Path(path)
    made = path.with_suffix(".new")
    t = tokenizer()
    w = gguf.GGUFWriter(made, "llama")
    add_shape(w, t.get_vocab_size())
    add_vocabulary(w, t)
    add_weights(w, t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    made.rename(path)
    return path


if __name__ == "__main__":
    print(write(sys.argv[1]))
