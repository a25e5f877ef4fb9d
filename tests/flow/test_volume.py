"""Volume prices through the real daemon: each request at the dearest tier, the invoice gives back what
that was too much, to who paid it; computed once more in rational numbers from the store."""
import json
import sys

import pytest
from gate import ROOT, Gate, this_month
from price_lab import BACKENDS, CHAT, OTHER_OUTPUT, model

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
from invariants import METERS, Store  # noqa: E402

CATALOG = "price_book: volume" + BACKENDS + model("base/chat", CHAT, """
    price:
      input_uncached_tokens: 0
      output_text_tokens:
        volume:
          - {{up_to: 15, unit: 10.00}}
          - {{up_to: 100, unit: 5.00}}
          - {{unit: {cheap}}}""" + OTHER_OUTPUT, default=True) + """
  industry/mine/chat:
    parent: base/chat
"""


@pytest.fixture
def gate():
    with Gate(catalog=CATALOG, fields={"cheap": "3.00"}, settings={"default_budget": "100000.00"}) as g:
        g.start()
        yield g
        g.reconcile("--allow-open")


def key_of(gate, project="acme"):
    """With room for the dearest tier of all that is asked."""
    if project not in [p["slug"] for p in gate.ask("project", "list")["projects"]]:
        gate.project(project, budget="1000000.00")
    return gate.key(project)


def chat(gate, key, tokens, model="base/chat"):
    answer = gate.chat(key, f"#tokens={tokens} hi", model=model, max_tokens=tokens)
    assert answer.status == 200 and answer.json()["usage"]["completion_tokens"] == tokens
    return answer


def invoice(gate, organization, *more):
    return gate.ask("invoice", this_month(), "--org", organization, *more)


def lines_of(document):
    return [(line["category"], line["quantity"], line["net"]) for line in document["lines"]
            if line.get("meter") == "output_text_tokens"]


def balances(gate, organization):
    with gate.ledger() as db:
        return dict(db.execute("SELECT a.kind, b.posted_atoms FROM account_balance b JOIN account a ON a.id = b.account"
                               " JOIN organization o ON o.id = a.organization WHERE o.slug = ?", (organization,)))


def by_oracle(gate):
    """{organization: what its period comes to, in atoms}, from the store and the rules."""
    store = Store(gate.state / "ledger.db")
    slugs = dict(store.db.execute("SELECT id, slug FROM organization"))
    sums, total = {}, {}
    for rid, s in store.settled.items():
        for meter, qty, amount, number, _ in store.lines[rid]:
            item = store.price(s, meter)[number]
            series = slugs[store.payer[s["project"]]], s["model"], METERS[meter], item.series()
            row = sums.setdefault((*series, s["price_version"], number), [0, 0, item])
            row[0] += qty
            row[1] += amount
            total[series] = total.get(series, 0) + qty
    comes_to = {}
    for key, (qty, charged, item) in sums.items():
        _, right = item.close(0, qty, total[key[:4]], charged)
        comes_to[key[0]] = comes_to.get(key[0], 0) + min(right, charged)
    return comes_to


def issue(gate, organization):
    return invoice(gate, organization, "--issue", "--until-now")


@pytest.mark.short
def test_v17_fifteen_at_ten_and_one_more(gate):
    key = key_of(gate)
    chat(gate, key, 15)
    assert lines_of(invoice(gate, "acme")) == [("usage", 15, "150.00")]  # nothing to give back
    assert chat(gate, key, 1).headers["x-maas-cost"] == "10.00"
    draft = invoice(gate, "acme")
    assert lines_of(draft) == [("usage", 16, "160.00"), ("reversal", -16, "-160.00"), ("volume", 16, "80.00")]
    assert draft["totals"]["net"] == "80.00"
    assert [line["unit_price"] for line in draft["lines"] if line["category"] != "usage"] == [
        "10.00 per 1", "5.00 per 1"]
    done = issue(gate, "acme")
    assert lines_of(done) == lines_of(draft) and done["totals"]["gross"] == "80.00"
    left = balances(gate, "acme")
    assert left["unbilled"] == 0 and left["receivable"] == -left["revenue"] == 80 * 10**10
    assert by_oracle(gate) == {"acme": 80 * 10**10}
    html = gate.cli("document", done["number"], "--html").stdout
    assert "taken back" in html and "all units at one price" in html and "-160.00" in html
    assert '"reversal"' in gate.cli("document", done["number"], "--csv").stdout
    chat(gate, key, 2)  # the next period begins at the first tier again
    assert lines_of(invoice(gate, "acme")) == [("usage", 2, "20.00")]


def test_credit_notes_take_back_what_is_asked_for(gate):
    key = key_of(gate)
    chat(gate, key, 20)
    done = issue(gate, "acme")
    usage, reversal, volume = [line["line"] for line in done["lines"] if line.get("meter") == "output_text_tokens"]
    for line in (usage, reversal):
        wrong = gate.cli("credit-note", done["number"], "no", "--line", line, "--amount", "1.00", check=False)
        assert wrong.returncode == 1 and "taken back by the invoice itself" in wrong.stderr
    part = gate.ask("credit-note", done["number"], "a part", "--line", volume, "--amount", "10.00")
    assert part["totals"]["gross"] == "10.00"
    rest = gate.ask("credit-note", done["number"], "the rest")
    assert rest["totals"]["gross"] == "90.00"
    left = balances(gate, "acme")
    assert left["receivable"] == left["revenue"] == left["unbilled"] == 0


