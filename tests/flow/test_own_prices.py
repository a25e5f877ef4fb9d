"""Price books of organizations on the list, through the real daemon: who pays by which, from when to
when, and what the tools, the holds, the documents and the audit say of it."""
import concurrent.futures
import json
import random
import subprocess
import time

import pytest
from gate import BUILD, SLOW, Gate, this_month, wait_until
from test_archive import DAEMON, age, rows
from test_price_publish import MODELS, approver, at, publish, reconcile, until, us, write

NOTICE = {"price_source": "published", "price_notice_ms": "1s"}
LIST = """price_book: list-{0}
models:
  base/chat:
    input_uncached_tokens: 1/1M
    output_text_tokens: {0}/1M
  base/image: {{images: 0.02}}
"""
OWN = """price_book: {0}
models:
  base/chat: {{output_text_tokens: {1}}}
"""


def own(name="acme-1", output="6/1M"):
    return OWN.format(name, output)


def propose(gate, text, when, owner, *more, check=True):
    path = write(gate, text, "own.yaml")
    if check:
        return gate.ask("price", "publish", path, "--for", owner, "--from", when, *more)["draft"]
    return gate.cli("price", "publish", path, "--for", owner, "--from", when, *more, check=False)


def give(gate, text, when, owner, key):
    return gate.ask("price", "approve", propose(gate, text, when, owner), "--key-file", key)


def chat(gate, key, n=4):
    answer = gate.chat(key, f"#tokens={n} hi")
    assert answer.status == 200, answer
    return answer


def version(answer):
    return int(answer.headers["x-maas-price-version"])


def output_price(gate, key):
    return gate.get("/v1/models/base%2Fchat", key).json()["pricing"]["output_text_tokens"]


@pytest.fixture
def gate():
    with Gate(catalog=MODELS, settings=NOTICE) as g:
        g.start()
        g.ada = approver(g, "ada")
        first = publish(g, LIST.format(10), at(1), g.ada)
        until(first["effective"])
        g.acme, g.zeta = g.key("acme"), g.key("zeta")
        yield g
        reconcile(g)


@pytest.mark.short
def test_an_organization_pays_by_its_own_book(gate):
    done = give(gate, own(), at(1), "acme", gate.ada)
    assert done["for"] == "acme"
    until(done["effective"])
    mine, theirs = chat(gate, gate.acme), chat(gate, gate.zeta)
    assert version(mine) != version(theirs)
    assert float(theirs.headers["x-maas-cost"]) > float(mine.headers["x-maas-cost"])
    price = output_price(gate, gate.acme)
    assert price == {"amount": "6.00", "per": 1000000, "unit": "token", "list": {"amount": "10.00", "per": 1000000}}
    assert output_price(gate, gate.zeta)["amount"] == "10.00"
    rows = gate.ask("price", "list")["data"]
    assert [(r["for"], r["state"], r["price_book"]) for r in rows] == [
        ("acme", "in force", "acme-1"), ("", "in force", "list-10")]
    with gate.ledger() as db:
        lines = dict(db.execute("SELECT price_version, lines FROM settlement").fetchall())
        text = db.execute("SELECT text FROM price_version WHERE id = ?", (version(mine),)).fetchone()[0]
    assert "base/chat output_text_tokens unit 60000000000/1000000 list=100000000000/1000000\n" in text
    assert "base/chat input_uncached_tokens 10000000000/1000000\n" in text and "base/image images 200000000/1\n" in text
    tokens = next(line[1] for line in json.loads(lines[version(mine)]) if isinstance(line, list) and line[0] == 4)
    assert [4, tokens, tokens * 60000] in json.loads(lines[version(mine)])


