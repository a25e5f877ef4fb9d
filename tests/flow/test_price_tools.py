"""A price book in a file: what lint, diff and simulate say of it.  What a simulation comes to is
computed once more from the store, in rational numbers."""
import collections
import subprocess
import sys

import pytest
from gate import BUILD, ROOT, Gate, this_month
from price_lab import BACKENDS, CHAT, IMAGE, model, write

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import rate  # noqa: E402
from invariants import METERS, Store  # noqa: E402

CATALOG = ("price_book: now" + BACKENDS
           + model("base/chat", CHAT, "    price: {{input_uncached_tokens: 2/1M, output_text_tokens: 10/1M}}\n", default=True)
           + model("base/free", CHAT, "    price: {{input_uncached_tokens: 1/1M, output_text_tokens: 1/1M}}\n")
           + model("base/image", IMAGE, "    price: {{images: 0.04}}\n")
           + "  industry/mine/chat:\n    parent: base/chat\n")
BOOK = """
price_book: next
models:
  base/chat:
    requests: {flat: 0.001, per: request}
    input_uncached_tokens: 3/1M
    output_text_tokens: [{unit: 12/1M, context_max: 20, list: 20/1M}, {unit: 14/1M, context_min: 21}]
  base/free:
    input_uncached_tokens: 0
    output_text_tokens:
      - included: 10
      - graduated: [{up_to: 5, unit: 100/1M}, {unit: 50/1M}]
    output_reasoning_tokens: 0
    output_audio_tokens: 0
    output_image_tokens: 0
  base/image:
    images: 0.05
"""


@pytest.fixture(scope="module")
def gate():
    with Gate(catalog=CATALOG) as g:
        g.start()
        for project, count in (("acme", 3), ("zeta", 2)):
            key = g.key(project)
            for n in range(count):
                for name in ("base/chat", "base/free", "industry/mine/chat"):
                    words = " river" * (30 * (n % 2))
                    assert g.chat(key, f"#tokens={n + 3} hi{words}", model=name, max_tokens=40).status == 200
        image = {"model": "base/image", "prompt": "a hill", "n": 2, "size": "256x256"}
        assert g.post("/v1/images/generations", image, key).status == 200
        yield g


@pytest.mark.short
def test_lint(gate):
    said = gate.cli("price", "lint", write(gate, BOOK)).stdout
    assert said.startswith("next: ok, 4 models, ") and "sha256" in said
    here = subprocess.run([BUILD / "maasgate", "price", "lint", write(gate, BOOK), "--config", gate.conf],
                          capture_output=True, text=True)
    assert here.returncode == 0 and here.stdout.startswith("next: ok, 4 models")
    dear = BOOK.replace("input_uncached_tokens: 3/1M", "input_uncached_tokens: {unit: 0.03125/1M, list: 0.01/1M}")
    said = gate.cli("price", "lint", write(gate, dear)).stdout
    assert "off its exact amount" in said and "it is above the list price" in said


@pytest.mark.short
@pytest.mark.parametrize("change, said", [
    (("base/image:\n    images: 0.05", "base/picture:\n    images: 0.05"), "unknown model 'base/picture'; did you mean"),
    (("  base/image:\n    images: 0.05\n", ""), "'base/image' has no price in this book"),
    (("context_min: 21", "context_min: 22"), "no price holds for a request of 21 input tokens"),
    (("context_max: 20", "context_max: 20K"), "may mean a power of ten or of two"),
    (("input_uncached_tokens: 3/1M\n", "inpt: 3/1M\n"), "unknown meter 'inpt'"),
    (("input_uncached_tokens: 3/1M\n", "images: 3\n"), "has no effect: the model cannot report it"),
    (("price_book: next\n", ""), "'price_book' is missing"),
    (("price_book: next\n", "price_bok: next\n"), "did you mean 'price_book'"),
    (("models:", "- models:"), "book.yaml:3"),
])
def test_lint_names_the_mistake_here_and_there(gate, change, said):
    path = write(gate, BOOK.replace(*change))
    there = gate.cli("price", "lint", path, check=False)
    here = subprocess.run([BUILD / "maasgate", "price", "lint", path, "--config", gate.conf],
                          capture_output=True, text=True)
    assert there.returncode == here.returncode == 1
    assert said in there.stderr and said in here.stderr


def test_files_that_are_none(gate):
    assert "No such file" in gate.cli("price", "lint", gate.dir / "none", check=False).stderr
    assert "is empty" in gate.cli("price", "lint", write(gate, "", "empty"), check=False).stderr
    big = write(gate, "# " + "x" * 600000, "big")
    assert "at most 512 KiB" in gate.cli("price", "lint", big, check=False).stderr
    large = write(gate, BOOK + "# x\n" * 120000, "large")  # as JSON it is longer
    assert gate.cli("price", "lint", large).stdout.startswith("next: ok")


@pytest.mark.short
def test_diff(gate):
    path = write(gate, BOOK)
    rows = {(r["model"], r["meter"]): r for r in gate.ask("price", "diff", "current", path)["data"]}
    assert rows["base/chat", "requests"]["change"] == "added"
    assert rows["base/image", "images"] == {"model": "base/image", "meter": "images", "change": "changed",
                                            "before": ["0.04 per 1"], "after": ["0.05 per 1"]}
    assert rows["base/chat", "output_text_tokens"]["after"] == [
        "12.00 per 1000000, context=0..20, list 20.00 per 1000000", "14.00 per 1000000, context=21.."]
    back = {(r["model"], r["meter"]): r["change"] for r in gate.ask("price", "diff", path, "current")["data"]}
    assert back["base/chat", "requests"] == "removed" and back.keys() == rows.keys()
    assert gate.cli("price", "diff", path, path).stdout == "no price differs\n"
    assert gate.cli("price", "diff", "current", "current").stdout == "no price differs\n"


