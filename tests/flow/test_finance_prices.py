"""docs/finance.md explains each kind of price with a worked example: here they are computed again, by
the daemon's own reader and evaluator and by the rules in rational numbers."""
import re
import subprocess
import sys

import pytest
from gate import BUILD, ROOT

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import rate  # noqa: E402

PAGE = (ROOT / "docs" / "finance.md").read_text()
SECTION = PAGE.split("## What a price can be\n")[1].split("\n## ")[0]
# What a model that is asked for all of this must have a price for, when an example does not name it.
FREE = ["requests", "input_uncached_tokens", "output_text_tokens", "output_reasoning_tokens",
        "output_audio_tokens", "output_image_tokens", "images", "characters", "audio_ms"]
HEAD = """backends:
  w: {transport: shm, address: /run/w.sock}
models:
  base/m:
    capabilities: [chat, images, speech, transcription, infer]
    context_length: 1000000
    routes: [{backend: w, model: m}]
    price:
"""
FACTS = {"size", "quality", "service_tier"}
DAY_US = 24 * 3600 * 1000000


def examples():
    for part in SECTION.split("\n### ")[1:]:
        title = part.splitlines()[0]
        fence = re.search(r"```(yaml|book)\n(.*?)```", part, re.S)
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in part.splitlines() if line.startswith("|") and "---" not in line]
        if fence:
            for row in rows[1:]:
                yield pytest.param(fence[1], fence[2], dict(zip(rows[0], row)), id=f"{title}: {row[0]}")


def ask(*questions):
    done = subprocess.run([BUILD / "rate_oracle"], input="".join(questions), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def book_of(kind, text, directory):
    """(text of the book, name of its model)"""
    if kind == "book":
        return text, "m"
    named = re.findall(r"^(\w+):", text, re.M)
    path = directory / "prices.yaml"
    path.write_text(HEAD + "".join(f"      {line}\n" for line in text.splitlines())
                    + "".join(f"      {meter}: 0\n" for meter in FREE if meter not in named))
    answer = ask(f"Y {path}\n")
    assert not answer[0].startswith("error"), answer[0]
    return "\n".join(answer[1:]) + "\n", "base/m"


def read_request(cell):
    """({meter: units}, {dimension: word}, microseconds since 1970)"""
    usage, dims, when = {}, {}, 0
    for word in re.split(r", (?=[\d,]+ \w|\w+ [\w:])", cell) if cell else []:
        first, second = word.split(" ")
        if first in FACTS:
            dims[first] = second
        elif first in rate.DAYS:  # the week after the first Monday
            hour, minute = map(int, second.split(":"))
            when = (4 + rate.DAYS.index(first)) * DAY_US + (hour * 60 + minute) * 60000000
        else:
            usage[second] = int(first.replace(",", ""))
    return usage, dims, when


def before_of(prices, cell):
    usage, dims, when = read_request(cell)
    lines, _ = rate.rate(prices, usage, dims, when)
    return {(meter, item): qty for meter, item, qty, *_ in lines}


def decimal(atoms):
    return f"{atoms // 10**10}.{atoms % 10**10:010}"


@pytest.mark.parametrize("kind, text, row", list(examples()))
def test_example(kind, text, row, tmp_path):
    book, model = book_of(kind, text, tmp_path)
    prices = rate.read_book(book)[model]
    usage, dims, when = read_request(row["asked"])
    before = before_of(prices, row.get("earlier in the period", ""))
    lines, unpriced = rate.rate(prices, usage, dims, when, before)
    assert not unpriced and decimal(sum(line[4] for line in lines)) == row["comes to"]
    question = " ".join(["R", model, str(when), *(dims.get(d, "-") for d in ("size", "quality")),
                         dims.get("service_tier", "standard"), ",".join(f"{m}={n}" for m, n in usage.items()),
                         ",".join(f"{m}/{i}={n}" for (m, i), n in before.items()) or "-"]) + "\n"
    answer = ask(f"B {len(book)}\n{book}", question)[1].split(" ")
    bill = [line.split("/") for line in answer[0].split(",") if line != "-"]
    assert decimal(sum(int(line[4]) for line in bill)) == row["comes to"]
    if "at the close" in row:
        [(meter, qty)] = usage.items()
        charged = lines[0][4]
        closed = ask(f"B {len(book)}\n{book}", f"C {model} {meter} 0 0 {qty} {qty} {charged}\n")[1]
        assert decimal(int(closed.split(" ")[1])) == row["at the close"]


def test_every_kind_has_its_example():
    shown = " ".join(part for part in re.findall(r"```(?:yaml|book)\n(.*?)```", SECTION, re.S))
    for word in ("unit:", "graduated:", "package:", "flat:", "included:", "volume:", "list:", "context_max:",
                 "context_min:", "size:", "quality:", "service_tier:", "time:"):
        assert word in shown
    assert len(list(examples())) >= 30