def test_the_list_goes_on_below_and_a_book_ends(gate):
    """The list changes, then the book is withdrawn: each request has what its moment says."""
    one = give(gate, own(), at(1), "acme", gate.ada)
    until(one["effective"])
    assert output_price(gate, gate.acme)["amount"] == "6.00"
    two = publish(gate, LIST.format(20).replace("0.02", "0.05"), at(1), gate.ada)
    draft = gate.ask("price", "withdraw", "--for", "acme", "--from", at(2))["draft"]
    end = gate.ask("price", "approve", draft, "--key-file", gate.ada)
    until(two["effective"])
    prices = gate.get("/v1/models", gate.acme).json()["data"]
    images = next(m for m in prices if m["id"] == "base/image")["pricing"]["images"]
    assert images["amount"] == "0.05"
    assert output_price(gate, gate.acme)["list"]["amount"] == "20.00"
    mine = chat(gate, gate.acme)
    until(end["effective"])
    after = chat(gate, gate.acme)
    assert version(after) == version(chat(gate, gate.zeta)) != version(mine)
    assert output_price(gate, gate.acme)["amount"] == "20.00"
    refused = gate.cli("price", "withdraw", "--for", "acme", "--from", at(60), check=False)
    assert refused.returncode == 1 and "no price book of its own" in refused.stderr
    states = [(r["price_book"], r["state"]) for r in gate.ask("price", "list")["data"] if r["for"] == "acme"]
    assert states == [("the list", "in force"), ("acme-1", "past")]


def test_what_is_refused(gate):
    def says(text, why, owner="acme"):
        answer = propose(gate, text, at(60), owner, check=False)
        assert answer.returncode == 1 and why in answer.stderr, answer.stderr
    says(own().replace("base/chat", "base/chap"), "unknown model 'base/chap'; did you mean 'base/chat'?")
    says(own().replace("output_text_tokens", "output_texts"), "output_texts")
    says(own().replace("base/chat: {output_text_tokens", "base/image: {requests"), "the list has no price of 'requests'")
    says(own().replace("6/1M", "{unit: 6/1M, list: 9/1M}"), "'list' has no effect in the book of an organization")
    says(own(output="[{unit: 6/1M, size: big}]"), "size")
    says("currency: EUR\n" + own(), "'EUR' is not the currency of contracts, USD")
    says("price_book: x\nmodels: {}\n", "maasgate price withdraw ends a book")
    says(own(), "there is no organization 'nobody'", owner="nobody")
    for command in (["lint"], ["simulate", "--month", "2026-11"], ["diff", "list"]):
        answer = gate.cli("price", *command, write(gate, own(), "own.yaml"), "--for", "nobody", check=False)
        assert answer.returncode == 1 and "there is no organization 'nobody'" in answer.stderr, command
    assert gate.cli("price", "withdraw", "--from", "30d", check=False).returncode == 2
    assert not [r for r in gate.ask("price", "list")["data"] if r["for"]]
    done = give(gate, own(), at(60), "acme", gate.ada)
    twin = propose(gate, own("other"), done["effective"], "acme")
    assert "just that instant" in gate.cli("price", "approve", twin, "--key-file", gate.ada, check=False).stderr
    give(gate, own(), done["effective"], "zeta", gate.ada)  # another organization's instant is its own
    alone = propose(gate, own("third"), at(90), "acme")
    assert "a second person" in gate.cli("price", "approve", alone, check=False).stderr


def test_lint_diff_show_simulate(gate):
    chat(gate, gate.acme, 5), chat(gate, gate.zeta, 5)
    path = write(gate, own(), "own.yaml")
    lint = gate.ask("price", "lint", path, "--for", "acme")
    assert (lint["price_book"], lint["models"]) == ("acme-1", 1)
    diff = gate.ask("price", "diff", "list", path, "--for", "acme")["data"]
    # what costs in the list what text does follows it: tokens of reasoning, too
    assert {(r["model"], r["meter"]) for r in diff} == {
        ("base/chat", "output_text_tokens"), ("base/chat", "output_reasoning_tokens"),
        ("base/chat", "output_audio_tokens"), ("base/chat", "output_image_tokens")}
    assert diff[0]["before"] == ["10.00 per 1000000"] and diff[0]["after"] == ["6.00 per 1000000, list 10.00 per 1000000"]
    month = this_month()
    would = gate.ask("price", "simulate", path, "--for", "acme", "--month", month)
    with gate.ledger() as db:
        tokens = [json.loads(r[0]) for r in db.execute("SELECT lines FROM settlement ORDER BY rid")]
    out = sum(line[1] for line in tokens[0] if isinstance(line, list) and line[0] == 4)
    assert would["requests"] == 1 and would["data"][0]["organization"] == "acme"
    assert round(float(would["difference"]) * 10**10) == -out * 40000
    done = give(gate, own(), at(1), "acme", gate.ada)
    until(done["effective"])
    second = write(gate, own("acme-2", "5/1M"), "second.yaml")
    before = gate.ask("price", "diff", "current", second, "--for", "acme")["data"]
    assert before[0]["before"] == ["6.00 per 1000000, list 10.00 per 1000000"]
    assert gate.cli("price", "diff", "current", path, "--for", "acme").stdout == "no price differs\n"
    assert len(gate.ask("price", "diff", "current", f"draft-{done['draft']}")["data"]) == 4
    shown = gate.ask("price", "show", "current", "--for", "acme")
    assert {"model": "base/image", "meter": "images", "price": "0.02 per 1"} in shown["data"]
    assert {"model": "base/chat", "meter": "output_text_tokens", "price": "6.00 per 1000000"} in shown["data"]
    assert len(gate.ask("price", "show", f"draft-{done['draft']}")["data"]) == 4
    assert gate.ask("price", "show", version(chat(gate, gate.acme)))["sha256"] == shown["sha256"]
    # a new list for everybody: who has a book of its own keeps it
    new = write(gate, LIST.format(30), "new.yaml")
    rows = {r["organization"]: r for r in gate.ask("price", "simulate", new, "--month", month)["data"]}
    assert float(rows["acme"]["difference"]) < 0 < float(rows["zeta"]["difference"])


