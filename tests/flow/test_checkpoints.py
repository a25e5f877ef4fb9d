"""A stream that is cut by the death of the daemon is paid for as far as its last checkpoint says:
never more than the client has, never less than the ledger was told."""
import json
import os
import random
import threading
import time

import billed
import pytest
from billed import tokens_of
from fault_backend import CATALOG, TRANSPORTS
from gate import OUTPUT, REQUESTS, SLOW, Stream, atoms, wait_until
from reconcile import rid_of
from upstream import Upstream, stream

SEED = int(os.environ.get("MAASGATE_SEED", random.randrange(10**6)))
ROUNDS = int(os.environ.get("MAASGATE_KILL_ROUNDS", "4"))
AUDIO = 12  # output_audio_tokens
OFTEN = {"stream_checkpoint_ms": "500ms"}
LONG = {"do": [{"tokens": 4000, "every": 10}, "final"]}  # longer than any test of it takes


def checkpoints(g):
    """{rid: output tokens} as they stand on the disk."""
    with g.ledger() as db:
        rows = db.execute("SELECT rid, lines FROM checkpoint").fetchall()
    return {r["rid"]: sum(line[1] for line in output_lines(r)) for r in rows}


def noted(g, s, more_than=0):
    """What the stream's checkpoint says, once it says more than that."""
    def look():
        said = checkpoints(g).get(rid_of(s.request_id), 0)
        return said > more_than and said
    return wait_until(look, what=f"a checkpoint of more than {more_than} tokens")


def output_lines(row):
    return [line for line in json.loads(row["lines"]) if isinstance(line, list) and line[0] == OUTPUT]


def what_came(s):
    """All whole events that a cut connection still delivered."""
    got = []
    try:
        for event in s._events if hasattr(s, "_events") else s.events():
            got.append(event)
    except (OSError, ValueError, AssertionError):
        pass
    return got


def restart(g):
    g.start_daemon()
    audit = g.cli("audit", check=False)
    assert audit.returncode == 0, f"seed {SEED}\n{audit.stdout}"
    assert g.open_holds() == 0 and checkpoints(g) == {}


def bill(g, request_id):
    outcome, evidence, _, output, _ = billed.bill(g, request_id)
    return outcome, evidence, output


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_24_the_daemon_dies_in_a_stream(fault_gate, transport):
    g, key, b = fault_gate(transport, LONG, **OFTEN)
    s = g.stream(key, "one two", max_tokens=4000)
    got = tokens_of(s.read(5))
    told = noted(g, s, 20)
    g.kill_daemon()
    got += tokens_of(what_came(s))
    restart(g)
    outcome, evidence, billed = bill(g, s.request_id)
    assert (outcome, evidence) == ("orphan", "estimate") and told <= billed <= got, (told, billed, got)
    assert g.settlement(s.request_id)["backend"] > 0 and g.settlement(s.request_id)["first_byte_us"] > 0


@pytest.mark.short
def test_23_it_dies_before_anything_was_sent(fault_gate):
    g, key, b = fault_gate("shm", {"do": ["role", "hang"]}, **OFTEN)
    s, whole = g.stream(key, "x"), g.stream(key, "x", stream=False)
    s.read(1)
    wait_until(lambda: g.open_holds() == 2, what="both")
    time.sleep(1.2 * SLOW)
    assert checkpoints(g) == {}
    g.kill_daemon()
    s.close(), whole.close()
    restart(g)
    assert {(r["outcome"], r["amount_atoms"]) for r in g.settlements()} == {("orphan_0", 0)} and len(g.settlements()) == 2


def test_a_stream_that_ends_leaves_none(fault_gate):
    g, key, b = fault_gate("shm", {"do": [{"tokens": 600, "every": 10}, "final"]}, **OFTEN)
    s = g.stream(key, "x", max_tokens=600)
    assert noted(g, s) and g.metric("maasgate_stream_checkpoints_total") >= 1
    assert s.rest()[-1] == "[DONE]"
    assert bill(g, s.request_id)[0] == "ok" and checkpoints(g) == {}


def test_short_streams_have_none(make_gate):
    g = make_gate()
    for _ in range(10):
        assert g.stream(g.key(), "#tokens=20 x").rest()[-1] == "[DONE]"
    assert g.metric("maasgate_stream_checkpoints_total") == 0


def test_it_can_be_switched_off(fault_gate):
    g, key, b = fault_gate("shm", LONG, stream_checkpoint_ms="0")
    s = g.stream(key, "x", max_tokens=4000)
    s.read(120)
    assert g.metric("maasgate_stream_checkpoints_total") == 0
    g.kill_daemon()
    s.close()
    restart(g)
    assert bill(g, s.request_id)[0] == "orphan_0"


