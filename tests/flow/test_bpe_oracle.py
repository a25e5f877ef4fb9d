"""The encoder (base/bpe.h) against tiktoken: the same tokens, not only as many, for texts of every kind.

The rank files are made here: one trained on the reference worker's corpus, one tangled on purpose.
MAASGATE_RANKS=DIR adds those of cl100k_base.tiktoken, o200k_base.tiktoken and r50k_base.tiktoken that it has;
MAASGATE_TEXTS=N says how many texts of each kind (for all of Unicode there is one of each character)."""
import base64
import collections
import heapq
import os
import pathlib
import random
import struct
import subprocess
import unicodedata

import pytest
import regex
import tiktoken
from gate import BUILD, CORPUS, SLOW
from tiktoken_ext import openai_public

TEXTS = int(os.environ.get("MAASGATE_TEXTS", 6000 // SLOW))
RANKS = os.environ.get("MAASGATE_RANKS")
KNOWN = ["cl100k_base", "o200k_base", "r50k_base"]
REAL = [name for name in KNOWN if RANKS and (pathlib.Path(RANKS) / f"{name}.tiktoken").exists()]
OWN = r"\d|\p{Lu}?\p{Ll}+|[^\p{L}\d]{1,4}|\p{L}"  # leaves nothing out, but cuts elsewhere


def pattern_of(name):
    """As tiktoken has it: the ranks themselves are not loaded from anywhere."""
    loaders = ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks")
    kept = {n: getattr(openai_public, n) for n in loaders}
    try:
        for n in loaders:
            setattr(openai_public, n, lambda *args, **kw: {})
        return getattr(openai_public, name)()["pat_str"]
    finally:
        for n, function in kept.items():
            setattr(openai_public, n, function)


def train(text, size):
    """Byte-pair encoding: again and again the pair that stands most often becomes a token."""
    words = collections.Counter(regex.findall(r" ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+", text))
    pieces = [[bytes([b]) for b in word.encode()] for word in words]
    times = list(words.values())
    pairs, places = collections.Counter(), collections.defaultdict(set)

    def count(i, sign):
        for pair in zip(pieces[i], pieces[i][1:]):
            pairs[pair] += sign * times[i]
            places[pair].add(i)

    for i in range(len(pieces)):
        count(i, 1)
    ranks = {bytes([b]): b for b in range(256)}
    heap = [(-n, pair) for pair, n in pairs.items()]
    heapq.heapify(heap)
    while heap and len(ranks) < size:
        n, pair = heapq.heappop(heap)
        if pairs[pair] != -n or n == 0:
            continue
        joined = pair[0] + pair[1]
        if joined not in ranks:
            ranks[joined] = len(ranks)
        changed = set()
        for i in places.pop(pair):
            count(i, -1)
            changed.update(zip(pieces[i], pieces[i][1:]))
            out, k = [], 0
            while k < len(pieces[i]):
                both = tuple(pieces[i][k:k + 2]) == pair
                out.append(joined if both else pieces[i][k])
                k += 2 if both else 1
            pieces[i] = out
            count(i, 1)
            changed.update(zip(out, out[1:]))
        for p in changed:
            if pairs[p] > 0:
                heapq.heappush(heap, (-pairs[p], p))
    return ranks


def tangle(r, size, alphabet=b"ab \n1\xc3\xa9"):
    """Tokens that overlap in every way, with ranks in no order and holes between them."""
    tokens = [bytes([b]) for b in alphabet]
    while len(tokens) < size:
        token = r.choice(tokens) + r.choice(tokens)
        if len(token) < 40 and token not in tokens:
            tokens.append(token)
    tokens += [bytes([b]) for b in range(256) if bytes([b]) not in tokens]
    return dict(zip(tokens, r.sample(range(3 * len(tokens)), len(tokens))))


def write_ranks(path, ranks):
    path.write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % n for t, n in sorted(ranks.items(), key=lambda x: x[1])))
    return path


@pytest.fixture(scope="session")
def rank_files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    text = "".join(p.read_text() for p in sorted(CORPUS.glob("*.txt")))
    made = {"trained": train(text, 4000), "tangled": tangle(random.Random(1), 400)}
    files = {name: (write_ranks(directory / name, ranks), ranks) for name, ranks in made.items()}
    for name in REAL:
        path = pathlib.Path(RANKS) / f"{name}.tiktoken"
        rows = (line.split() for line in path.read_bytes().splitlines() if line)
        files[name] = path, {base64.b64decode(token): int(rank) for token, rank in rows}
    return files