def test_restart_reload_and_load(gate):
    """Requests of two organizations all the time, a book that comes and one that goes, a kill and a
    reload in between: each has exactly the version of its acceptance, which the audit asks, too."""
    one = give(gate, own("one"), at(2), "acme", gate.ada)
    two = give(gate, own("two", "[{up_to: 3, unit: 9/1M}, {unit: 3/1M}]").replace("[{up", "{graduated: [{up").replace(
        "3/1M}]", "3/1M}]}\n    output_reasoning_tokens: 1/1M\n    output_audio_tokens: 1/1M\n    output_image_tokens: 1/1M")
        .replace("base/chat: {", "base/chat:\n    ").replace("image_tokens: 1/1M}", "image_tokens: 1/1M"),
        at(4), "acme", gate.ada)
    seen = {"acme": set(), "zeta": set()}

    def work(n):
        end, name = us(two["effective"]) + 500000, ["acme", "zeta"][n % 2]
        while time.time() * 10**6 < end:
            seen[name].add(version(chat(gate, getattr(gate, name))))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    until(two["effective"])
    chat(gate, gate.acme)
    gate.kill_daemon()
    gate.start_daemon()
    gate.wait_backend()
    again = chat(gate, gate.acme)
    gate.cli("reload")
    assert version(chat(gate, gate.acme)) == version(again)
    assert len(seen["zeta"]) == 1 and len(seen["acme"]) >= 2 and one
    with gate.ledger() as db:
        own_of = dict(db.execute("SELECT price_version, own_version FROM price_layer").fetchall())
        terms = db.execute("SELECT effective_us, price_version FROM price_publication"
                           " WHERE organization <> 0 ORDER BY 1").fetchall()
        rows = db.execute("SELECT o.accepted_us, o.price_version, p.slug FROM request_open o"
                          " JOIN project p ON p.id = o.project").fetchall()
    for accepted, held, slug in rows:
        began = [v for start, v in terms if start <= accepted and slug == "acme"]
        assert own_of.get(held) == (began[-1] if began else None)
    problems = gate.ask("audit")
    assert problems["ok"]


VOLUME = """price_book: acme-volume
models:
  base/chat:
    output_text_tokens: {volume: [{up_to: 5, unit: 9/1M}, {unit: 3/1M}]}
    output_reasoning_tokens: 9/1M
    output_audio_tokens: 9/1M
    output_image_tokens: 9/1M
  base/image: {images: {flat: 1.00, per: period}}
"""