def test_a_slow_readers_backlog_is_not_billed(fault_gate):
    """What waits in the daemon or its socket's way dies with it."""
    g, key, b = fault_gate("shm", {"do": [{"tokens": 30000}, "hang"]}, stream_buffer_max="64K", **OFTEN)
    s = g.stream(key, "x", receive_buffer=4096, max_tokens=40000)
    wait_until(lambda: checkpoints(g), 20, "a checkpoint")
    g.kill_daemon()
    got = tokens_of(what_came(s))
    restart(g)
    assert 0 < bill(g, s.request_id)[2] <= got < 30000


@pytest.mark.parametrize("receive_buffer, paid", [(4096, False), (None, True)])
def test_sound_in_a_chat_is_billed_when_all_of_it_was_sent(fault_gate, receive_buffer, paid):
    """Its tokens are counted as a whole: while a part of the stream waits for its reader, none of them was surely sent."""
    usage = {"prompt_tokens": 2, "completion_tokens": 500, "completion_tokens_details": {"audio_tokens": 400}}
    g, key, b = fault_gate("http", {"do": [{"usage": {"json": usage}, "each": True}, {"tokens": 30 if paid else 30000},
                                           {"wait": 900}, {"tokens": 1}, "hang"]},
                           catalog=CATALOG.replace("output_text_tokens: 0.40/1M", "output_text_tokens: 0.40/1M,"
                                                   " output_audio_tokens: 1.00/1M"), stream_buffer_max="64K", **OFTEN)
    s = g.stream(key, "x", receive_buffer=receive_buffer, max_tokens=40000)
    request_id = s.request_id
    if paid:
        s.read(31)
    wait_until(lambda: checkpoints(g), 20, "a checkpoint")
    g.kill_daemon()
    s.close()
    restart(g)
    row = g.settlement(request_id)
    assert row["outcome"] == "orphan" and (AUDIO in row["lines"]) == paid, row


def test_a_prepaid_fund_pays_for_it(fault_gate):
    g, key, b = fault_gate("shm", LONG, **OFTEN)
    g.cli("contract", "set", "acme", "--credit", "0")
    g.cli("fund", "add", "acme", "prepaid", "1.00")
    s = g.stream(key, "x", max_tokens=4000)
    noted(g, s)
    g.kill_daemon()
    s.close()
    restart(g)
    row = g.settlement(s.request_id)
    assert row["outcome"] == "orphan" and row["amount_atoms"] > 0
    assert json.loads(row["draws"]) == [[1, row["amount_atoms"]]]


def test_a_hold_that_grew_covers_it(fault_gate):
    g, key, b = fault_gate("shm", LONG, stream_hold_tokens=16, **OFTEN)
    s = g.stream(key, "x", max_tokens=4000)
    noted(g, s, 32)
    g.kill_daemon()
    s.close()
    restart(g)
    assert bill(g, s.request_id)[2] > 32


BY_THE_PERIOD = CATALOG.replace("{{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}",
                                "{{requests: 0.001, input_uncached_tokens: [{{included: 3}}, {{unit: 0.10/1M}}],"
                                " input_cached_tokens: 0, input_cache_write_tokens: 0, input_audio_tokens: 0,"
                                " input_image_tokens: 0, input_cache_write_1h_tokens: 0, input_video_tokens: 0,"
                                " output_text_tokens: {{KIND}}, output_reasoning_tokens: 0, output_audio_tokens: 0,"
                                " output_image_tokens: 0}}", 1)
KINDS = {"graduated": "graduated: [{{up_to: 50, unit: 100/1M}}, {{unit: 60/1M}}]",
         "volume": "volume: [{{up_to: 50, unit: 100/1M}}, {{unit: 60/1M}}]",
         "package": "package: 0.01/30"}


