"""Prices with conditions through the real daemon: which one is billed, what is held, what a client
and the operator are shown; then the audit and reconcile.py over all of it."""
import json
from fractions import Fraction

import pytest
from gate import INPUT, OUTPUT, REQUESTS, Gate, rid_of
from price_lab import BACKENDS, CHAT, IMAGE, OTHER_OUTPUT, model

IMAGES = 6
CATALOG = "price_book: bands" + BACKENDS + model("base/chat", CHAT, """
    price:
      requests: {{flat: 0.001, per: request}}
      input_uncached_tokens:
        - {{unit: 2.50/1M, context_max: 20}}
        - {{unit: 4.00/1M, context_min: 21}}
      input_cached_tokens:
        - {{unit: 2.50/1M, context_max: 20}}
        - {{unit: 4.00/1M, context_min: 21}}
      output_text_tokens:
        - {{unit: 10/1M, context_max: 20}}
        - {{unit: 16/1M, context_min: 21}}
        - {{unit: 5/1M, context_max: 20, service_tier: flex}}
        - {{unit: 8/1M, context_min: 21, service_tier: flex}}
""", default=True) + """
  domain/always/cheap:
    capabilities: [chat]
    routes: [{{backend: worker, model: ngram-general}}]
    price:
      input_uncached_tokens: 0
      output_text_tokens:
        - {{unit: 100/1M}}
        - {{unit: 1/1M, time: UTC Mon-Sun 00:00-24:00, list: 2/1M}}
""" + model("base/tiers", CHAT, """
    price:
      requests: {{flat: 0.50, per: period}}
      input_uncached_tokens: 0
      output_text_tokens:
        - {{included: 10}}
        - {{graduated: [{{up_to: 10, unit: 100/1M}}, {{unit: 60/1M}}]}}""" + OTHER_OUTPUT) + model("base/image", IMAGE, """
    price:
      images:
        - {{unit: 0.04}}
        - {{unit: 0.08, size: 512x512}}
        - {{unit: 0.12, size: 512x512, quality: hd}}
""")


@pytest.fixture(scope="module")
def gate():
    with Gate(catalog=CATALOG) as g:
        g.start()
        yield g
        g.reconcile("--allow-open")


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("prices")


def settled(gate, answer):
    """({(meter, item): (qty, atoms)}, facts, amount, held) of a request."""
    assert answer.status == 200, answer
    rid = rid_of(answer.headers["x-request-id"])
    with gate.ledger() as db:
        row = db.execute("SELECT s.lines, s.amount_atoms, o.hold_atoms FROM settlement s"
                         " JOIN request_open o ON o.rid = s.rid WHERE s.rid = ?", (rid,)).fetchone()
    lines = json.loads(row["lines"])
    facts = lines.pop() if isinstance(lines[-1], dict) else None
    return {(m, item): (qty, atoms) for m, qty, atoms, item, *_ in (x + [0] for x in lines)}, \
        facts, row["amount_atoms"], row["hold_atoms"]


def per_million(price, qty):
    return round(Fraction(price) * 10**10 * qty / 10**6)


@pytest.mark.short
@pytest.mark.parametrize("tier, item", [(None, 0), ("auto", 0), ("batch", 0), ("flex", 2)])
@pytest.mark.parametrize("words, band", [(1, 0), (40, 1)])
def test_bands_of_the_context(gate, key, words, band, tier, item):
    fields = {} if tier is None else {"service_tier": tier}
    prompt = "#tokens=5 " + " ".join(["river"] * words)
    answer = gate.chat(key, prompt, max_tokens=20, **fields)
    lines, facts, amount, held = settled(gate, answer)
    usage = answer.json()["usage"]
    assert facts == {"context": usage["prompt_tokens"],
                     "service_tier": "flex" if tier == "flex" else "standard"}
    assert (usage["prompt_tokens"] > 20) == bool(band)
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    uncached = usage["prompt_tokens"] - cached
    if uncached:
        assert lines[INPUT, band] == (uncached, per_million(["2.5", 4][band], uncached))
    prices = [10, 16, 5, 8]
    assert lines[OUTPUT, item + band] == (5, per_million(prices[item + band], 5))
    assert lines[REQUESTS, 0] == (1, 10**7)
    assert amount == sum(a for _, a in lines.values()) <= held
    assert round(Fraction(answer.headers["x-maas-cost"]) * 10**10) == amount


