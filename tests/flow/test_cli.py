"""The command line as an operator types it: its manual, its mistakes, its exit codes, without a daemon and with one."""
import json
import os
import re
import subprocess

import pytest
from gate import BUILD, CATALOG, ROOT, SLOW, atoms
from reconcile import rid_of

GLOBAL = {"--json", "--socket", "--help"}
OFFLINE = {"count", "worker-test", "price key"}  # ask no daemon
NEEDED = {"price simulate": ["--month", "2026-10"], "price publish": ["--from", "30d"],
          "price withdraw": ["--for", "acme", "--from", "30d"]}
MAN = ROOT / "docs" / "man"


def maasgate(*words, program="maasgate", socket="/nonexistent/admin.sock"):
    env = {**os.environ, "MAASGATE_ADMIN": str(socket)}
    return subprocess.run([BUILD / program, *words], env=env, capture_output=True, text=True, timeout=60 * SLOW,
                          stdin=subprocess.DEVNULL, check=False)


def commands():
    """{words: (synopsis, options)} by --help of each, which is printed from the table that parses them."""
    listed = re.findall(r"^  ([a-z][a-z -]*[a-z])  +\S", maasgate("--help").stdout, re.M)
    assert len(listed) > 50
    found = {}
    for words in listed:
        text = maasgate(*words.split(), "--help").stdout
        assert text.startswith(f"usage: maasgate {words}"), text
        found[words] = (text.splitlines()[0], set(re.findall(r"^  (--[a-z-]+)", text, re.M)) - GLOBAL)
    return found


COMMANDS = commands()


def plain(line):
    """A line of a manual without its markup."""
    line = re.sub(r"^\.[A-Z]+ ", "", line)
    line = re.sub(r"\\f[A-Z]|\"", "", line).replace("\\-", "-").replace("\\(aq", "'")
    return " ".join(line.split())


def manual_entries(text):
    """{words: options} of each command that the manual tells of."""
    found, words, lines = {}, None, iter(text.splitlines())
    for line in lines:
        if line.startswith(".SH"):
            words = None
        if line != ".TP":
            continue
        head = plain(next(lines))
        if head.startswith("--"):
            found.setdefault(words, set()).update(re.findall(r"--[a-z-]+", head))
            continue
        known = [c for c in COMMANDS if f"{head} ".startswith(f"{c} ")]
        words = max(known, key=len, default=head)
        assert words not in found, f"the manual has '{words}' twice"
        found[words] = set()
    return found


def test_the_manual_has_every_command_and_option():
    text = (MAN / "maasgate.1").read_text()
    part = text[text.index(".SH COMMANDS"):text.index(".SH OPTIONS")]
    assert manual_entries(part) == {words: options for words, (_, options) in COMMANDS.items()}


@pytest.mark.parametrize("program, page", [("maasgated", "maasgated.8")])
def test_the_daemons_manual_has_every_option(program, page):
    told = set(re.findall(r"--[a-z-]+", maasgate("--help", program=program).stdout))
    text = "\n".join(plain(line) for line in (MAN / page).read_text().splitlines())
    written = set(re.findall(r"--[a-z-]+", text.split("DESCRIPTION")[0] + text.split("OPTIONS\n")[1].split("FILES\n")[0]))
    assert written - {"--help"} == told - {"--help"}


@pytest.mark.parametrize("words, part, code", [
    ([], "usage: maasgate COMMAND", 2),
    (["bogus"], "there is no command 'bogus'; see maasgate --help", 2),
    (["price"], "price lint", 2),
    (["price", "bogus"], "which of these?", 2),
    (["price", "approver"], "price approver revoke", 2),
    (["--json", "status"], "--json stands behind the command", 2),
    (["help", "bogus"], "there is no command 'bogus'", 2),
    (["key", "create"], "missing argument 'project'; see maasgate key create --help", 2),
    (["status", "extra"], "unexpected argument 'extra'", 2),
    (["status", "--bogus"], "unknown option '--bogus'", 2),
    (["status", "--json=1"], "takes no value: '--json'", 2),
    (["key", "create", "a", "--rpm", "many"], "not a whole number: 'many'", 2),
    (["key", "create", "a", "--rpm"], "needs a value: '--rpm'", 2),
    (["status"], "cannot reach the daemon at /nonexistent/admin.sock", 3),
    (["status", "--socket", "/x" * 100], "longer than a socket path can be", 3),
])
def test_a_wrong_command_line_says_what_is_wrong(words, part, code):
    done = maasgate(*words)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert part in done.stderr


def test_help_of_one_of_many_and_of_all():
    for words, part in [(["help"], "usage: maasgate COMMAND"), (["help", "key", "create"], "usage: maasgate key create"),
                        (["help", "price", "approver"], "price approver add"), (["price", "--help"], "price lint"),
                        (["-h"], "usage: maasgate COMMAND"), (["--version"], "maasgate 0.")]:
        done = maasgate(*words)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert part in done.stdout