def ours(path, pattern, texts):
    sent = b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))
    done = subprocess.run([BUILD / "bpe_oracle", path, pattern], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    at, answers = 0, []
    while at < len(done.stdout):
        n, = struct.unpack_from("<I", done.stdout, at)
        answers.append(None if n == 2**32 - 1 else list(struct.unpack_from(f"<{n}I", done.stdout, at + 4)))
        at += 4 + 4 * (0 if n == 2**32 - 1 else n)
    return answers


# ---- texts ----

def character(r):
    while True:
        code = r.choice([r.randrange(128), r.randrange(0x300), r.randrange(0x3000), r.randrange(0x10000),
                         r.randrange(0x110000), 0x4E00 + r.randrange(0x5200), 0x1F300 + r.randrange(0x300)])
        if not 0xD800 <= code < 0xE000:
            return chr(code)


SPACES = " \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u180e\u2000\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
MARKS = "\u0301\u0897\u20dd\u0e31\u0308\u1e0a\U0001E08F\U000E0100\u200d\ufe0f"
WORDS = ["don't", "I'LL", "'\u017f", "we'Ve", "'S", "it's's", "<|endoftext|>", "<|im_start|>user", "HTTPServer2", "caf\u00e9",
         "\u0130stanbul", "\u01c5", "\u00df", "\u01c8lower", "na\u00efve", "\u4f60\u597d", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
         "\U0001F468\u200d\U0001F469\u200d\U0001F467", "1234567", "\u0661\u0662", "\u2167", "x^2", "//", "/\n/", "\r\n\r\n", "a\u0301",
         "\U00016D40\U00016D43", "\U0001CCF0\U0001CCF1", "\U00031350", "\ua7cb\ua7cd", "\u1c89\u1c8a", "\u180e", "=====", "--->", "\u212a", "'\u212a"]
KINDS = {
    "random": lambda r: "".join(character(r) for _ in range(r.randrange(40))),
    "few letters": lambda r: "".join(r.choices("ab \n1\u00e9", k=r.randrange(300))),
    "spaces": lambda r: "".join(r.choices(SPACES + "a.", k=r.randrange(30))),
    "marks": lambda r: "".join(r.choices(MARKS + "aB\u4e00\u02b0 .", k=r.randrange(30))),
    "words": lambda r: "".join(r.choice(WORDS) + r.choice(["", " ", "\n", "  "]) for _ in range(r.randrange(12))),
    "cases": lambda r: "".join(r.choices("aBcD\u01c5\u02b0\u00aa\u0413\u0433'stmlvre ", k=r.randrange(40))),
    "runs": lambda r: "".join(r.choice(" a\n1.\u4e00B") * r.choice([1, 2, 3, 127, 128, 129, 130, 500]) for _ in range(r.randrange(5))),
    "code": lambda r: "".join(r.choices("\t (){}[];=+-*/<>\"'#_\n\r/0aZ", k=r.randrange(80))),
}


def every_character():
    """Of the planes that have any; the others are alike."""
    codes = [c for c in [*range(0x33480), *range(0xE0000, 0xE0200), *range(0xFFFF0, 0x100010), 0x10FFFF]
             if not 0xD800 <= c < 0xE000]
    return [chr(c) for c in codes] + [f"a{chr(c)}1{chr(c)} {chr(c)}{chr(c)}\n" for c in codes]


def compare(rank_files, ranks, pattern, texts):
    path, table = rank_files[ranks]
    expression = pattern_of(pattern) if pattern in KNOWN else pattern
    if pattern not in KNOWN:  # an expression of one's own knows the Unicode of PCRE2, and its spaces
        texts = [t for t in texts if not any(c == "\u180e" or unicodedata.category(c) == "Cn" for c in t)]
    encoding = tiktoken.Encoding("test", pat_str=expression, mergeable_ranks=table, special_tokens={})
    for text, got in zip(texts, ours(path, pattern, texts), strict=True):
        assert got == encoding.encode_ordinary(text), ascii(text[:300])


def combinations():
    files = ["trained", "tangled"]
    return [(f, p) for f in files for p in [*KNOWN, OWN]] + [(p, p) for p in REAL]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranks, pattern", combinations())
def test_texts(rank_files, ranks, pattern, kind):
    r = random.Random(f"{ranks} {pattern} {kind}")
    compare(rank_files, ranks, pattern, [KINDS[kind](r) for _ in range(TEXTS)])


@pytest.mark.parametrize("pattern", KNOWN)
def test_every_character(rank_files, pattern):
    """Alone, and between a letter, a digit and spaces; what PCRE2's Unicode does not know, too."""
    compare(rank_files, pattern if pattern in REAL else "trained", pattern, every_character()[::SLOW])


@pytest.mark.parametrize("ranks, pattern", combinations())
def test_corpus(rank_files, ranks, pattern):
    compare(rank_files, ranks, pattern, [p.read_text() for p in sorted(CORPUS.glob("*.txt"))])


@pytest.mark.parametrize("unit", ["a", "A", " ", "\n", "1", "=", "\u4e00", "\u0301", "ab", "aA", "\u02b0", "a\u0301", " \n", "\t ", "A\u0301"])
@pytest.mark.parametrize("pattern", KNOWN)
def test_long_runs(rank_files, pattern, unit):
    """The same tokens as tiktoken of a word of 100,000 bytes; of one of a megabyte in little more than
    ten times the time: what is quadratic would not end within the limit of a test."""
    size = 100_000 // SLOW
    for ranks in ("trained", "tangled"):
        compare(rank_files, ranks, pattern, [unit * (size // len(unit.encode())) + tail for tail in ("", "b", "\n")])
    path, _ = rank_files["trained"]
    long, = ours(path, pattern, [unit * (900_000 // len(unit.encode()))])
    assert long


def test_a_word_beyond_a_megabyte_is_not_counted(rank_files):
    path, _ = rank_files["trained"]
    assert ours(path, "cl100k_base", ["a" * (1 << 20), "a" * ((1 << 20) + 1)])[1] is None


def test_a_pattern_that_burns_time_gives_up(rank_files):
    path, _ = rank_files["trained"]
    assert ours(path, r"(a|aa)+$|.", ["a" * 5000 + "b"]) == [None]


def test_what_is_between_words_is_no_token(rank_files):
    path, table = rank_files["trained"]
    assert ours(path, "[a-z]", ["a, b"]) == [[table[b"a"], table[b"b"]]]
