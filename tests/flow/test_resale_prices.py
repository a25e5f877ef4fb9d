"""What customers of a reseller pay: the book that was published for them, on the list; the reseller pays by its own."""
import json
from fractions import Fraction

import pytest
from gate import Gate
from test_own_prices import LIST, MODELS, NOTICE, OWN, chat, output_price, propose, version
from test_price_publish import approver, at, publish, reconcile, until
from test_resale import rows, sold_on

OUTPUT = 4
STEP = 16  # of stream_hold_tokens


def give(gate, text, owner, *more):
    done = gate.ask("price", "approve", propose(gate, text, at(1), owner, *more), "--key-file", gate.ada)
    until(done["effective"])
    return done


def legs(gate):
    """Of the last request: (atoms of a token of output, version) of both legs, and the whole amounts."""
    found = []
    for table in ("settlement", "resale"):
        (lines, amount, book), = rows(gate, f"SELECT lines, amount_atoms, price_version FROM {table}"
                                            " WHERE rid = (SELECT max(rid) FROM resale)")
        qty, atoms = next(line[1:3] for line in json.loads(lines) if isinstance(line, list) and line[0] == OUTPUT)
        found.append((atoms // qty, book, amount))
    return found


@pytest.fixture
def gate():
    with Gate(catalog=MODELS, settings={**NOTICE, "stream_hold_tokens": STEP}) as g:
        g.start()
        g.ada = approver(g, "ada")
        until(publish(g, LIST.format(10), at(1), g.ada)["effective"])
        g.buyer = sold_on(g, "taiping", "acme")
        g.direct = g.key("zeta")
        yield g
        reconcile(g)


def test_each_leg_has_its_own_book(gate):
    chat(gate, gate.buyer)
    (listed, one, _), (asked, same, _) = legs(gate)
    assert (listed, asked) == (100000, 100000) and one == same  # nobody has a book: all is the list's
    give(gate, OWN.format("taiping-1", "6/1M"), "taiping")
    mine = chat(gate, gate.buyer)
    (bought, one, _), (asked, same, _) = legs(gate)
    assert (bought, asked) == (60000, 60000) and one == same == version(mine)  # a reseller asks what it pays
    done = give(gate, OWN.format("retail-1", "15/1M"), "taiping", "--resale")
    assert done["for"] == "taiping"
    mine, other = chat(gate, gate.buyer), chat(gate, gate.direct)
    (bought, one, wholesale), (asked, book, retail) = legs(gate)
    assert (bought, asked) == (60000, 150000) and one != book == version(mine)
    assert Fraction(mine.headers["x-maas-cost"]) == Fraction(retail, 10**10) > Fraction(wholesale, 10**10)
    shown = output_price(gate, gate.buyer)
    assert shown["amount"] == "15.00", shown  # never what the reseller pays
    assert output_price(gate, gate.direct)["amount"] == "10.00" and version(other) not in (one, book)
    margin = gate.ask("margin", "--reseller", "taiping")["data"]
    assert [(r["organization"], r["model"]) for r in margin] == [("acme", "base/chat")]
    assert Fraction(margin[0]["margin"]) == Fraction(retail - wholesale, 10**10)
    kinds = {(r["price_book"], r["kind"]) for r in gate.ask("price", "list")["data"]}
    assert kinds == {("list-10", "list"), ("taiping-1", "contract"), ("retail-1", "resale")}
    draft = gate.ask("price", "withdraw", "--for", "taiping", "--resale", "--from", at(1))["draft"]
    until(gate.ask("price", "approve", draft, "--key-file", gate.ada)["effective"])
    chat(gate, gate.buyer)
    assert [leg[0] for leg in legs(gate)] == [60000, 60000]


def test_a_hold_is_at_retail_for_the_customer(gate):
    """What funds of the customer cover at wholesale is not enough at retail."""
    give(gate, OWN.format("retail-1", "1000/1M"), "taiping", "--resale")
    gate.cli("contract", "set", "acme", "--credit", "0")
    gate.cli("fund", "add", "acme", "prepaid", "0.05")
    refused = gate.chat(gate.buyer, "#tokens=4 hi", max_tokens=100)
    assert refused.status == 429 and refused.code == "insufficient_quota"
    assert rows(gate, "SELECT (SELECT count(*) FROM request_open), (SELECT count(*) FROM resale_hold)") == [(0, 0)]
    assert gate.chat(gate.buyer, "#tokens=4 hi", max_tokens=20).status == 200
    assert legs(gate)[1][0] == 10_000_000


@pytest.mark.parametrize("poor, budget", [("acme-web", "0.0015"), ("taiping:acme-web", "0.0010"), (None, None)])
def test_both_holds_grow_with_a_stream(gate, poor, budget):
    """In parts, each at its own price in one row; whichever budget has no more, there the answer ends for both."""
    give(gate, OWN.format("retail-1", "15/1M"), "taiping", "--resale")
    if poor:
        gate.cli("project", "budget", poor, budget)
    s = gate.stream(gate.buyer, "#delay=2 #tokens=200 x", max_tokens=300)
    events = s.rest()
    parts = rows(gate, "SELECT atoms, resale_atoms FROM hold_more ORDER BY leg")
    assert len(parts) > 1 and set(parts) == {(STEP * 100000, STEP * 150000)}
    (outcome, wholesale, retail, held, held_retail), = rows(
        gate, "SELECT s.outcome, s.lines, x.lines, o.hold_atoms, h.hold_atoms FROM settlement s JOIN request_open o"
              " USING (rid) JOIN resale x USING (rid) JOIN resale_hold h USING (rid)")
    units = [next(line[1] for line in json.loads(lines) if isinstance(line, list) and line[0] == OUTPUT)
             for lines in (wholesale, retail)]
    if poor:
        assert outcome == "budget_cut" and events[-1]["error"]["code"] == "insufficient_quota"
        assert units == [STEP * (1 + len(parts))] * 2 and units[0] < 200
    else:
        assert outcome == "ok" and events[-1] == "[DONE]" and units == [200, 200]
    for (_, _, amount), least, more in zip(legs(gate), (held, held_retail), zip(*parts)):
        assert amount <= least + sum(more)
    assert gate.open_holds() == 0 and gate.ask("audit")["ok"]


def test_dimensions_of_retail_alone(gate):
    """A price that only the retail book distinguishes is chosen by what the request says."""
    give(gate, """price_book: retail-2
models:
  base/chat:
    output_text_tokens:
      - {unit: 30/1M}
      - {unit: 12/1M, service_tier: flex}
""", "taiping", "--resale")
    assert gate.chat(gate.buyer, "#tokens=4 hi").status == 200 and legs(gate)[1][0] == 300000
    assert gate.chat(gate.buyer, "#tokens=4 hi", service_tier="flex").status == 200
    assert [leg[0] for leg in legs(gate)] == [100000, 120000]


@pytest.mark.parametrize("words, says", [
    (("--for", "acme"), "'acme' buys from a reseller"),
    (("--for", "acme", "--resale"), "'acme' buys from a reseller"),
    (("--resale",), "whose customers?"),
    (("--for", "nobody", "--resale"), "there is no organization 'nobody'"),
])
def test_a_book_that_would_do_nothing(gate, words, says):
    path = gate.dir / "own.yaml"
    path.write_text(OWN.format("x", "6/1M"))
    done = gate.cli("price", "publish", path, "--from", at(60), *words, check=False)
    assert done.returncode in (1, 2) and says in done.stderr, done.stderr


GONE = MODELS.replace("  worker: {{transport: {transport}, address: {address}}}\n",
                      "  worker: {{transport: {transport}, address: {address}}}\n"
                      "  gone: {{transport: {transport}, address: {address}.gone}}\n").replace(
    "    fallback_to_parent: true\n    routes: [{{backend: worker,", "    fallback_to_parent: true\n    routes: [{{backend: gone,")


def test_each_leg_has_the_cheaper_of_its_own_two(make_gate):
    """A parent answers: the reseller pays the parent's price, which is less; its customer the model's own, which is less."""
    g = make_gate(catalog=GONE, settings=NOTICE)
    g.ada = approver(g, "ada")
    until(publish(g, LIST.format(10) + "  industry/mine/chat: {input_uncached_tokens: 1/1M, output_text_tokens: 20/1M}\n",
                  at(1), g.ada)["effective"])
    key = sold_on(g, "taiping", "acme")
    give(g, """price_book: retail-3
models:
  base/chat: {output_text_tokens: 40/1M}
  industry/mine/chat: {output_text_tokens: 30/1M}
""", "taiping", "--resale")
    answer = g.chat(key, "#tokens=4 hi", "industry/mine/chat")
    assert answer.status == 200 and answer.headers["x-maas-model"] == "base/chat", answer
    assert [leg[0] for leg in legs(g)] == [100000, 300000]
    assert rows(g, "SELECT n.name, m.name FROM settlement s JOIN resale x ON x.rid = s.rid JOIN name n ON n.id = s.model"
                   " JOIN name m ON m.id = x.model") == [("base/chat", "industry/mine/chat")]
    assert g.ask("audit")["ok"]
    reconcile(g)
