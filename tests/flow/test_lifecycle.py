"""Start, reload, drain, crash, restart: the life of the daemon as its operator sees it."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from gate import BUILD, CATALOG, OUTPUT, REQUESTS, ROOT, SLOW, Process, atoms, wait_until

DAEMON = BUILD / "maasgated"


def run(*words):
    return subprocess.run([DAEMON, *map(str, words)], capture_output=True, text=True, timeout=60 * SLOW)


# ---- before it serves ----

def test_version_names_its_libraries():
    done = run("--version")
    assert done.returncode == 0
    words = done.stdout.replace(",", " ").replace(")", " ").split()
    http = tuple(map(int, words[words.index("(libmicrohttpd") + 1].split(".")))
    sqlite = tuple(map(int, words[words.index("SQLite") + 1].split(".")))
    assert http >= (1, 0, 5) and sqlite >= (3, 51, 3)


def test_help_texts():
    assert "--check" in run("--help").stdout
    settings = run("--help-config").stdout
    assert all(word in settings for word in ("stream_keepalive_ms", "header_bytes_max", "state_dir"))
    assert "insufficient_quota" in run("--help-errors").stdout


@pytest.mark.parametrize("page, flag", [("settings.md", "--help-config"), ("errors.md", "--help-errors")])
def test_generated_pages_are_fresh(page, flag):
    made = run(flag, "--markdown").stdout
    assert made == (ROOT / "docs" / page).read_text(), f"docs/{page} is old: make docs"


@pytest.mark.parametrize("words", [("--nonsense",), ("--check",), ("--config",), ("--check", "a", "b")])
def test_wrong_usage(words):
    assert run(*words).returncode != 0


@pytest.fixture
def config(make_gate):
    g = make_gate(start=False)
    g.write_conf()
    return g


def test_check_accepts_what_it_serves(config):
    done = run("--check", config.conf)
    assert done.returncode == 0 and "8 models" in done.stdout


def test_the_examples_are_good(tmp_path):
    for name in ("conf/maasgate.yaml.example",):
        done = run("--check", ROOT / name)
        assert done.returncode == 0, done.stderr


BAD_FILES = {  # what is put in, what the message must hold
    "unknown-key": ("lissten: 127.0.0.1:1\n", ("lissten", "listen")),
    "twice": ("log_level: info\nlog_level: debug\n", ("log_level",)),
    "not-a-number": ("connections_max: many\n", ("many",)),
    "beyond": ("header_fields_max: 100000\n", ("100000", "1000")),
    "enum": ("log_level: loud\n", ("loud", "debug")),
    "money": ('default_budget: "1.2.3"\n', ("1.2.3",)),
    "tab": ("\tlog_level: info\n", ()),
    "anchor": ("a: &x 1\n", ()),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_check_says_where(config, name):
    text, words = BAD_FILES[name]
    lines = config.conf.read_text().count("\n")
    config.conf.write_text(config.conf.read_text() + text)
    done = run("--check", config.conf)
    assert done.returncode == 1
    place, _, _ = done.stderr.partition(": ")
    file, line, column = place.rsplit(":", 2)
    assert file == str(config.conf) and lines < int(line) <= lines + 2 and int(column) >= 1, done.stderr
    assert all(w in done.stderr for w in words), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_of_nothing(tmp_path):
    assert run("--check", tmp_path / "none.yaml").returncode == 1
    (tmp_path / "empty.yaml").write_text("")
    assert run("--check", tmp_path / "empty.yaml").returncode in (0, 1)


def test_print_config_masks_secrets(config):
    secret = config.dir / "token"
    secret.touch(0o600)
    secret.write_text("canary-of-the-upstream\n")
    config.conf.write_text(config.conf.read_text().replace("backends:", f"""backends:
  cloud:
    transport: http
    address: https://example.invalid/v1
    secret_file: {secret}
""", 1).replace("model: ngram-code}]", "model: ngram-code}, {backend: cloud, model: x}]"))
    done = run("--print-config", config.conf)
    assert done.returncode == 0, done.stderr
    assert "canary-of-the-upstream" not in done.stdout and "request_timeout_ms" in done.stdout
    again = config.dir / "again.yaml"
    again.write_text(done.stdout)
    assert run("--check", again).returncode == 0, "what it prints is a configuration"


def test_a_secret_that_all_can_read_is_refused(config):
    secret = config.dir / "token"
    secret.write_text("x\n")
    secret.chmod(0o644)
    config.conf.write_text(config.conf.read_text().replace("backends:", f"""backends:
  cloud:
    transport: http
    address: https://example.invalid/v1
    secret_file: {secret}