def test_partners_earn_of_what_is_asked_for(gate):
    gate.cli("org", "create", "builder")
    gate.cli("share", "set", "industry/mine/", "builder", "--basis-points", 3000)
    chat(gate, key_of(gate), 20, "industry/mine/chat")
    done = issue(gate, "acme")
    assert done["totals"]["net"] == "100.00"
    statement = gate.ask("payout", this_month(), "builder")
    assert statement["total"] == "30.00" and len(statement["lines"]) == 1


@pytest.mark.parametrize("kind", ["prepaid", "promo", "commit"])
def test_funds_get_back_what_they_paid_too_much(gate, kind):
    """The fund of the model pays 1000 of 1200, the other one 200; 120 at 3 are 360: 840 go back, in that
    proportion."""
    key = key_of(gate)
    gate.cli("fund", "add", "acme", kind, "400.00", "--to", "2099-01-01")
    gate.cli("fund", "add", "acme", kind, "1000.00", "--model", "base/chat", "--priority", 5)
    for _ in range(4):
        chat(gate, key, 30)
    draft = invoice(gate, "acme")
    assert lines_of(draft) == [("usage", 120, "0.00"), ("reversal", -120, "0.00"), ("volume", 120, "0.00")]
    covered = [line["covered"] for line in draft["lines"] if line.get("meter") == "output_text_tokens"]
    assert covered == ["1200.0000000000", "-1200.0000000000", "360.0000000000"]
    done = issue(gate, "acme")
    funds = gate.ask("fund", "list", "acme")["funds"]
    back = [f for f in funds if f["note"].startswith(f"given back by {done['number']}")]
    assert [f["kind"] for f in back] == [kind, kind] and [f["left"] for f in back] == ["140.00", "700.00"]
    assert [f["model"] or None for f in back] == [None, "base/chat"]
    left = balances(gate, "acme")
    bought = 1400 * 10**10 if kind == "commit" else 0
    assert left["unbilled"] == 0 and left["receivable"] == bought
    assert left["revenue"] == -360 * 10**10
    assert by_oracle(gate) == {"acme": 360 * 10**10}
    more = chat(gate, key, 10)
    assert more.headers["x-maas-cost"] == "100.00" and balances(gate, "acme")["unbilled"] == 0


def test_funds_paid_a_part(gate):
    """A fund pays 150 of 200; 20 at 5 are 100: 50 go back to it, and nothing is owed."""
    key = key_of(gate)
    gate.cli("fund", "add", "acme", "promo", "150.00")
    chat(gate, key, 20)
    draft = invoice(gate, "acme")
    assert lines_of(draft) == [("usage", 20, "50.00"), ("reversal", -20, "-50.00"), ("volume", 20, "0.00")]
    issue(gate, "acme")
    assert [f["left"] for f in gate.ask("fund", "list", "acme")["funds"]] == ["0.00", "50.00"]


def test_a_minimum_is_of_what_is_right(gate):
    """What is missing to it is counted from the 100.00 that twenty come to, not from 200.00."""
    missing = {}
    for organization in ("acme", "idle"):
        key = key_of(gate, organization)
        gate.cli("contract", "set", organization, "--minimum", "30000.00")
        if organization == "acme":
            chat(gate, key, 20)
        [line] = [line for line in invoice(gate, organization)["lines"] if line["category"] == "minimum"]
        missing[organization] = round(float(line["net"]) * 100)
    assert missing["acme"] == missing["idle"] - 10000


def test_a_new_version_goes_on_and_has_a_line_of_its_own(gate):
    """R5: the units of both versions choose the tier, each version has its own prices."""
    key = key_of(gate)
    chat(gate, key, 60)
    gate.fields["cheap"] = "2.00"
    gate.write_conf()
    gate.cli("reload")
    chat(gate, key, 60)
    lines = lines_of(invoice(gate, "acme"))
    assert lines == [("usage", 60, "600.00"), ("usage", 60, "600.00"), ("reversal", -60, "-600.00"),
                     ("volume", 60, "180.00"), ("reversal", -60, "-600.00"), ("volume", 60, "120.00")]
    issue(gate, "acme")
    assert by_oracle(gate) == {"acme": 300 * 10**10}


def test_a_simulation_closes_the_month_on_both_sides(gate):
    chat(gate, key_of(gate), 20)
    book = gate.dir / "book.yaml"
    book.write_text("price_book: next\nmodels:\n  base/chat:\n    input_uncached_tokens: 0\n    output_text_tokens:\n"
                    "      volume: [{up_to: 10, unit: 8}, {unit: 4}]\n    output_reasoning_tokens: 0\n"
                    "    output_audio_tokens: 0\n    output_image_tokens: 0\n")
    answer = gate.ask("price", "simulate", book, "--month", this_month())
    assert [(r["amount"], r["would"], r["difference"]) for r in answer["data"]] == [("100.00", "80.00", "-20.00")]
    assert json.loads(json.dumps(answer))["difference"] == "-20.00"