def test_documents_say_both_prices(gate):
    """A month under the list, under a volume price of its own and under the list again: every form says which
    book, and what the list asks for; what volume gives back is the organization's own."""
    month = this_month()
    chat(gate, gate.acme)
    done = give(gate, VOLUME, at(1), "acme", gate.ada)
    until(done["effective"])
    held = chat(gate, gate.acme, 9)
    image = gate.post("/v1/images/generations", {"model": "base/image", "prompt": "a"}, gate.acme)
    assert image.status == 200 and image.headers["x-maas-cost"].startswith("1.0")
    again = gate.post("/v1/images/generations", {"model": "base/image", "prompt": "a"}, gate.acme)
    assert float(again.headers["x-maas-cost"]) == 0  # once a period
    draft = gate.ask("invoice", month, "--org", "acme")
    lines = {(line["category"], line["meter"], line["price_book"]): line for line in draft["lines"]}
    listed = lines["usage", "output_text_tokens", "list-10"]
    assert "list_unit_price" not in listed and listed["unit_price"] == "10.00 per 1000000"
    mine = lines["usage", "output_text_tokens", "acme-volume"]
    assert mine["price_version"] == version(held) and mine["list_unit_price"] == "10.00 per 1000000"
    tokens = mine["quantity"]
    assert tokens > 5 and mine["exact"] == f"{tokens * 90000 / 10**10:.10f}"
    back = lines["volume", "output_text_tokens", "acme-volume"]
    assert back["exact"] == f"{tokens * 30000 / 10**10:.10f}" and back["list_unit_price"] == "10.00 per 1000000"
    flat = lines["usage", "images", "acme-volume"]
    assert flat["exact"] == "1.0000000000" and flat["list_unit_price"] == "0.02 per 1"
    below = [line for line in draft["lines"] if line["meter"] == "input_uncached_tokens"]
    assert [(line["price_book"], "list_unit_price" in line) for line in below] == [("list-10", False)] * 2
    csv = gate.cli("invoice", month, "--org", "acme", "--csv").stdout.splitlines()
    assert csv[0].endswith('"list_unit_price","price_version","price_book"')
    assert any(row.endswith(f'"10.00 per 1000000","{version(held)}","acme-volume"') for row in csv)
    html = gate.cli("invoice", month, "--org", "acme", "--html").stdout
    assert "<br>list 10.00 per 1000000" in html and f"Price book acme-volume, version {version(held)}" in html
    other = gate.ask("invoice", month, "--org", "zeta")
    assert not any("list_unit_price" in line for line in other["lines"])


def test_holds_and_budgets_are_by_the_own_book(gate):
    """A budget that the list would refuse is enough by the organization's own price, and the other way round."""
    done = give(gate, own(output="0/1M, input_uncached_tokens: 0/1M"), at(1), "acme", gate.ada)
    dear = give(gate, own(output="1000000/1M"), at(1), "zeta", gate.ada)
    until(done["effective"])
    until(dear["effective"])
    for name, budget in (("acme", "0.00000001"), ("zeta", "1.00")):
        gate.cli("project", "budget", name, budget)
    free = gate.chat(gate.acme, "#tokens=4 hi", max_tokens=64)
    assert free.status == 200 and float(free.headers["x-maas-cost"]) == 0
    refused = gate.chat(gate.zeta, "#tokens=4 hi", max_tokens=64)
    assert (refused.status, refused.code) == (429, "insufficient_quota")
    # a model that the book does not name is at list price still
    assert gate.chat(gate.zeta, "#tokens=4 hi", max_tokens=64, model="industry/mine/chat").status == 200


def test_a_crash_settles_by_the_version_held(gate):
    """A stream under a book of its own is cut by kill -9; by the next start the list holds again: what had been
    noted is billed by the version of the hold, and the audit rates it so."""
    gate.write_conf(stream_checkpoint_ms="500ms")
    gate.cli("reload")
    done = give(gate, own(), at(1), "acme", gate.ada)
    until(done["effective"])
    draft = gate.ask("price", "withdraw", "--for", "acme", "--from", at(2))["draft"]
    end = gate.ask("price", "approve", draft, "--key-file", gate.ada)
    stream = gate.stream(gate.acme, "#tokens=900 #delay=10 hi", max_tokens=1000)
    next(stream.events())
    with gate.ledger() as db:
        wait_until(lambda: db.execute("SELECT count(*) FROM checkpoint").fetchone()[0], 20, "a checkpoint")
    gate.kill_daemon()
    stream.close()
    until(end["effective"])
    gate.start_daemon()
    gate.wait_backend()
    with gate.ledger() as db:
        row = db.execute("SELECT s.outcome, s.lines, s.price_version, y.price_version AS own FROM settlement s"
                         " JOIN price_layer y ON y.price_version = s.price_version").fetchone()
    assert row["outcome"] == "orphan" and row["price_version"] == row["own"]
    tokens = next(line for line in json.loads(row["lines"]) if isinstance(line, list) and line[0] == 4)
    assert tokens[1] > 0 and tokens[2] == tokens[1] * 60000
    assert version(chat(gate, gate.acme)) == version(chat(gate, gate.zeta)) != row["own"]
    assert gate.ask("audit")["ok"]


