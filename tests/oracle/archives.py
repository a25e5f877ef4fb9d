"""Months that have left a store, put back: in temporary tables, which come before its own by name."""
import collections
import hashlib
import json
import pathlib
import sqlite3

# What leaves, and the key of each row.  A file holds some rows that stay, too: they are the same there.
LEAVES = {"request_open": "rid", "hold_more": "rid, leg", "settlement": "rid", "recount": "rid",
          "attempt": "rid, number", "resale_hold": "rid", "resale": "rid", "ledger_tx": "tx", "ledger_entry": "tx, account"}
GONE = "kind IN ('usage', 'upstream')"


def join(db, directory, violation):
    """The tables of `db` (in a transaction) with the rows of its archives, each file compared with what is noted of it."""
    noted = list(db.execute("SELECT * FROM archive WHERE state <> 'file' ORDER BY id"))
    for table in LEAVES if noted else ():
        db.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table}")
    for archive in noted:
        path = directory / pathlib.Path(archive["file"]).name
        if not path.exists():
            path = pathlib.Path(archive["file"])
        if not path.exists():
            violation(f"archive {archive['month']}: there is no file {path}")
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != archive["sha256"]:
            violation(f"archive {archive['month']}: {path} is not the file that was recorded")
        file = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        check_extent(db, file, archive, violation)
        if archive["state"] == "done":
            check_gone(db, file, archive, violation)
            check_carried(db, file, archive, violation)
        for table in LEAVES:
            put_back(db, file, table)
        file.close()
    for table, key in LEAVES.items() if noted else ():
        for row in db.execute(f"SELECT {key} FROM temp.{table} GROUP BY {key} HAVING count(*) > 1"):
            violation(f"{table} {tuple(row)} is one row in an archive and another one here")


def put_back(db, file, table):
    """A file of an older schema has fewer columns, or not that table."""
    if not file.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
        return
    cursor = file.execute(f"SELECT * FROM {table}")
    names = ", ".join(column[0] for column in cursor.description)
    db.execute(f"CREATE TEMP TABLE arrived AS SELECT {names} FROM main.{table} LIMIT 0")
    db.executemany(f"INSERT INTO arrived VALUES ({', '.join('?' * len(cursor.description))})", cursor)
    db.execute(f"INSERT INTO temp.{table} ({names}) SELECT * FROM arrived EXCEPT SELECT {names} FROM temp.{table}")
    db.execute("DROP TABLE temp.arrived")


def check_extent(db, file, archive, violation):
    found = tuple(file.execute("SELECT count(*), min(rid), max(rid) FROM settlement").fetchone())
    if found != tuple(archive[name] for name in ("requests", "from_rid", "to_rid")):
        violation(f"archive {archive['month']}: its file has {found[0]} requests, {archive['requests']} are noted")


def check_gone(db, file, archive, violation):
    for table, rows in (("settlement", "SELECT rid FROM settlement"), ("request_open", "SELECT rid FROM request_open"),
                        ("ledger_tx", f"SELECT tx FROM ledger_tx WHERE {GONE}")):
        for (number,) in file.execute(rows):
            if db.execute(f"SELECT 1 FROM main.{table} WHERE rowid = ?", (number,)).fetchone():
                violation(f"archive {archive['month']}: {table} {number} is here as well")


def check_carried(db, file, archive, violation):
    """What the store keeps of a month for its balances and funds is what its rows come to."""
    entries = dict(file.execute(f"SELECT account, sum(atoms) FROM ledger_entry WHERE tx IN"
                                f" (SELECT tx FROM ledger_tx WHERE {GONE}) GROUP BY account"))
    draws = collections.Counter()
    resold = " UNION ALL SELECT draws FROM resale" if file.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = 'resale'").fetchone() else ""
    for (text,) in file.execute(f"SELECT draws FROM (SELECT draws FROM settlement{resold}) WHERE draws IS NOT NULL"):
        for fund, atoms in json.loads(text):
            draws[fund] += atoms
    for table, key, right in (("archived_balance", "account", entries), ("archived_draw", "fund", dict(draws))):
        kept = {r[0]: r[1] for r in db.execute(f"SELECT {key}, atoms FROM {table} WHERE archive = ?", (archive["id"],))}
        if kept != right:
            violation(f"archive {archive['month']}: {table} is {kept}, its file says {right}")
