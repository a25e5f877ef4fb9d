"""reconcile.py bites: a store and two journals that agree, then one thing wrong at a time.

What of the store alone can be wrong is in test_invariants.py, too.
"""
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
SCHEMA = sorted((HERE.parent.parent / "billing" / "schema").glob("*.sql"))
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"

GOOD = """
INSERT INTO meta VALUES (1, 'USD', 0);
INSERT INTO boot VALUES (1, 0, 0, 0, 0);
INSERT INTO organization (id, slug, display_name, created_us) VALUES (1, 'o', 'O', 0);
INSERT INTO contract (organization, starts_us, credit_atoms, created_us) VALUES (1, 0, 9000000000000000000, 0);
INSERT INTO project (id, slug, display_name, budget_atoms, budget_period, created_us, organization)
    VALUES (1, 'p', 'P', 1000000000, 'month', 0, 1);
INSERT INTO billing_period VALUES (1, 1, 0, 2678400000000, 'UTC', 0, NULL);
INSERT INTO fund (id, organization, kind, from_us, to_us, amount_atoms, created_us)
    VALUES (1, 1, 'promo', 0, 100, 1000, 0);
UPDATE fund_balance SET drawn_atoms = 938;
INSERT INTO name VALUES (1, 'base/chat'), (2, 'box');
INSERT INTO price_version VALUES (1, 'list', 'USD', 'currency USD book list
base/chat input_uncached_tokens 312500000/1000000
base/chat output_text_tokens 100000000000/1000000
', X'SHA', 0);
INSERT INTO request_open VALUES (11, 1, 1, 1, 'chat.completions', 1, 9, 9, 1, 1000000, 0, 1),
                                (12, 1, 1, 1, 'chat.completions', 1, 9, 9, 1, 1000000, 0, 1);
INSERT INTO settlement VALUES
    (11, 5, 1, 1, 1, 1, 2, 'chat.completions', 1, 'ok', 'upstream', 200938, '[[1,3,938],[4,2,200000]]', 1, 2, 200, '[[1,938]]'),
    (12, 6, 1, 1, 1, 1, 2, 'chat.completions', 1, 'failed_pre', 'none', 0, '[]', NULL, 2, 502, NULL);
INSERT INTO usage_rollup VALUES (0, 1, 1, 1, 0, 1, 0, 1, 'chat.completions', 'standard', 0, 0, 1, 0, 0),
                                (0, 1, 1, 1, 1, 1, 0, 1, 'chat.completions', 'standard', 0, 3, 1, 938, 938),
                                (0, 1, 1, 1, 4, 1, 0, 1, 'chat.completions', 'standard', 0, 2, 0, 200000, 0);
INSERT INTO ledger_tx VALUES (1, 'usage', 5, 1, NULL);
INSERT INTO ledger_entry VALUES (1, 33, 200000), (1, 38, 938), (1, 34, -200938);
UPDATE account_balance SET posted_atoms = 200000 WHERE account = 33;
UPDATE account_balance SET posted_atoms = 938 WHERE account = 38;
UPDATE account_balance SET posted_atoms = -200938 WHERE account = 34;
INSERT INTO project_spent VALUES (1, 200938);
INSERT INTO settled_minute VALUES (0, 11, 13);
"""
BOOK = GOOD[GOOD.index("currency USD"):GOOD.index("', X'SHA'")]
GOOD = GOOD.replace("SHA", hashlib.sha256(BOOK.encode()).hexdigest())


NEXT = """
INSERT INTO price_version VALUES (2, 'next', 'USD', 'currency USD book next
', X'1392f5adecc117de8474528b808692312e374e96d712638d3fac5ff36aff14fc', 100);
INSERT INTO price_approver (name, digest, created_us, created_by) VALUES ('ada', zeroblob(32), 1, 'uid:0');
INSERT INTO price_proposal VALUES (1, 'next', 'USD', 'currency USD book next
', X'1392f5adecc117de8474528b808692312e374e96d712638d3fac5ff36aff14fc', 100, 10, 'uid:0', 'list', 0);
INSERT INTO price_publication VALUES (1, 2, 100, 80, 20, 'key:ada', 'list', 0);
"""


def text_of(rid):
    return "req_" + "".join(DIGITS[rid >> shift & 31] for shift in range(60, -5, -5))


def client(rid, status=200, complete=True, prompt=3, completion=2):
    return {"request_id": text_of(rid), "status": status, "complete": complete, "stream": False,
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion} if status == 200 else None}


def worker(rid, event, tokens=(3, 2)):
    return {"rid": rid, "event": event, "input_tokens": tokens[0], "output_tokens": tokens[1]}


CLIENTS = [client(11), client(12, 502)]
WORKERS = [worker(11, "start", (0, 0)), worker(11, "final")]