def by_oracle(gate):
    """{(organization, model): [requests, charged, would be]}, from the store and the rules."""
    store = Store(gate.state / "ledger.db")
    slugs = dict(store.db.execute("SELECT id, slug FROM organization"))
    rows, before = collections.defaultdict(lambda: [0, 0, 0]), collections.Counter()
    for rid, s in sorted(store.settled.items()):
        usage = collections.Counter({"requests": 1})
        for meter, qty, *_ in store.lines[rid]:
            usage[METERS[meter]] += qty if METERS[meter] != "requests" else 0
        model, organization = store.names[s["model"]], store.payer[s["project"]]
        counted = {(meter, item): n for (o, m, meter, item), n in before.items() if (o, m) == (organization, model)}
        prices = dict(PRICES[model])
        if "requests" not in prices:
            usage.pop("requests")
        lines, unpriced = rate.rate(prices, usage, {"service_tier": "standard"},
                                    store.holds[rid]["accepted_us"], counted)
        assert not unpriced
        for meter, item, qty, *_ in lines:
            before[organization, model, meter, item] += qty
        row = rows[slugs[organization], model]
        row[0] += 1
        row[1] += s["amount_atoms"]
        row[2] += sum(line[4] for line in lines)
    return dict(rows)


CHAT = {"requests": ["flat 10000000/request"], "input_uncached_tokens": ["30000000000/1000000"],
        "input_cached_tokens": ["30000000000/1000000"], "output_text_tokens": [
    "unit 120000000000/1000000 context=0..20", "unit 140000000000/1000000 context=21.."]}
PRICES = {model: {meter: [rate.Item(i) for i in items] for meter, items in prices.items()} for model, prices in {
    "base/chat": CHAT, "industry/mine/chat": CHAT, "base/image": {"images": ["500000000/1"]},
    "base/free": {"input_uncached_tokens": ["0/1"], "input_cached_tokens": ["0/1"], "output_text_tokens": [
        "included 10", "graduated 5:1000000000000/1000000,*:500000000000/1000000"]}}.items()}


def atoms(text):
    whole, _, rest = text.lstrip("-").partition(".")
    return (-1 if text.startswith("-") else 1) * (int(whole) * 10**10 + int(rest.ljust(10, "0")))


def test_simulation_agrees_with_the_oracle(gate):
    before = gate.status()["ledger"]
    answer = gate.ask("price", "simulate", write(gate, BOOK), "--month", this_month())
    right = by_oracle(gate)
    assert answer["not_rated"] == []
    assert {(r["organization"], r["model"]): [r["requests"], atoms(r["amount"]), atoms(r["would"])]
            for r in answer["data"]} == right
    assert all(atoms(r["difference"]) == atoms(r["would"]) - atoms(r["amount"]) for r in answer["data"])
    assert answer["requests"] == 16 and atoms(answer["would"]) == sum(r[2] for r in right.values())
    assert gate.status()["ledger"]["settles"] == before["settles"]  # nothing was written
    one = gate.ask("price", "simulate", write(gate, BOOK), "--month", this_month(), "--org", "zeta")
    assert one["data"] == [r for r in answer["data"] if r["organization"] == "zeta"]
    text = gate.cli("price", "simulate", write(gate, BOOK), "--month", this_month()).stdout
    assert f"{this_month()} by next: 16 requests" in text


def test_the_same_book_costs_the_same(gate):
    models = CATALOG.format(transport="shm", address="x").split("models:")[1]
    prices = {}
    for line in models.splitlines():
        if line.endswith(":") and not line.startswith("   "):
            model = line.strip(" :")
        elif "price:" in line:
            prices[model] = line.split("price: ")[1]
    same = "price_book: now\nmodels:\n" + "".join(f"  {m}: {p}\n" for m, p in prices.items())
    answer = gate.ask("price", "simulate", write(gate, same), "--month", this_month())
    assert atoms(answer["difference"]) == 0 and answer["amount"] == answer["would"] and answer["requests"] == 16
    assert gate.cli("price", "diff", "current", write(gate, same)).stdout == "no price differs\n"


@pytest.mark.parametrize("change, model, why", [
    (("images: 0.05", "images: [{unit: 0.05}, {unit: 0.09, size: 1024x1024}]"), "base/image",
     "asks for something of the request that is not stored"),
    (("images: 0.05", "images: 0.05\n    compute_ms: 0.01"), "base/image", "was not counted then"),
    (("images: 0.05", "requests: 0.05"), "base/image", "no price for something that it used"),
])
def test_what_cannot_be_rated_again_is_said_and_in_no_sum(gate, change, model, why):
    answer = gate.ask("price", "simulate", write(gate, BOOK.replace(*change)), "--month", this_month())
    [left] = answer["not_rated"]
    assert left["model"] == model and why in left["why"] and left["requests"] == 1
    assert model not in [r["model"] for r in answer["data"]] and answer["requests"] == 15
    assert "in no sum above" in gate.cli("price", "simulate", write(gate, BOOK.replace(*change)), "--month", this_month()).stdout


def test_wrong_questions(gate):
    book = write(gate, BOOK)
    assert "which month" in gate.cli("price", "simulate", book, check=False).stderr
    assert "is not a month" in gate.cli("price", "simulate", book, "--month", "May", check=False).stderr
    none = gate.cli("price", "simulate", book, "--month", this_month(), "--org", "nobody", check=False)
    assert none.returncode == 1 and "no organization 'nobody'" in none.stderr
    empty = gate.ask("price", "simulate", book, "--month", "2025-01")
    assert empty["data"] == [] and empty["requests"] == 0
    assert empty["would"] == "0.00"
