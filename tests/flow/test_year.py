"""A random year of business: every invoice of the ledger against a second implementation.

The traffic (tests/oracle/traffic.py) drives the real ledger thread and the real closing code in a
time of its own; tests/oracle/year.py says from the same facts, in rational numbers, what each
answer must be: admissions, amounts, what funds pay, documents to the last atom, statements of
partners.  One seed is always the same, another is new each time; MAASGATE_SEED repeats one.
"""
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile

import pytest
from gate import BUILD, ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import said  # noqa: E402
import terms  # noqa: E402
import traffic  # noqa: E402

SEED = int(os.environ.get("MAASGATE_SEED", random.randrange(10**6)))
FIXED = 2027
pytestmark = pytest.mark.timeout(900 * SLOW)
ORGANIZATIONS, REQUESTS = 30, 6000 // SLOW


def live(seed):
    """A year, and where its store is; in memory, as nothing here is about disks."""
    directory = tempfile.mkdtemp(prefix="mg-year-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    lived = traffic.Traffic(BUILD / "ledger_oracle", directory, random.Random(seed), ORGANIZATIONS, REQUESTS)
    return lived.run(), directory


def replay(lived, answers=None, **more):
    return said.replay(lived.commands, answers or lived.answers, lived.digits, lived.tax_points, **more)


@pytest.fixture(scope="module", params=[FIXED, SEED], ids=["fixed", "random"])
def lived(request):
    """(the year, its store, what the second implementation makes of it)."""
    print(f"seed {request.param}")
    one, directory = live(request.param)
    try:
        yield one, directory, *replay(one), request.param
    finally:
        shutil.rmtree(directory)


@pytest.mark.short
def test_every_invoice_is_reproduced(lived):
    one, _, books, found, seed = lived
    assert not found, f"MAASGATE_SEED={seed}\n" + "\n".join(text[:2000] for text in found)
    print(f"seed {seed}: {len(one.commands)} commands, {one.rid} requests, {len(books.documents)} documents,"
          f" {sum(len(d['lines']) for d in books.documents.values())} lines, {len(books.shares)} shares")


@pytest.mark.short
def test_the_invariants_hold(lived):
    _, directory, books, _, seed = lived
    open_ones = ["--allow-open"] if books.holds else []
    done = subprocess.run([sys.executable, ROOT / "tests/oracle/invariants.py", "--db", f"{directory}/ledger.db",
                           *open_ones], capture_output=True, text=True, check=False)
    assert done.stdout == "violations: 0\n", f"MAASGATE_SEED={seed}\n{done.stdout[-4000:]}{done.stderr}"


def kinds_of(books, d):
    """What an invoice has on it, in a few words."""
    for line in d["lines"]:
        if line.get("category") == "usage":
            yield books.books[line["version"]][line["model"]][line["meter"]][line["item"]].kind
            if line["book"] != "list":
                yield "own " + books.books[line["version"]][line["model"]][line["meter"]][line["item"]].kind
            if line["covered"]:
                yield "covered"
        else:
            yield line.get("category", "credited")


@pytest.mark.short
@pytest.mark.parametrize("lived", [FIXED], ids=["fixed"], indirect=True)
def test_the_year_had_everything(lived):
    """A year without some kind of price, plan or document would prove nothing about it."""
    one, _, books, _, seed = lived
    had = {kind for d in books.documents.values() for kind in kinds_of(books, d)}
    had |= {"cut" for o in books.organizations.values() for p in o.periods if p.end % (60 * terms.US)}
    had |= {f"zone {o.zone()}" for o in books.organizations.values()}
    had |= {f"drawn {f.kind}" for o in books.organizations.values() for f in o.funds if f.drawn}
    had |= {"shared" if s[-1] > 0 else "taken back" for s in books.shares}
    had |= {"a book that ends" for name, book in books.own.values() if not book}
    had |= {a["status"] for a in one.answers} | {a["status"] for b in one.answers for a in b.get("of", [])}
    had |= {"resold" for o in books.organizations.values() if o.seller and any(p.closed for p in o.periods)}
    wanted = {"resold", "unit", "graduated", "package", "flat", "included", "covered", "subscription", "minimum", "reserved",
              "commitment", "other", "credited", "cut", "drawn promo", "drawn commit", "drawn prepaid", "shared",
              "taken back", "NO_QUOTA", "BAD_FIELD", "zone UTC", "own unit", "own graduated", "own flat", "own package",
              "own volume", "a book that ends"}
    assert wanted <= had, f"MAASGATE_SEED={seed}: it had no {wanted - had}"


def off_by_one(command, answer, digits):
    """Each way in which an answer can be wrong by the least that there is."""
    document = answer.get("document")
    if document and command["do"] in ("issue", "credit"):  # an approval shows only a draft
        for line in document["lines"][:2]:
            for name, least in (("exact", 1), ("net", 10**(10 - digits))):
                if name in line:
                    yield line, name, least
    for a in answer.get("of", []):
        if "amount" in a:
            yield a, "amount", None
        if "retail" in a:
            yield a["retail"], "amount", None


@pytest.mark.short
def test_an_atom_more_is_seen(lived):
    """Changes one atom (of what is rounded: one minor unit) in a copy, in many places: all are found."""
    one, _, _, _, seed = lived
    dice, answers, changed = random.Random(seed), list(one.answers), set()
    for at in dice.sample(range(len(answers)), len(answers) // 4):
        answer = copy.deepcopy(answers[at])
        ways = list(off_by_one(one.commands[at], answer, one.digits))
        if not ways:
            continue
        where, name, least = dice.choice(ways)
        if least is None:
            where[name] += 1
        else:
            more = terms.atoms_of(where[name]) + least
            where[name] = f"{more // 10**10}.{more % 10**10:010}"
        answers[at], _ = answer, changed.add(at)
    assert len(changed) > 50
    _, found = replay(one, answers, enough=10**9)
    assert {int(text.split()[1]) for text in found} == changed