def reconcile(directory, sql="", clients=CLIENTS, workers=WORKERS):
    db = sqlite3.connect(directory / "ledger.db")
    db.executescript("".join(path.read_text() for path in SCHEMA) + GOOD)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for trigger, _ in triggers:
        db.execute(f"DROP TRIGGER {trigger}")
    db.executescript(sql)
    for _, again in triggers:
        db.execute(again)
    db.commit()
    db.close()
    command = [sys.executable, HERE / "reconcile.py", "--db", directory / "ledger.db"]
    for kind, rows in (("client", clients), ("worker", workers)):
        path = directory / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command += [f"--{kind}-journal", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == (0 if done.stdout.endswith("violations: 0\n") else 1)
    return done.stdout


def test_agreement(tmp_path):
    assert reconcile(tmp_path).endswith("violations: 0\n")


@pytest.mark.parametrize("what, sql", [
    ("never settled", "DELETE FROM settlement WHERE rid = 12"),
    ("more than was held", "UPDATE request_open SET hold_atoms = 1"),
    ("and was charged", "UPDATE settlement SET outcome = 'orphan_0' WHERE rid = 11"),
    ("3 input_uncached_tokens are 938 atoms, not 937",
     "UPDATE settlement SET amount_atoms = 200937, lines = '[[1,3,937],[4,2,200000]]' WHERE rid = 11"),
    ("its amount is", "UPDATE settlement SET amount_atoms = 1 WHERE rid = 11"),
    ("has no price", "UPDATE price_version SET text = ''"),
    ("rollup", "UPDATE usage_rollup SET qty = 4 WHERE meter = 1"),
    ("rollup", "DELETE FROM usage_rollup WHERE meter = 0"),
    ("rollup", "UPDATE usage_rollup SET endpoint = 'embeddings' WHERE meter = 1"),
    ("rollup", "UPDATE usage_rollup SET tier = 'flex' WHERE meter = 1"),
    ("rollup", "UPDATE usage_rollup SET long_context = 1 WHERE meter = 1"),
    ("sums to", "UPDATE ledger_entry SET atoms = 200939 WHERE account = 33"),
    ("settled, 0 posted", "DELETE FROM ledger_entry; DELETE FROM ledger_tx"),
    ("its balance is", "UPDATE account_balance SET posted_atoms = 0"),
    ("fund 1: 938 drawn, its balance says 937", "UPDATE fund_balance SET drawn_atoms = 937"),
    ("fund 1: 938 drawn of 900", "UPDATE fund SET amount_atoms = 900"),
    ("is not this organisation's", "UPDATE fund SET organization = 2"),
    ("project 1: it spent", "UPDATE project_spent SET atoms = 1"),
    ("funds paid", "UPDATE settlement SET draws = '[[1,300000]]' WHERE rid = 11"),
    ("of organization 1", "UPDATE settlement SET draws = NULL WHERE rid = 11"),
])
def test_the_ledger_against_itself(tmp_path, what, sql):
    assert what in reconcile(tmp_path, sql)


@pytest.mark.parametrize("what, sql", [
    (None, ""),
    ("is not what its hash is of", "UPDATE price_version SET text = 'currency USD book none\n' WHERE id = 2"),
    ("by one person alone", "UPDATE price_publication SET published_by = 'uid:0'"),
    ("no approver before it", "UPDATE price_approver SET created_us = 10"),
    ("no approver before it", "DELETE FROM price_approver"),
    ("not the version that was published", "UPDATE price_publication SET price_version = 1"),
    ("without its notice", "PRAGMA ignore_check_constraints = 1; UPDATE price_publication SET notice_us = 81"),
    ("request 11 has price version 1, but 2 was in force", "UPDATE request_open SET accepted_us = 100 WHERE rid = 11"),
])
def test_price_books_of_two_people(tmp_path, what, sql):
    said = reconcile(tmp_path, NEXT + sql)
    assert said.endswith("violations: 0\n") if what is None else what in said


@pytest.mark.parametrize("what, clients", [
    ("there is no settlement", CLIENTS + [client(13)]),
    ("the bill says failed_pre", [client(11), client(12)]),
    ("got an error 503 and was charged", [client(11, 503)]),
    ("told 4 prompt_tokens, 3 were settled", [client(11, prompt=4)]),
    ("2 answers have this id", CLIENTS + [client(11)]),
])
def test_the_ledger_against_clients(tmp_path, what, clients):
    assert what in reconcile(tmp_path, clients=clients)


@pytest.mark.parametrize("what, workers", [
    ("no worker ran it", [worker(12, "start")]),
    ("workers reported [(3, 9)]", [worker(11, "start"), worker(11, "final", (3, 9))]),
    ("workers reported []", [worker(11, "start")]),
    ("never held", WORKERS + [worker(14, "start")]),
])
def test_the_ledger_against_workers(tmp_path, what, workers):
    assert what in reconcile(tmp_path, workers=workers)


def test_what_a_kill_leaves_is_no_violation(tmp_path):
    cut = [client(11, complete=False), {"request_id": None, "status": 0, "complete": False,
                                        "usage": None, "stream": True}]
    sql = """UPDATE settlement SET outcome = 'orphan_0', evidence = 'none' WHERE rid = 12;
             UPDATE settlement SET outcome = 'client_gone' WHERE rid = 11"""
    assert reconcile(tmp_path, sql, cut, [worker(11, "start"), worker(12, "start")]).endswith("violations: 0\n")