@pytest.mark.parametrize("kind", KINDS)
def test_prices_by_the_period_go_on(fault_gate, kind):
    """Two streams of such a model and one before them: each goes on where the one before has ended."""
    g, key, b = fault_gate("shm", LONG,
                           catalog=BY_THE_PERIOD.replace("{{KIND}}", "{{" + KINDS[kind] + "}}"), **OFTEN)
    first = g.stream(key, "one two", max_tokens=30)
    first.read(25)
    first.close()
    wait_until(lambda: g.settlements() and g.open_holds() == 0, what="the bill of who left")
    streams = [g.stream(key, "one two", max_tokens=4000) for _ in range(2)]
    told = {rid_of(s.request_id): noted(g, s, 40) for s in streams}
    g.kill_daemon()
    got = {rid_of(s.request_id): tokens_of(what_came(s)) for s in streams}
    restart(g)
    g.reconcile()
    before, lines = 0, []
    for row in g.settlements():
        used = output_lines(row)
        assert row["rid"] not in got or (row["outcome"] == "orphan" and row["amount_atoms"] > 0
                                         and told[row["rid"]] <= sum(line[1] for line in used) <= got[row["rid"]])
        lines += used
    for _, qty, atoms_, *more in sorted(lines, key=lambda line: (line + [0, 0])[4]):
        assert (more + [0, 0])[1] == before and atoms_ > 0
        before += qty
    assert before > 25 + 80


SOUND = """
backends:
  up: {{transport: http, address: "http://127.0.0.1:{port}/v1"}}
models:
  base/say:
    capabilities: [speech]
    price: {{requests: 0.001, characters: 15.00/1M}}
    routes: [{{backend: up, model: up-say}}]
"""


@pytest.fixture
def speaker(make_gate):
    """Sound that comes in pieces, each when the test lets it."""
    pieces = [threading.Event() for _ in range(3)]

    def answer(request):
        status, headers, framed = stream([b"a" * 1000, pieces[0], b"b" * 1000, pieces[1], b"c" * 1000, pieces[2], b"d"])
        return status, {**headers, "Content-Type": "audio/mpeg"}, framed

    upstream = Upstream(answer)
    g = make_gate(catalog=SOUND, worker=False, fields={"port": upstream.port}, settings=OFTEN)
    g.wait_backend("up")
    yield g, g.key(), pieces
    for piece in pieces:
        piece.set()
    upstream.stop()


def test_sound_that_a_crash_cuts_is_as_if_its_backend_had_died(speaker):
    """The request's fee; characters are due for whole sound, or to who left it."""
    g, key, pieces = speaker
    s = Stream(g.port, "/v1/audio/speech", {"model": "base/say", "input": "12345"}, key)
    chunks, got = s.raw_chunks(), b""
    while len(got) < 999:
        got += next(chunks)
    wait_until(lambda: checkpoints(g), 20, "a checkpoint")
    g.kill_daemon()
    s.close()
    restart(g)
    row = g.settlement(s.request_id)
    assert (row["outcome"], row["evidence"], row["amount_atoms"]) == ("orphan", "estimate", atoms("0.001"))
    assert set(row["lines"]) == {REQUESTS} and row["first_byte_us"] > 0
    g.reconcile()


def test_sound_that_ends_leaves_no_note(speaker):
    g, key, pieces = speaker
    s = Stream(g.port, "/v1/audio/speech", {"model": "base/say", "input": "12345"}, key)
    for piece in pieces:
        piece.set()
    assert len(b"".join(s.raw_chunks())) == 3001 and s.complete
    whole = g.settlement(s.request_id)
    assert whole["outcome"] == "ok" and checkpoints(g) == {} and len(whole["lines"]) == 2


@pytest.mark.timeout(900 + ROUNDS * 20 * SLOW)
def test_kill_9_under_streams(make_gate):
    """Many streams of every length, killed at random: journal, checkpoints and ledger agree."""
    dice = random.Random(SEED)
    g = make_gate(settings=OFTEN)
    key, path, orphans = g.key(), g.dir / "client.journal", 0
    for _ in range(ROUNDS):
        streams = [g.stream(key, f"#delay={dice.randrange(2, 30)} #tokens={dice.randrange(20, 400)} x", max_tokens=400)
                   for _ in range(20)]
        for s in streams:
            s.head()
        time.sleep(dice.uniform(0.4, 2.2))
        told = checkpoints(g)
        g.kill_daemon()
        came = {s.request_id: what_came(s) for s in streams}
        restart(g)
        g.wait_backend()
        for s in streams:
            s.close()
            events = came[s.request_id]
            outcome, _, billed = bill(g, s.request_id)
            assert billed <= tokens_of(events), f"seed {SEED}: {s.request_id} pays for more than it got"
            if outcome == "orphan":
                orphans += 1
                assert billed >= told.get(rid_of(s.request_id), 0), f"seed {SEED}"
            with open(path, "a") as journal:
                journal.write(json.dumps({"request_id": s.request_id, "status": 200, "complete": "[DONE]" in events,
                                          "tokens": tokens_of(events), "stream": True}) + "\n")
    assert orphans > ROUNDS
    print(f"seed {SEED}")
    g.reconcile("--client-journal", path, "--worker-journal", g.dir / "worker.journal")