""", 1).replace("model: ngram-code}]", "model: ngram-code}, {backend: cloud, model: x}]"))
    done = run("--check", config.conf)
    assert done.returncode == 1 and "chmod" in done.stderr


# ---- it does not start ----

def assert_refuses(gate, *words):
    done = subprocess.run([DAEMON, "--config", gate.conf], capture_output=True, text=True, timeout=30 * SLOW)
    assert done.returncode == 1, done
    assert all(w in done.stderr for w in words), done.stderr
    assert not any(w in done.stderr for w in ("Sanitizer", "runtime error")), done.stderr


@pytest.mark.short
def test_a_second_daemon_on_the_same_state(make_gate):
    g = make_gate()
    second = g.dir / "second.yaml"
    text = g.conf.read_text().replace("admin.sock", "admin2.sock").replace(str(g.port), "0")
    second.write_text(text.replace(str(g.metrics_port), "0"))
    done = subprocess.run([DAEMON, "--config", second], capture_output=True, text=True, timeout=30 * SLOW)
    assert done.returncode == 1 and "not_started" in done.stderr, done
    assert g.chat(g.key(), "#tokens=1 x").status == 200


@pytest.mark.short
def test_a_taken_port(make_gate):
    g = make_gate(start=False)
    with socket.socket() as s:
        s.bind(("127.0.0.1", g.port))
        s.listen()
        g.write_conf()
        assert_refuses(g, "not_started")


def test_a_state_that_is_not_ours(make_gate):
    g = make_gate(start=False)
    g.write_conf()
    g.state.mkdir(mode=0o700)
    (g.state / "ledger.db").write_bytes(b"this is not a database, and long enough to be looked at " * 100)
    assert_refuses(g, "not_started")


def test_another_currency(make_gate):
    g = make_gate()
    g.terminate()
    g.write_conf(currency="EUR")
    assert_refuses(g, "not_started", "EUR")
    g.write_conf()
    g.start_daemon()


def test_a_pepper_that_changed_ends_all_keys_but_not_the_ledger(make_gate):
    g = make_gate()
    key = g.key()
    assert g.chat(key, "#tokens=1 x").status == 200
    g.terminate()
    (g.state / "pepper").write_bytes(b"another pepper of thirty-two bytes")
    g.start_daemon()
    g.wait_backend()
    assert g.chat(key, "x").status == 401
    assert g.usage("acme")[0] == 1


def test_a_pepper_that_is_missing_is_not_made_anew(make_gate):
    """It would be a start without a word, after which every key of every customer is dead."""
    g = make_gate()
    g.daemon.wait_line(f"pepper_made file={g.state}/pepper")
    key = g.key()
    g.terminate()
    (g.state / "pepper").rename(g.dir / "copy")
    assert_refuses(g, "not_started", f"put your copy of it at {g.state}/pepper")
    assert not (g.state / "pepper").exists()
    (g.dir / "copy").rename(g.state / "pepper")
    g.start_daemon()
    g.wait_backend()
    assert g.chat(key, "#tokens=1 x").status == 200
    g.cli("key", "revoke", key.split("-")[2][:10])
    g.terminate()
    (g.state / "pepper").unlink()  # nobody has a key that it would end
    g.start_daemon()


def test_a_state_directory_that_others_may_write_to(make_gate):
    g = make_gate()
    g.terminate()
    for mode in (0o777, 0o770, 0o702):
        g.state.chmod(mode)
        assert_refuses(g, "not_started", f"state_dir {g.state}: others can write to it: chmod go-w it")
    g.state.chmod(0o750)
    g.start_daemon()


# ---- reload ----

def reload_and_wait(gate, word):
    seen = gate.daemon.text().count(word)
    gate.daemon.signal(signal.SIGHUP)
    gate.daemon.wait_line(word, seen + 1)


def test_who_has_changed_what_is_in_the_log(make_gate):
    g = make_gate(worker=False)
    by = f"by_uid={os.getuid()} by_pid="
    g.cli("project", "create", "acme", "--budget", "7.00", "--name", 'a "name"\nwith a line')
    key = g.cli("key", "create", "acme", "--label", 'ci "x"').stdout.strip()
    g.cli("key", "revoke", 'acme/ci "x"')
    g.cli("backup", g.state / "b.db")
    g.cli("usage")
    g.cli("project", "create", "acme", check=False)
    g.daemon.wait_line("admin_did command=backup")
    lines = [line.split("level=info ")[1] for line in g.daemon.text().splitlines() if "admin_did" in line]
    assert [re.sub(r"by_pid=\d+", "by_pid=", line) for line in lines] == [
        f'admin_did command=project.create {by} slug="acme" budget="7.00"',
        f'admin_did command=key.create {by} project="acme" label="ci \\"x\\""',
        f'admin_did command=key.revoke {by} name="acme/ci \\"x\\""',
        f'admin_did command=backup {by} file="{g.state}/b.db"']
    assert key not in g.daemon.text()


def test_a_new_store_is_told(make_gate):
    """Where one was expected a disk is not mounted."""
    g = make_gate(worker=False)
    g.daemon.wait_line(f"store_made file={g.state}/ledger.db")
    g.terminate()
    g.start_daemon()
    assert g.daemon.text().count("store_made") == 1


def test_a_store_that_something_else_has_written_to(make_gate):
    g = make_gate(worker=False)
    g.terminate()
    with open(g.state / "ledger.db", "r+b") as f:
        f.seek(4000)
        f.write(b"12345678")
    assert_refuses(g, "not_started", "another program has written it: restore a backup")


def test_the_name_of_a_unix_socket_is_not_taken_from_others(make_gate):
    g = make_gate(start=False, worker=False, settings={})
    path = g.dir / "http.sock"
    g.write_conf(listen=f"unix:{path}")
    path.write_text("a file that somebody needs")
    assert_refuses(g, f"cannot listen on unix:{path}: something that is not a socket has that name")
    assert path.read_text() == "a file that somebody needs"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        assert_refuses(g, f"cannot listen on unix:{path}: another daemon answers there")
    g.start_daemon(ready=False)  # what is left of it is nobody's
    g.daemon.wait_line(f"listening address=unix:{path}")
    g.daemon.wait_line("ready version=")


def test_descriptors_that_run_out_are_told_and_survived(make_gate):
    """Once, with what to do, however long it lasts; then clients are served again."""
    g = make_gate(start=False, worker=False)
    g.write_conf(loop_threads=1)
    g.daemon = Process(["prlimit", "--nofile=90:90", DAEMON, "--config", g.conf], g.dir, "maasgated")
    wait_until(g.is_ready, what="the daemon")
    g.daemon.wait_line("few_descriptors limit=90 connections_max=4096 what_to_do=\"LimitNOFILE=4352, or")
    held = []
    for _ in range(120):
        held.append(socket.create_connection(("127.0.0.1", g.port), timeout=10 * SLOW))
    g.daemon.wait_line("accept_paused reason=")
    time.sleep(0.5)  # several pauses
    assert g.daemon.text().count("accept_paused") == 1
    for s in held:
        s.close()
    wait_until(g.is_ready, what="an answer")


@pytest.mark.short
def test_clients_that_are_turned_away_are_counted(make_gate):
    g = make_gate(worker=False, settings={"connections_per_ip_max": 3})
    held = [socket.create_connection(("127.0.0.1", g.port), timeout=10 * SLOW) for _ in range(5)]
    wait_until(lambda: g.metric("maasgate_connections_refused_total") >= 2, what="the count")
    for s in held:
        s.close()
    wait_until(g.is_ready, what="room")


def test_a_hangup_while_it_starts_is_a_reload(make_gate):
    """Not its end: a script that has changed the file does not look whether the daemon is ready."""
    g = make_gate(start=False, worker=False)
    pepper = g.dir / "pepper"
    os.mkfifo(pepper, 0o600)
    g.write_conf(pepper_file=pepper)
    g.start_daemon(ready=False)
    with open(pepper, "wb") as it_waits_for:
        g.daemon.signal(signal.SIGHUP)
        it_waits_for.write(b"p" * 32)
    g.daemon.wait_line("ready version=")
    g.daemon.wait_line(f"reloaded file={g.conf}")
    wait_until(g.is_ready, what="an answer")


def test_reloads_by_the_command_line_are_in_the_log(make_gate):
    g = make_gate()
    g.cli("reload")
    g.daemon.wait_line(f"reloaded file={g.conf} by_uid={os.getuid()} by_pid=")
    for change, part in [({"loop_threads": 3}, f"{g.conf}: loop_threads cannot change while running (from '2' to '3')"),
                         ({"loop_threads": "many"}, "loop_threads: 'many' is not a number")]:
        g.write_conf(**change)
        done = g.cli("reload", check=False)
        assert done.returncode == 1 and part in done.stderr, done
        g.daemon.wait_line(part)
        assert f"reload_refused nothing_changed=yes by_uid={os.getuid()} by_pid=" in g.daemon.text()
    g.write_conf()


@pytest.mark.short
def test_reload_adds_a_model_without_dropping_a_stream(make_gate):
    g = make_gate()
    key = g.key()
    s = g.stream(key, "#delay=30 #tokens=30 x")
    s.read(2)
    assert g.chat(key, "x", "base/new").status == 404
    g.write_conf(CATALOG + """
  base/new:
    capabilities: [chat]
    price: {{input_uncached_tokens: 1/1M, output_text_tokens: 1/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
""")
    reload_and_wait(g, "reloaded")
    a = g.chat(key, "#tokens=2 x", "base/new")
    assert a.status == 200, a
    assert s.rest()[-1] == "[DONE]"
    first, second = g.settlement(s.request_id), g.settlement(a.headers["x-request-id"])
    assert first["price_version"] != second["price_version"], "a price list is a version of its own"
    assert first["outcome"] == second["outcome"] == "ok"


def test_reload_changes_the_price_of_new_requests_only(make_gate):
    g = make_gate()
    key = g.key()
    s = g.stream(key, "#delay=40 #tokens=20 x")
    s.read(1)
    g.write_conf(CATALOG.replace("requests: 0.001,", "requests: 0.002,"))
    reload_and_wait(g, "reloaded")
    a = g.chat(key, "#tokens=20 x")
    assert s.rest()[-1] == "[DONE]"
    old, new = g.settlement(s.request_id), g.settlement(a.headers["x-request-id"])
    assert (old["lines"][REQUESTS][1], new["lines"][REQUESTS][1]) == (atoms("0.001"), atoms("0.002"))


@pytest.mark.short
@pytest.mark.parametrize("bad", ["nonsense: 1\n", "log_level: loud\n", "models: {}\n", "loop_threads: 1\n", "\t\n"])
def test_a_bad_file_changes_nothing(make_gate, bad):
    g = make_gate()
    key = g.key()
    text = g.conf.read_text()
    g.conf.write_text(text.replace("loop_threads: 2\n", "") + bad if bad.startswith("loop") else text + bad)
    reload_and_wait(g, "reload_refused")
    line = [x for x in g.daemon.text().splitlines() if "reload_refused" in x][-1]
    assert "nothing_changed=yes" in line
    if not bad.startswith("loop"):
        assert f"{g.conf}:" in line, line
    assert g.chat(key, "#tokens=1 x").status == 200
    done = g.cli("reload", check=False)
    assert done.returncode == 1 and done.stderr
    g.conf.write_text(text)
    assert g.cli("reload").returncode == 0


def test_reload_takes_a_model_away(make_gate):
    g = make_gate()
    key = g.key()
    assert g.post("/v1/embeddings", {"model": "base/embed", "input": "x"}, key).status == 200
    start = CATALOG.index("  base/embed:")
    g.write_conf(CATALOG[:start] + CATALOG[CATALOG.index("  base/image:"):])
    reload_and_wait(g, "reloaded")
    assert g.post("/v1/embeddings", {"model": "base/embed", "input": "x"}, key).status == 404
    assert g.usage("acme")[0] == 1


def test_many_reloads_under_load(make_gate):
    g = make_gate()
    key = g.key()
    stop, bad = threading.Event(), []

    def load():
        while not stop.is_set():
            a = g.chat(key, "#tokens=3 x")
            if a.status != 200:
                bad.append(a)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        g.write_conf(CATALOG.replace("requests: 0.001,", f"requests: 0.00{1 + i % 3},"))
        g.cli("reload")
    stop.set()
    for t in threads:
        t.join()
    assert not bad, bad[:3]


# ---- drain ----

@pytest.mark.short
def test_sigterm_lets_a_stream_end(make_gate):
    g = make_gate()
    key = g.key()
    s = g.stream(key, "#delay=40 #tokens=30 x")
    s.read(2)
    idle = socket.create_connection(("127.0.0.1", g.port))
    g.daemon.signal(signal.SIGTERM)
    g.daemon.wait_line("draining")
    with pytest.raises(OSError):
        while True:
            a = g.chat(key, "x")
            assert a.status == 503 and a.code == "draining"
    events = s.rest()
    assert events[-1] == "[DONE]"
    assert g.daemon.wait() == 0
    idle.close()
    assert g.settlement(s.request_id)["outcome"] == "ok"
    assert g.open_holds() == 0


def test_a_new_request_on_an_open_connection_while_draining(make_gate):
    import http.client
    g = make_gate()
    key = g.key()
    s = g.stream(key, "#delay=50 #tokens=30 x")
    s.read(1)
    c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=10 * SLOW)
    c.request("GET", "/healthz")
    c.getresponse().read()
    g.daemon.signal(signal.SIGTERM)
    g.daemon.wait_line("draining")
    try:
        c.request("POST", "/v1/chat/completions", b'{"model":"base/chat","messages":[{}]}',
                  {"Authorization": f"Bearer {key}"})
        r = c.getresponse()
        assert r.status == 503 and r.getheader("connection") == "close" and r.getheader("retry-after")
    except (http.client.HTTPException, OSError):
        pass  # an idle connection may be closed instead
    c.close()
    assert s.rest()[-1] == "[DONE]"
    assert g.daemon.wait() == 0


def test_the_drain_has_an_end(make_gate):
    g = make_gate(settings={"drain_timeout_ms": "500ms"})
    s = g.stream(g.key(), "#delay=1000 #tokens=500 x", max_tokens=500)  # it would go on for eight minutes
    s.read(2)
    g.daemon.signal(signal.SIGTERM)
    rest = s.rest()
    assert g.daemon.wait() == 0
    assert "[DONE]" not in rest
    row = g.settlement(s.request_id)
    assert 0 < row["lines"][OUTPUT][0] < 500 and g.open_holds() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_nothing_runs(make_gate, number):
    g = make_gate(settings={"drain_timeout_ms": "1h"})
    assert g.chat(g.key(), "#tokens=1 x").status == 200
    g.daemon.signal(number)
    assert g.daemon.wait() == 0
    assert not g.socket.exists() and "stopped" in g.daemon.text()


# ---- crash ----

@pytest.mark.short
def test_kill_9_then_recovery(make_gate):
    g = make_gate()
    key = g.key()
    done = g.chat(key, "#tokens=3 x")
    s = g.stream(key, "#delay=50 #tokens=400 x")
    s.read(3)
    g.kill_daemon()
    assert g.open_holds() == 1
    g.start_daemon()
    g.wait_backend()
    row = g.settlement(s.request_id)
    assert row["outcome"] in ("orphan", "orphan_0")
    assert row["outcome"] == "orphan" or row["amount_atoms"] == 0
    assert g.settlement(done.headers["x-request-id"])["outcome"] == "ok"
    assert g.open_holds() == 0 and g.cli("audit").returncode == 0
    assert g.status()["ledger"]["recovered"] == 1
    assert g.chat(key, "#tokens=1 x").status == 200
    again = g.stream(key, "#tokens=1 x")
    again.rest()
    assert again.request_id > s.request_id, "ids go on growing"


def test_budget_is_rebuilt_after_a_crash(make_gate):
    g = make_gate()
    g.project("small", "0.0019", "total")
    key = g.key("small")
    assert g.chat(key, "#tokens=1 x").status == 200
    g.kill_daemon()
    g.start_daemon()
    g.wait_backend()
    assert g.chat(key, "#tokens=1 x").code == "insufficient_quota"


def test_state_is_private(make_gate):
    g = make_gate()
    for path in [g.state, *g.state.iterdir(), g.socket]:
        assert path.lstat().st_mode & 0o077 == 0, f"{path} {oct(path.lstat().st_mode)}"


def test_unix_socket_listener(make_gate):
    g = make_gate(start=False)
    path = g.dir / "http.sock"
    g.write_conf(listen=f"unix:{path}")
    g.start_worker()
    g.start_daemon(ready=False)
    with socket.socket(socket.AF_UNIX) as s:
        wait_until(lambda: s.connect_ex(str(path)) == 0, what="the socket")
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