def test_tiers_of_a_period(gate, key):
    """Ten are included, ten are dear, the others cheap; a restart in the middle changes nothing."""
    first, used, included = True, 0, 10
    for number, count in enumerate([7, 5, 12, 1]):
        if number == 2:
            gate.terminate()
            gate.start_daemon()
            gate.wait_backend()
        answer = gate.chat(key, f"#tokens={count} hi", model="base/tiers", max_tokens=20)
        lines, _, amount, held = settled(gate, answer)
        free = min(count, max(0, included - used))
        tiers = [max(0, min(20, used + count) - max(10, used)), max(0, used + count - max(20, used))]
        expected = sum(per_million(price, n) for price, n in zip((100, 60), tiers))
        assert lines.get((OUTPUT, 0), (0, 0)) == (free, 0)
        assert lines.get((OUTPUT, 1), (0, 0)) == (count - free, expected)
        assert lines[REQUESTS, 0] == (1, 5 * 10**9 if first else 0)
        assert amount == expected + (5 * 10**9 if first else 0) <= held
        assert round(Fraction(answer.headers["x-maas-cost"]) * 10**10) == amount
        first, used = False, used + count


def test_many_at_once_are_counted_once(gate):
    """Two loops rate at the same time; the ledger counts one after the other."""
    from concurrent.futures import ThreadPoolExecutor
    key = gate.key("crowd")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: gate.chat(key, "#tokens=3 hi", model="base/tiers", max_tokens=5), range(40)))
    total = sum(settled(gate, a)[2] for a in answers)
    assert total == per_million(100, 10) + per_million(60, 100) + 5 * 10**9


def test_the_hold_is_for_the_dearest_band_that_can_be_reached(gate, key):
    """A token is at least a byte, so the body reaches the dear band: 16 a million for all output."""
    answer = gate.chat(key, "#tokens=1 hi", max_tokens=1000)
    _, _, amount, held = settled(gate, answer)
    assert held >= per_million(16, 1000) + 10**7 and amount < held


def test_hours(gate, key):
    answer = gate.chat(key, "#tokens=3 hi", model="domain/always/cheap", max_tokens=10)
    lines, facts, amount, held = settled(gate, answer)
    assert lines[OUTPUT, 1] == (3, per_million(1, 3)) and "context" in facts
    assert held == per_million(1, 10)  # the hour is known when it is held


@pytest.mark.parametrize("fields, item, price", [
    ({}, 0, "0.04"), ({"size": "256x256"}, 0, "0.04"), ({"size": "512x512"}, 1, "0.08"),
    ({"size": "512x512", "quality": "hd"}, 2, "0.12"), ({"size": "512x512", "quality": "HD"}, 1, "0.08"),
])
def test_size_and_quality(gate, key, fields, item, price):
    answer = gate.post("/v1/images/generations", {"model": "base/image", "prompt": "a hill", "n": 2, **fields}, key)
    lines, facts, amount, held = settled(gate, answer)
    assert lines[IMAGES, item] == (2, round(Fraction(price) * 10**10 * 2))
    assert facts.get("size") == fields.get("size")
    assert amount == held


def test_prices_are_shown(gate, key):
    pricing = gate.get("/v1/models/base%2Fchat", key).json()["pricing"]
    assert pricing["output_text_tokens"] == {"unit": "token", "prices": [
        {"kind": "unit", "amount": "10.00", "per": 1000000, "context_max": 20},
        {"kind": "unit", "amount": "16.00", "per": 1000000, "context_min": 21},
        {"kind": "unit", "amount": "5.00", "per": 1000000, "context_max": 20, "service_tier": "flex"},
        {"kind": "unit", "amount": "8.00", "per": 1000000, "context_min": 21, "service_tier": "flex"}]}
    assert pricing["requests"]["prices"] == [{"kind": "flat", "each": "request", "amount": "0.001", "per": 1}]
    cheap = gate.get("/v1/models/domain%2Falways%2Fcheap", key).json()["pricing"]["output_text_tokens"]
    assert cheap["prices"][1]["list"] == {"amount": "2.00", "per": 1000000}
    assert cheap["prices"][1]["time"] == "UTC Mon,Tue,Wed,Thu,Fri,Sat,Sun 00:00-24:00"
    text = gate.cli("models").stdout
    assert "16.00 per 1000000, context=21.." in text and "0.12 per 1, size=512x512 quality=hd" in text
