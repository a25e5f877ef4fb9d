"""kill -9 at named points of the code: what was promised before the point is kept, nothing else is.

tests/faults/killer puts a breakpoint into the running daemon, the one that is shipped, and kills it
when a thread comes there.  A point is a way: functions that must be come to one after the other.
Afterwards the daemon starts again, and its ledger, the client's and the worker's journal must agree.
"""
import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess
import threading

import pytest
from gate import BUILD, SLOW, Gate, this_month, wait_until
from load import Journal
from test_kill9 import reconcile

DAEMON = BUILD / "maasgated"


@functools.cache
def symbols():
    lines = subprocess.run(["nm", DAEMON], capture_output=True, text=True, check=True).stdout.splitlines()
    return {words[2]: int(words[0], 16) for words in map(str.split, lines) if len(words) == 3}


class Killer:
    """Armed from the moment that it is made."""

    def __init__(self, gate, *way):
        self.gate, self.pid = gate, gate.daemon.pid
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        base = next(int(m.split("-")[0], 16) for m in maps if str(DAEMON.resolve()) in m)
        self.popen = subprocess.Popen([BUILD / "fault-killer", str(self.pid),
                                       *(hex(base + symbols()[name]) for name in way)],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = self.popen.stdout.readline()
        assert said == "armed\n", self.popen.communicate()[1]

    def wait(self):
        """It was killed there; a point that nobody comes to is a test that shows nothing."""
        try:
            code = self.popen.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.gate.daemon.kill()
            code = self.popen.wait()
        assert code == 0, "the daemon never came to that point"
        self.gate.daemon.popen.wait()
        self.gate.clean = False


class Client(threading.Thread):
    """One request, streamed, and what was seen of it."""

    def __init__(self, gate, key, journal, prompt):
        super().__init__(daemon=True)
        self.gate, self.key, self.journal, self.prompt = gate, key, journal, prompt
        self.events, self.whole = 0, False
        self.start()

    def run(self):
        request_id, status, usage = None, 0, None
        with contextlib.suppress(OSError, AssertionError, ValueError, IndexError):
            s = self.gate.stream(self.key, self.prompt, stream_options={"include_usage": True})
            status, request_id = s.head().status, s.request_id
            for event in s.events():
                self.events += 1
                self.whole = event == "[DONE]"
                usage = usage if self.whole else event.get("usage") or usage
        self.journal.add(request_id=request_id, status=status, complete=self.whole, usage=usage, stream=True)


@pytest.fixture(scope="module")
def mortals():
    with Gate() as g:
        g.start()
        g.mortal_key = g.key("mortal")
        g.cli("org", "create", "partner")
        g.cli("share", "set", "base/", "partner", "--basis-points", "1000")
        g.journal = Journal(g.dir / "client.journal")
        yield g


@pytest.fixture
def mortal(mortals):
    """A daemon that is killed and started again by each test."""
    if not mortals.daemon.running():
        mortals.start_daemon()
        mortals.wait_backend()
    return mortals


def rise(gate):
    """Starts again; everything agrees."""
    gate.start_daemon()
    gate.wait_backend()
    assert gate.open_holds() == 0
    audit = gate.cli("audit", check=False)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    reconcile(gate, gate.dir / "client.journal")


def newest(gate):
    """(how many holds, the outcome of the newest, what it cost, how often a worker began it)"""
    with gate.ledger() as db:
        count, rid = db.execute("SELECT count(*), max(rid) FROM request_open").fetchone()
        row = db.execute("SELECT outcome, amount_atoms FROM settlement WHERE rid = ?", (rid,)).fetchone()
    lines = map(json.loads, (gate.dir / "worker.journal").read_text().splitlines())
    return count, row["outcome"], row["amount_atoms"], sum(j["rid"] == rid and j["event"] == "start" for j in lines)


LOST, FREE, CHARGED = None, "orphan_0", "ok"
POINTS = {
    "before the commit of the hold": (["books_hold", "db_commit"], LOST, 0),
    "after the commit of the hold": (["books_hold", "books_committed"], FREE, 0),
    "before it is sent": (["books_hold", "stage_backend"], FREE, 0),
    "after it was sent": (["session_start", "session_frame"], FREE, 1),
    "at the first token": (["session_start", "stream_event"], FREE, 1),
    "in mid-stream": (["session_frame", "stream_event"] * 3, FREE, 1),
    "before the settlement": (["stage_settle"], FREE, 1),
    "before the commit of the settlement": (["books_settle", "db_commit"], FREE, 1),
    "after the commit of the settlement": (["books_settle", "books_committed"], CHARGED, 1),
    "before the end of the answer": (["books_settle", "stage_answer"], CHARGED, 1),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_request(mortal, point):
    way, outcome, started = POINTS[point]
    assert mortal.chat(mortal.mortal_key, "#tokens=2 x").status == 200
    before = mortal.settlements()
    killer = Killer(mortal, *way)
    client = Client(mortal, mortal.mortal_key, mortal.journal, "#delay=10 #tokens=20 x")
    killer.wait()
    client.join(60 * SLOW)
    assert not client.whole
    rise(mortal)
    count, found, cost, begun = newest(mortal)
    if outcome is LOST:
        assert count == len(before)
    else:
        assert (count, found, begun) == (len(before) + 1, outcome, started)
        assert (cost > 0) == (outcome == CHARGED)


def test_in_mid_checkpoint(mortal):
    for _ in range(30):
        assert mortal.chat(mortal.mortal_key, "#tokens=2 x").status == 200
    before = mortal.settlements()
    killer = Killer(mortal, "ledger_close", "db_checkpoint", *(["unixRead", "unixWrite"] * 3))
    mortal.daemon.signal(15)
    killer.wait()
    rise(mortal)
    assert mortal.settlements() == before


def test_at_the_end_of_an_orderly_stop(mortal):
    """All is settled; only the word that it is was not written."""
    assert mortal.chat(mortal.mortal_key, "#tokens=2 x").status == 200
    before = mortal.settlements()
    killer = Killer(mortal, "ledger_close", "books_mark_clean")
    mortal.daemon.signal(15)
    killer.wait()
    rise(mortal)
    assert mortal.settlements() == before


# ---- recovery ----

def die_rising(gate, *way):
    """Starts the daemon, which is killed at the end of the way; how it ended: 0, there."""
    with open(gate.dir / "maasgated.log", "ab") as log:
        return subprocess.run([BUILD / "fault-killer", "--start", *(hex(symbols()[name]) for name in way), "--",
                               DAEMON, "--config", gate.conf], env={**os.environ, **(gate.env or {})},
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60 * SLOW, check=False).returncode


RECOVERY_POINTS = {
    "before the first": ["books_adopt"],
    "between two": ["books_adopt", "books_settle"] * 2 + ["books_adopt"],
    "at the price of one": ["recover_rate", "books_adopt", "recover_rate"],
    "before the commit": ["books_adopt", "books_end", "db_commit"],
    "in the commit": ["books_adopt", "db_commit", *["unixWrite"] * 3],
    "before it is synced": ["books_adopt", "db_commit", "unixWrite", "unixSync"],
    "after the commit": ["books_adopt", "books_committed"],
}
NTH = int(os.environ.get("MAASGATE_KILL_ROUNDS", "8"))  # writes of a recovery at which it is killed


@pytest.fixture
def cut(make_gate):
    """Killed with seven streams under way, of which four were noted on the disk, and one request that is none."""
    g = make_gate(settings={"stream_checkpoint_ms": "500ms"})
    g.cut_key = g.key()
    assert g.chat(g.cut_key, "#tokens=3 x").status == 200
    streams = [g.stream(g.cut_key, f"#delay={delay} #tokens=4000 x", max_tokens=4000) for delay in (5, 7, 9, 11)]
    wait_until(lambda: noted(g) == 4, what="the notes of all four")
    worker = g.workers[-1]
    worker.signal(signal.SIGSTOP)  # of these it says nothing
    streams += [g.stream(g.cut_key, "#tokens=400 x", max_tokens=400) for _ in range(3)]
    streams += [g.stream(g.cut_key, "#tokens=400 x", max_tokens=400, stream=False)]
    wait_until(lambda: g.open_holds() == 8, what="eight holds")
    g.kill_daemon()
    worker.signal(signal.SIGCONT)
    for s in streams:
        s.close()
    return g


def noted(gate):
    with gate.ledger() as db:
        return db.execute("SELECT count(*) FROM checkpoint").fetchone()[0]


def settled_of_old(gate):
    """(rid, outcome, amount) of what was cut; boots that came to their commit."""
    with gate.ledger() as db:
        bills = [tuple(r) for r in db.execute("SELECT rid, outcome, amount_atoms FROM settlement ORDER BY rid")]
        return bills, db.execute("SELECT count(*) FROM boot").fetchone()[0]


def check_recovered(gate, notes):
    """Each of them once, as its note said, however often recovery was begun."""
    gate.start_daemon()
    gate.wait_backend()
    bills, boots = settled_of_old(gate)
    assert [outcome for _, outcome, _ in bills].count("orphan_0") == 4 and len(bills) == 9
    assert {(rid, atoms) for rid, outcome, atoms in bills if outcome == "orphan"} == notes
    assert gate.open_holds() == 0 and noted(gate) == 0
    assert gate.cli("audit", check=False).returncode == 0
    reconcile(gate, None)
    return boots


def notes_of(gate):
    with gate.ledger() as db:
        return {tuple(r) for r in db.execute("SELECT rid, amount_atoms FROM checkpoint")}


@pytest.mark.parametrize("point", RECOVERY_POINTS)
def test_recovery_that_is_killed(cut, point):
    """Three times at the same point: it is one transaction, and the last start does it."""
    way, notes = RECOVERY_POINTS[point], notes_of(cut)
    done = point in ("before it is synced", "after the commit")  # a killed program's writes are not lost
    assert die_rising(cut, *way) == 0, cut.daemon.tail()
    for _ in range(2):  # nothing is left to be adopted where it was done
        assert (die_rising(cut, "books_open", "books_committed") if done else die_rising(cut, *way)) == 0
    assert check_recovered(cut, notes) == (5 if done else 2)


@pytest.mark.timeout(900 + NTH * 10 * SLOW)
def test_recovery_that_is_killed_at_each_write(cut):
    """Of the database and its log, one after the other, each time on what the death before has left."""
    notes, deaths = notes_of(cut), 0
    for n in range(1, min(NTH, 40) + 1):
        if die_rising(cut, "books_open", *["unixWrite"] * n) != 0:
            break
        deaths += 1
    assert deaths >= min(NTH, 4)
    check_recovered(cut, notes)


# ---- documents ----

DOCUMENT_POINTS = {
    "the charges of the close": (["closing_write"], False),
    "between two charges": (["charge_add", "posting_tx", "charge_add"], False),
    "its number": (["document_number", "document_freeze"], False),
    "its postings": (["document_freeze", "posting_tx"], False),
    "its shares": (["payout_share"], False),
    "before its commit": (["payout_share", "db_commit"], False),
    "after its commit": (["payout_share", "books_committed"], True),
}


@pytest.mark.parametrize("point", DOCUMENT_POINTS)
def test_an_invoice(mortal, point):
    """It is issued whole, with the next number, or not at all; asked again it is the same one."""
    way, issued = DOCUMENT_POINTS[point]
    name = f"buyer-{list(DOCUMENT_POINTS).index(point)}"
    key = mortal.key(name)
    mortal.cli("contract", "set", name, "--fee", "12.00", "--fee-every", "year", "--reserved", "GPU,9.00,9")
    for _ in range(5):
        assert mortal.chat(key, "#tokens=9 x").status == 200
    month = this_month()
    documents = mortal.ask("document", "list")["documents"]
    killer = Killer(mortal, *way)
    assert mortal.cli("invoice", month, "--org", name, "--until-now", "--issue", check=False).returncode != 0
    killer.wait()
    rise(mortal)
    there = mortal.ask("document", "list")["documents"]
    assert len(there) == len(documents) + issued
    invoice = mortal.ask("invoice", month, "--org", name, "--issue")
    again = mortal.ask("invoice", month, "--org", name, "--issue")
    assert again["number"] == invoice["number"] and again["totals"] == invoice["totals"]
    assert {line["category"] for line in invoice["lines"]} == {"usage", "subscription", "reserved"}
    numbers = [d["number"] for d in mortal.ask("document", "list")["documents"]]
    assert len(numbers) == len(documents) + 1
    assert sorted(int(n[-6:]) for n in numbers) == list(range(1, len(numbers) + 1))
    wait_until(lambda: mortal.cli("audit", check=False).returncode == 0, what="a clean audit")