def test_a_month_under_an_own_book_leaves(gate):
    """Its file has all that the version is made of, and is proven by itself."""
    done = give(gate, own(), at(1), "acme", gate.ada)
    until(done["effective"])
    held = version(chat(gate, gate.acme))
    chat(gate, gate.zeta)
    gate.terminate()
    age(gate, 5)
    gate.start_daemon()
    gate.wait_backend()
    with gate.ledger() as db:
        month = time.strftime("%Y-%m", time.gmtime(db.execute("SELECT min(starts_us) FROM billing_period").fetchone()[0]
                                                   // 10**6))
    for name in ("acme", "zeta"):
        gate.cli("invoice", month, "--org", name, "--issue")
    file = gate.ask("archive", month)["file"]
    proven = subprocess.run([DAEMON, "--audit", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert rows(file, "SELECT price_version FROM price_layer") == [(held,)]
    assert len(rows(file, "SELECT id FROM price_version")) == 3
    assert gate.ask("audit")["ok"]


DEAD = MODELS.replace("address: {address}}}", "address: {address}}}\n  dead: {{transport: socket, address: '127.0.0.1:1'}}").replace(
    "    fallback_to_parent: true\n    routes: [{{backend: worker", "    fallback_to_parent: true\n    routes: [{{backend: dead")


def test_the_cheaper_when_a_parent_answers(gate):
    """A model whose backends are down falls back to its parent: what is compared are the prices of who asks,
    of the parent, of the model, or of neither its own."""
    gate.write_conf(catalog=DEAD)
    gate.cli("reload")
    both = publish(gate, LIST.format(10) + "  industry/mine/chat: {input_uncached_tokens: 1/1M, output_text_tokens: 20/1M}\n",
                   at(1), gate.ada)
    until(both["effective"])
    mine = give(gate, own(output="6/1M"), at(1), "acme", gate.ada)
    theirs = give(gate, own(output="4/1M").replace("base/chat", "industry/mine/chat"), at(1), "zeta", gate.ada)
    until(mine["effective"])
    until(theirs["effective"])
    others = gate.key("others")
    billed = {}
    for name, key in (("acme", gate.acme), ("zeta", gate.zeta), ("others", others)):
        answer = gate.chat(key, "#tokens=4 hi", model="industry/mine/chat")
        assert answer.status == 200 and answer.headers["x-maas-model"] == "base/chat", answer
    with gate.ledger() as db:
        for slug, name, lines in db.execute("SELECT p.slug, n.name, s.lines FROM settlement s JOIN project p"
                                            " ON p.id = s.project JOIN name n ON n.id = s.model"):
            output = next(line for line in json.loads(lines) if isinstance(line, list) and line[0] == 4)
            billed[slug] = name, output[2] // output[1]
    assert billed == {"acme": ("base/chat", 60000), "zeta": ("industry/mine/chat", 40000), "others": ("base/chat", 100000)}


def test_kill_in_the_middle_of_a_publication(gate):
    """A book of an organization is there with all that is made of it and the list, or not at all."""
    dice = random.Random(11)
    for round_ in range(6):
        draft = propose(gate, own(f"b{round_}", f"{round_ + 1}/1M"), at(3000 + round_), "acme")
        call = subprocess.Popen([BUILD / "maasgate", "price", "approve", str(draft), "--key-file", gate.ada,
                                 "--socket", gate.socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(dice.uniform(0, 0.02))
        gate.kill_daemon()
        answered = call.communicate(timeout=60 * SLOW)[0].startswith("version")
        with gate.ledger() as db:
            published = db.execute("SELECT count(*) FROM price_publication WHERE proposal = ?", (draft,)).fetchone()[0]
            layers = db.execute("SELECT count(*) FROM price_layer y JOIN price_publication u"
                                " ON u.price_version = y.own_version WHERE u.proposal = ?", (draft,)).fetchone()[0]
        assert (published, layers) in ((0, 0), (1, 1)) and published >= answered
        gate.start_daemon()
        if not published:
            gate.ask("price", "approve", draft, "--key-file", gate.ada)
    gate.wait_backend()
    assert len([r for r in gate.ask("price", "list")["data"] if r["state"] == "scheduled"]) == 6