def test_without_a_daemon_each_command_says_so(tmp_path):
    book = tmp_path / "book.yaml"
    book.write_text("price_book: b\nmodels: {}\n")
    for words, (synopsis, _) in COMMANDS.items():
        if words in OFFLINE:
            continue
        args = [str(book) if "file" in arg or arg in ("a", "b") else "2026-10" for arg in
                re.findall(r" ([a-z]+)\b(?!\])", synopsis.split(f"maasgate {words}", 1)[1])]
        args = ["1" if words == "price approve" else a for a in args]
        done = maasgate(*words.split(), *args, *NEEDED.get(words, []))
        assert done.returncode == 3, (words, args, done)
        assert done.stderr.startswith("maasgate: cannot reach the daemon at /nonexistent/admin.sock"), (words, done)
        assert done.stderr.count("\n") == 1 and done.stdout == "", (words, done)


def test_a_daemon_that_is_no_daemon(tmp_path):
    """What answers is not to be believed because it listens there."""
    import socket
    import threading
    for said in (b"", b"\n", b"{}\n", b"[1]\n", b'{"ok":true}\n', b'{"ok":true,"result":7}\n', b"\xff\xfe\n"):
        path = tmp_path / "admin.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen(1)

            def answer(server=server, said=said):
                c, _ = server.accept()
                c.recv(65536)
                c.sendall(said)
                c.close()
            t = threading.Thread(target=answer)
            t.start()
            done = maasgate("status", socket=path)
            t.join()
        assert done.returncode in (1, 3), (said, done)
        assert done.stderr.startswith("maasgate: "), (said, done)


READ = ["org list", "project list", "key list", "usage", "margin", "recounts", "models", "share list", "trial-balance",
        "document list", "price list", "price show current", "price approver list", "alert list", "archive list", "audit",
        "backend list", "backend test worker", "status", "reload", "contract list acme", "fund list acme", "invoice {month}",
        "payout {month} acme", "backup {dir}/state/b.db"]


def test_every_answer_is_json_when_asked(gate, key):
    assert gate.chat(gate.key("acme")).status == 200
    month = gate.ask("usage")["to"][:7]
    for line in READ:
        words = line.format(month=month, dir=gate.dir).split()
        done = gate.cli(*words, "--json")
        assert isinstance(json.loads(done.stdout), (dict, list)) and done.stderr == "", (words, done)
        if words[0] != "backup":
            assert gate.cli(*words).stdout.strip(), words


def test_an_answer_that_cannot_be_written_is_no_success(gate):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "maasgate", "status", "--socket", gate.socket], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 1 and "cannot write the answer" in done.stderr, done


# ---- one request by its id ----

def test_a_request_is_followed_by_its_id(make_gate):
    """Header, body, worker, bill: one id, and one command that tells all of it."""
    g = make_gate(catalog=CATALOG.replace("address: {address}", "address: {address}\n    costs: {{ngram-general: {{requests: 0.0001}}}}"))
    key = g.key("acme", label="ci")
    a = g.chat(key, "#tokens=3 x", model="industry/mining/safety")
    rid = a.headers["x-request-id"]
    told = g.ask("request", rid)
    assert a.json()["id"][-13:] == rid[-13:] and g.ask("request", a.json()["id"]) == told
    assert f'"rid":{told["rid"]},' in g.workers[0].journal.read_text() and g.ask("request", told["rid"]) == told
    bill = g.settlement(rid)
    assert told == {
        "request": rid, "rid": rid_of(rid), "state": "settled", "project": "acme", "organization": "acme", "key": key.split("-")[2][:10],
        "label": "ci", "model": "industry/mining/safety", "endpoint": bill["endpoint"], "price_version": bill["price_version"],
        "accepted_at": told["accepted_at"], "held": told["held"], "settled_at": told["settled_at"], "outcome": "ok",
        "evidence": bill["evidence"], "amount": a.headers["x-maas-cost"], "http_status": 200,
        "model_billed": "industry/mining/safety", "model_served": "industry/mining/safety", "backend": "worker",
        "first_byte_us": bill["first_byte_us"], "duration_us": bill["duration_us"],
        "usage": [{"meter": m["meter"], "quantity": m["quantity"], "amount": m["amount"]} for m in told["usage"]],
        "calls": [{"number": 1, "backend": "worker", "model": "ngram-general", "basis": told["calls"][0]["basis"],
                   "cost": "0.0001", "wasted": "0.00"}]}
    assert {m["meter"]: m["quantity"] for m in told["usage"]}["output_text_tokens"] == 3
    assert sum(atoms(m["amount"]) for m in told["usage"]) == atoms(told["amount"]) == bill["amount_atoms"]
    assert atoms(told["held"]) >= bill["amount_atoms"]
    shown = g.cli("request", rid).stdout
    assert all(part in shown for part in (rid, "settled ", "acme", "output_text_tokens", "ngram-general", told["amount"]))


def test_a_request_that_runs_and_ids_that_are_none(gate, key):
    s = gate.stream(key, "#delay=30 #tokens=200 x")
    s.read(1)
    told = gate.ask("request", s.request_id)
    assert told["state"] == "running" and "settled_at" not in told and told["held"] != "0.00"
    assert "running" in gate.cli("request", s.request_id).stdout
    s.close()
    refused = gate.chat("sk-wrong").headers["x-request-id"]
    for given, part in [(refused, "was refused before that"), ("req_0000000000001", "is not of this store"), ("req_", "is not an id"),
                        ("xreq0an9vgmhm0wx8", "is not an id"), ("req_0an9vgmhm0wxu", "is not an id"), ("", "request"),
                        ("9" * 40, "is not an id"), ("12345678901234567x", "is not an id")]:
        done = gate.cli("request", given, check=False)
        assert done.returncode == 1 and part in done.stderr, (given, done)
