"""What finance asks over HTTP, with keys that read the money and call no model."""
import csv
import datetime
import decimal
import io
import json
import time

import openai
import pytest
from gate import this_month, wait_until

REFUSED = {"GET": ("/v1/models", "/v1/usage"), "POST": ("/v1/chat/completions", "/v1/embeddings")}


def finance_key(gate, project="acme"):
    gate.key(project=project)
    return gate.key(project=project, role="finance")


@pytest.mark.short
@pytest.mark.parametrize("method, path", [(m, p) for m, paths in REFUSED.items() for p in paths])
def test_a_finance_key_calls_no_model(gate, method, path):
    body = {"model": "base/chat", "messages": [{"role": "user", "content": "hi"}]}
    a = gate.request(method, path, body if method == "POST" else None, finance_key(gate))
    assert a.status == 403 and a.code == "permission_denied"
    assert "takes an inference key" in a.json()["error"]["message"]
    assert a.headers["x-should-retry"] == "false"


def test_roles_are_listed_and_survive_a_restart(gate):
    key = finance_key(gate, "listed")
    roles = [k["role"] for k in gate.ask("key", "list", "listed")["keys"]]
    assert roles == ["inference", "finance"]
    gate.terminate()
    gate.start_daemon()
    gate.wait_backend()
    assert gate.chat(key).status == 403


def test_an_unknown_role_is_refused(gate):
    gate.key()
    done = gate.cli("key", "create", "acme", "--role", "root", check=False)
    assert done.returncode != 0 and "'root' is no role" in done.stderr


# ---- documents ----

INVOICES = "/billing/v1/invoices"
MONTHS = ("2026-01", "2026-02", "2026-03")


@pytest.fixture(scope="module")
def books(gate):
    """(finance key, its invoices' numbers, another organization's number)."""
    mine = finance_key(gate, "books")
    gate.key(project="stranger")
    numbers = [gate.ask("invoice", m, "--org", "books", "--issue")["number"] for m in MONTHS]
    other = gate.ask("invoice", "2026-01", "--org", "stranger", "--issue")["number"]
    return mine, numbers, other


@pytest.mark.short
def test_invoices_are_listed_page_by_page(gate, books):
    key, numbers, other = books
    seen, page = [], ""
    while page is not None:
        a = gate.get(f"{INVOICES}?limit=2{page and '&page=' + page}", key)
        assert a.status == 200, a
        body = a.json()
        assert body["object"] == "list" and len(body["data"]) <= 2
        assert body["has_more"] == (body["next_page"] is not None)
        seen += [d["number"] for d in body["data"]]
        page = body["next_page"]
    assert seen == numbers and other not in seen
    listed = [d["number"] for d in gate.ask("document", "list", "--org", "books")["documents"]]
    assert seen == listed


def test_invoices_are_filtered(gate, books):
    key, numbers, _ = books
    numbers_of = lambda query: [d["number"] for d in gate.get(INVOICES + query, key).json()["data"]]
    assert numbers_of("?month=2026-02") == numbers[1:2]
    assert numbers_of("?type=invoice") == numbers and numbers_of("?type=credit_note") == []
    assert numbers_of(f"?month=2026-01&page={numbers[0]}") == []


@pytest.mark.short
def test_one_document_in_each_form(gate, books):
    key, numbers, _ = books
    path = f"{INVOICES}/{numbers[0]}"
    assert gate.get(path, key).json() == gate.ask("document", numbers[0])
    for form, media in (("csv", "text/csv"), ("html", "text/html")):
        printed = gate.cli("document", numbers[0], "--" + form).stdout
        by_name = gate.get(f"{path}?format={form}", key)
        by_accept = gate.get(path, key, {"Accept": f"{media};q=0.9, application/json;q=0.1"})
        for a in (by_name, by_accept):
            assert a.status == 200 and a.headers["content-type"] == media + "; charset=utf-8"
            assert a.body.decode().splitlines() == printed.splitlines()
    assert gate.get(path, key, {"Accept": "image/png, */*"}).headers["content-type"] == "application/json"
    assert gate.get(path, key, method="HEAD").body == b""


@pytest.mark.short
def test_the_csv_of_a_document_adds_up(gate):
    """Read back as a finance tool does: lines, rounding, tax and the total's row."""
    assert gate.chat(gate.key(project="printed"), "#tokens=9 hello").status == 200
    gate.cli("charge", "add", "printed", "12.3456", "a licence")
    month = this_month()
    gate.cli("invoice", month, "--org", "printed", "--until-now")
    wait_until(lambda: gate.cli("invoice", month, "--org", "printed", "--issue", check=False).returncode == 0,
               what="the end of the period that was cut")
    number = gate.ask("document", "list", "--org", "printed")["documents"][-1]["number"]
    a = gate.get(f"{INVOICES}/{number}?format=csv", finance_key(gate, "printed"))
    *lines, total = csv.DictReader(io.StringIO(a.body.decode()))
    assert total["line"] == "total" and len(lines) == len(gate.ask("document", number)["lines"]) > 2

    def of(row, name):
        return decimal.Decimal(row[name] or 0)

    for name in ("exact", "net"):
        assert sum(of(row, name) for row in lines) == of(total, name)
    assert of(total, "exact") + of(total, "rounding") == of(total, "net")
    assert of(total, "net") + of(total, "tax") == of(total, "gross") > 12


def test_a_draft_is_what_the_command_line_says(gate, books):
    key = books[0]
    assert gate.get(f"{INVOICES}/draft?month=2025-12", key).json() == gate.ask(
        "invoice", "2025-12", "--org", "books")
    issued = gate.get(f"{INVOICES}/draft?month=2026-01", key).json()
    assert issued["status"] == "issued" and issued["number"] == books[1][0]


@pytest.mark.short
def test_another_organization_s_documents_are_not_there(gate, books):
    key, _, other = books
    nobody = gate.get(f"{INVOICES}/MG-1999-000001", key)
    theirs = gate.get(f"{INVOICES}/{other}", key)
    assert theirs.status == nobody.status == 404
    assert theirs.json() == nobody.json()
    assert gate.get(f"{INVOICES}?page={other}", key).status == 400


@pytest.mark.parametrize("path", ["", "/draft?month=2026-01", "/MG-2026-000001"])
def test_invoices_take_a_finance_key(gate, path):
    assert gate.get(INVOICES + path).status == 401
    a = gate.get(INVOICES + path, gate.key())
    assert a.status == 403 and "finance key" in a.json()["error"]["message"]


@pytest.mark.parametrize("query, param", [
    ("?limit=0", "limit"), ("?limit=101", "limit"), ("?limit=-1", "limit"), ("?limit=1e2", "limit"),
    ("?limit=1&limit=2", "limit"), ("?limit=99999999999999999999", "limit"), ("?page=", "page"),
    ("?page=' OR 1=1 --", "page"), ("?page=" + "x" * 500, "page"), ("?month=2026-13", "month"),
    ("?month=", "month"), ("?month=2026-01&month=2026-02", "month"), ("?type=380", "type"),
    ("?organization=stranger", None), ("?month=%00", None), ("?month=%", None),
    ("/draft", "month"), ("/draft?month=1", "month"), ("/draft?month=2026-01&format=pdf", "format"),
    ("/MG-1?month=2026-01", None),
])
def test_hostile_invoice_queries(gate, books, query, param):
    a = gate.get(INVOICES + query.replace(" ", "+"), books[0])
    assert a.status == 400, a
    assert a.json()["error"]["param"] == param


# ---- usage and costs, by the official SDK ----

USAGE = "/v1/organization/usage/completions"
DAY = 86400


@pytest.fixture(scope="module")
def spent(gate):
    """(finance key, names of the two inference keys of organization 'spender')."""
    keys = [gate.key(project="spender", label=label) for label in ("one", "two")]
    for key, count in zip(keys, (2, 3)):
        for n in range(count):
            assert gate.chat(key, f"hello #tokens={n + 1}").status == 200
    assert gate.post("/v1/embeddings", {"model": "base/embed", "input": "words"}, keys[0]).status == 200
    assert gate.post("/v1/images/generations", {"model": "base/image", "prompt": "x", "n": 2,
                                                "size": "256x256"}, keys[1]).status == 200
    gate.cli("project", "create", "branch", "--org", "spender", "--budget", "10")
    assert gate.chat(gate.key(project="branch"), "hi", model="domain/code/review").status == 200
    assert gate.chat(gate.key(project="outsider"), "hi").status == 200
    names = {k["label"]: k["name"] for k in gate.ask("key", "list", "spender")["keys"]}
    return gate.key(project="spender", role="finance"), names


@pytest.fixture(scope="module")
def admin(gate, spent):
    with openai.OpenAI(base_url=gate.url + "/v1", api_key="unused", admin_api_key=spent[0],
                       max_retries=0) as client:
        yield client.admin.organization.usage


def results_of(ask, **fields):
    """All results of all pages."""
    found, page = [], {}
    start = int(time.time()) - DAY
    while True:
        answer = ask(start_time=start, **fields, **page)
        assert answer.object == "page"
        for bucket in answer.data:
            assert bucket.object == "bucket" and bucket.end_time > bucket.start_time
            found += bucket.results
        if not answer.has_more:
            assert answer.next_page is None
            return found
        page = {"page": answer.next_page}


def reported(gate, group, project=None):
    words = ["--project", project] if project else []
    return {row[group]: row for row in gate.ask("usage", "--by", group, *words)["data"]}


@pytest.mark.short
def test_usage_is_what_the_command_line_says(gate, admin):
    rows = results_of(admin.completions, group_by=["model", "project_id"])
    assert {(r.project_id, r.model) for r in rows} == {("spender", "base/chat"), ("branch", "domain/code/review")}
    for row in rows:
        assert row.object == "organization.usage.completions.result" and row.api_key_id is None
        want = reported(gate, "model", row.project_id)[row.model]
        assert row.num_model_requests == want["requests"]
        assert row.input_tokens == row.input_uncached_tokens == want["usage"]["input_uncached_tokens"]
        assert row.output_tokens == row.output_text_tokens == want["usage"]["output_text_tokens"]


def test_each_kind_has_its_own_path(gate, admin):
    want = reported(gate, "model", "spender")
    embedded, = results_of(admin.embeddings)
    assert embedded.input_tokens == want["base/embed"]["usage"]["input_uncached_tokens"]
    assert embedded.num_model_requests == 1 and embedded.model is None
    drawn, = results_of(admin.images)
    assert (drawn.images, drawn.num_model_requests) == (2, 1)
    for empty in (admin.moderations, admin.audio_speeches, admin.audio_transcriptions):
        assert results_of(empty) == []


@pytest.mark.parametrize("fields, requests", [
    ({}, 6), ({"project_ids": ["spender"]}, 5), ({"project_ids": ["branch", "spender"]}, 6),
    ({"models": ["base/chat"]}, 5), ({"models": ["base/none"]}, 0), ({"project_ids": ["outsider"]}, 0),
    ({"bucket_width": "1m", "limit": 1440}, 6), ({"bucket_width": "1m", "limit": 1440, "project_ids": ["branch"]}, 1),
    ({"bucket_width": "1h"}, 6), ({"bucket_width": "1h", "limit": 1}, 6), ({"limit": 1}, 6),
])
def test_usage_is_filtered_and_paged(admin, fields, requests):
    assert sum(r.num_model_requests for r in results_of(admin.completions, **fields)) == requests


def test_usage_by_tier(admin):
    row, = results_of(admin.completions, group_by=["service_tier"])
    assert (row.service_tier, row.num_model_requests) == ("default", 6)


def test_usage_by_key(admin, spent):
    by_name = {r.api_key_id: r.num_model_requests
               for r in results_of(admin.completions, group_by=["api_key_id"], project_ids=["spender"])}
    assert by_name == {spent[1]["one"]: 2, spent[1]["two"]: 3}
    one, = results_of(admin.completions, api_key_ids=[spent[1]["one"]])
    assert one.num_model_requests == 2


def costs(gate, key, query=""):
    """Results with numbers as they are written."""
    body = gate.get(f"/v1/organization/costs?start_time={int(time.time()) - DAY}{query}", key).body
    buckets = json.loads(body, parse_float=decimal.Decimal)["data"]
    return [r for b in buckets for r in b["results"]]


@pytest.mark.short
def test_costs_are_the_invoice_s_exact_amounts(gate, admin, spent):
    now = datetime.datetime.now(datetime.timezone.utc)
    months = {(now - datetime.timedelta(days=d)).strftime("%Y-%m") for d in (0, 1)}
    drafts = [gate.get(f"{INVOICES}/draft?month={m}", spent[0]).json() for m in months]
    lines = {f"{l['model']}, {l['meter']}": l for d in drafts for l in d["lines"]}
    rows = costs(gate, spent[0], "&group_by=line_item")
    assert {r["line_item"] for r in rows} == set(lines)
    for row in rows:
        line = lines[row["line_item"]]
        assert row["amount"]["value"] == decimal.Decimal(line["exact"])
        assert row["quantity"] == line["quantity"] and row["amount"]["currency"] == "usd"
    total = sum(decimal.Decimal(d["totals"]["exact"]) for d in drafts)
    assert sum(r["amount"]["value"] for r in rows) == total > 0
    assert sum(r["amount"]["value"] for r in costs(gate, spent[0])) == total
    row, = results_of(admin.costs)
    assert row.object == "organization.costs.result" and row.amount.value == float(total)


def test_what_funds_paid_is_beside_the_costs(gate):
    key = gate.key(project="funded")
    gate.cli("fund", "add", "funded", "promo", "5.00")
    assert gate.chat(key, "hi").status == 200
    row, = costs(gate, gate.key(project="funded", role="finance"))
    assert row["amount"]["value"] == 0
    assert row["x_covered"] == gate.usage("funded")[1] != "0.00"


@pytest.mark.parametrize("query, param", [
    ("", "start_time"), ("start_time=-1", "start_time"), ("start_time=99999999999", "start_time"),
    ("start_time=9999999999", "start_time"), ("start_time=1e9", "start_time"), ("start_time=1&start_time=2", "start_time"),
    ("start_time=100&end_time=100", "end_time"), ("start_time=100&end_time=x", "end_time"),
    ("start_time=1&bucket_width=1m&limit=1441", "limit"), ("start_time=1&bucket_width=5m", "bucket_width"), ("start_time=1&bucket_width=", "bucket_width"),
    ("start_time=1&limit=0", "limit"), ("start_time=1&limit=32", "limit"),
    ("start_time=1&bucket_width=1h&limit=169", "limit"), ("start_time=1&limit=999999999999999999999", "limit"),
    ("start_time=1&page=", "page"), ("start_time=1&page=page_", "page"), ("start_time=1&page=page_1", "page"),
    ("start_time=86400&page=page_0", "page"), ("start_time=1&end_time=2&page=page_86400", "page"),
    ("start_time=1&page=page_99999999999999999999", "page"), ("start_time=1&group_by=user_id", "group_by"),
    ("start_time=1&group_by=model,project_id", "group_by"), ("start_time=1&models[]=", "models"),
    ("start_time=1&models=%22]%20OR%201", "models"), ("start_time=1&models=" + "x" * 2100, "models"),
    ("start_time=1" + "&models=" + "&models=".join(["x" * 20] * 100), "models"),
    ("start_time=1&user_ids=u", None), ("start_time=1&batch=true", None), ("start_time=1&%00=1", None),
])
def test_hostile_usage_queries(gate, books, query, param):
    a = gate.get(f"{USAGE}?{query}", books[0])
    assert a.status == 400, a
    assert a.json()["error"]["param"] == param


@pytest.mark.parametrize("path, status", [
    ("/v1/organization/usage/vector_stores", 404), ("/v1/organization/usage/", 404),
    ("/v1/organization/usage/completions/x", 404), ("/v1/organization/costs?start_time=1&bucket_width=1h", 400),
    ("/v1/organization/costs?start_time=1&limit=181", 400), ("/v1/organization/costs?start_time=1&group_by=model", 400),
])
def test_what_there_is_not(gate, books, path, status):
    assert gate.get(path, books[0]).status == status


def test_the_longest_range_is_answered_in_pages(gate, books):
    a = gate.get(f"{USAGE}?start_time=0&limit=31", books[0]).json()
    assert len(a["data"]) == 31 and a["has_more"] and a["next_page"] == f"page_{31 * DAY}"
    assert all(b["results"] == [] for b in a["data"])


# ---- the same in Anthropic's shape ----

REPORT, COSTS = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"


def since(days=1):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).isoformat()


def reported_by(gate, key, path, query=""):
    """All results of all pages, asked for as Anthropic's clients do."""
    found, page, headers = [], "", {"x-api-key": key, "anthropic-version": "2023-06-01"}
    while page is not None:
        a = gate.get(f"{path}?starting_at={since()}{query}{page and '&page=' + page}", None, headers)
        assert a.status == 200, a
        body = a.json()
        assert set(body) == {"data", "has_more", "next_page"}
        for bucket in body["data"]:
            assert set(bucket) == {"starting_at", "ending_at", "results"}
            assert datetime.datetime.fromisoformat(bucket["starting_at"]) < datetime.datetime.fromisoformat(bucket["ending_at"])
            found += bucket["results"]
        page = body["next_page"]
        assert body["has_more"] == (page is not None)
    return found


def input_of(row):
    return row["uncached_input_tokens"] + row["cache_read_input_tokens"] + sum(row["cache_creation"].values())


@pytest.mark.short
@pytest.mark.parametrize("ours, theirs", [
    ("project_id", "workspace_id"), ("api_key_id", "api_key_id"), ("model", "model"), (None, None),
])
def test_both_shapes_tell_the_same_usage(gate, admin, spent, ours, theirs):
    mine = {getattr(r, ours or "model"): (r.input_tokens, r.output_tokens, r.num_model_requests)
            for r in results_of(admin.completions, **({"group_by": [ours]} if ours else {}))}
    rows = reported_by(gate, spent[0], REPORT, f"&group_by[]={theirs}" if theirs else "")
    assert mine == {r[theirs or "model"]: (input_of(r), r["output_tokens"], r["x_requests"]) for r in rows}
    assert sum(r["x_requests"] for r in rows) == 6


@pytest.mark.parametrize("query, requests", [
    ("", 6), ("&bucket_width=1m&limit=1440", 6), ("&bucket_width=1m&limit=1440&models[]=base/chat", 5), ("&bucket_width=1h", 6), ("&limit=1&bucket_width=1h", 6), ("&models[]=base/chat", 5),
    ("&workspace_ids[]=branch", 1), ("&workspace_ids[]=outsider", 0), ("&service_tiers[]=standard", 6),
    ("&service_tiers[]=flex&service_tiers[]=batch", 0), ("&context_window[]=0-200k", 6),
    ("&context_window[]=200k-1M", 0), ("&inference_geos[]=not_available", 6),
])
def test_reports_are_filtered_and_paged(gate, spent, query, requests):
    assert sum(r["x_requests"] for r in reported_by(gate, spent[0], REPORT, query)) == requests


def test_a_report_by_everything(gate, spent):
    groups = "".join(f"&group_by[]={g}" for g in ("service_tier", "context_window", "inference_geo"))
    row, = reported_by(gate, spent[0], REPORT, groups)
    assert row["service_tier"] == "standard" and row["context_window"] == "0-200k"
    assert row["inference_geo"] == "not_available" and row["model"] is None
    assert row["server_tool_use"] == {"web_search_requests": 0}


@pytest.mark.short
def test_costs_are_cents_and_the_same(gate, spent):
    """The unit that clients have read a hundredfold: it is said in a header, too."""
    majors = costs(gate, spent[0], "&group_by=line_item")
    rows = reported_by(gate, spent[0], COSTS, "&group_by[]=description")
    cents = {r["description"]: decimal.Decimal(r["amount"]) for r in rows}
    assert cents == {r["line_item"]: 100 * r["amount"]["value"] for r in majors}
    assert all(isinstance(r["amount"], str) and r["currency"] == "USD" for r in rows)
    tokens = [r for r in rows if r["cost_type"] == "tokens"]
    assert {r["token_type"] for r in tokens} == {"uncached_input_tokens", "output_tokens"}
    by_project = reported_by(gate, spent[0], COSTS, "&group_by[]=workspace_id")
    assert {r["workspace_id"] for r in by_project} == {"spender", "branch"}
    assert sum(decimal.Decimal(r["amount"]) for r in by_project) == sum(cents.values()) > 0
    units = {path: gate.get(f"{path}?{start}", spent[0]).headers["x-amount-unit"] for path, start in
             ((COSTS, f"starting_at={since()}"), ("/v1/organization/costs", f"start_time={int(time.time()) - DAY}"))}
    assert units == {COSTS: "minor", "/v1/organization/costs": "major"}


def summed(rows):
    """Every integer of results added up, by what names them."""
    sums = {}
    for row in rows:
        row = {**row, **row.pop("cache_creation", {}), **row.pop("server_tool_use", {})}
        key = tuple(sorted((k, v) for k, v in row.items() if not isinstance(v, int)))
        into = sums.setdefault(repr(key), {k: 0 for k, v in row.items() if isinstance(v, int)})
        for name in into:
            into[name] += row[name]
    return sums


@pytest.mark.short
@pytest.mark.parametrize("groups", [(), ("model",), ("project_id", "api_key_id"), ("service_tier", "model")])
def test_minutes_come_to_their_hours(gate, admin, spent, groups):
    """I24: in either shape, by whatever they are grouped."""
    hours, minutes = ([r.model_dump() for r in results_of(admin.completions, bucket_width=width, limit=limit,
                                                          **({"group_by": list(groups)} if groups else {}))]
                      for width, limit in (("1h", 168), ("1m", 1440)))
    assert summed(hours) == summed(minutes) and hours
    theirs = "".join(f"&group_by[]={g.replace('project_id', 'workspace_id')}" for g in groups)
    hours, minutes = (reported_by(gate, spent[0], REPORT, f"&bucket_width={width}&limit={limit}{theirs}")
                      for width, limit in (("1h", 168), ("1m", 1440)))
    assert summed(hours) == summed(minutes) and hours


def test_minutes_are_sixty_unless_said(gate, books):
    for path, start in ((USAGE, "start_time=60"), (REPORT, "starting_at=1970-01-01T00:01:00Z")):
        a = gate.get(f"{path}?{start}&bucket_width=1m", books[0]).json()
        assert len(a["data"]) == 60 and a["has_more"] and a["next_page"] == f"page_{61 * 60}"


@pytest.mark.parametrize("path, query, name", [
    (REPORT, "", "starting_at"), (REPORT, "starting_at=1", "starting_at"), (REPORT, "starting_at=2026-02-30T00:00:00Z", "starting_at"),
    (REPORT, "starting_at=2026-01-02T00:00:00Z&ending_at=2026-01-01T00:00:00Z", "ending_at"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&bucket_width=1m&limit=1441", "limit"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&bucket_width=1s", "bucket_width"), (COSTS, "starting_at=2026-01-01T00:00:00Z&bucket_width=1m", "bucket_width"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&limit=32", "limit"), (REPORT, "starting_at=2026-01-01T00:00:00Z&group_by=user", "group_by"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&service_tiers[]=gold", "service_tiers"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&context_window[]=1M", "context_window"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&inference_geos[]=eu", "inference_geos"),
    (REPORT, "starting_at=2026-01-01T00:00:00Z&page=page_1", "page"), (REPORT, "start_time=1", "starting_at"),
    (COSTS, "starting_at=2026-01-01T00:00:00Z&bucket_width=1h", "bucket_width"),
    (COSTS, "starting_at=2026-01-01T00:00:00Z&group_by=model", "group_by"), (COSTS, "starting_at=2026-01-01T00:00:00Z&models[]=x", "starting_at"),
])
def test_hostile_report_queries(gate, books, path, query, name):
    a = gate.get(f"{path}?{query}", books[0])
    assert a.status == 400 and a.headers["request-id"] == a.headers["x-request-id"]
    body = a.json()
    assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error"
    assert name in body["error"]["message"], body


@pytest.mark.parametrize("path", [REPORT, COSTS])
def test_reports_take_a_finance_key(gate, path):
    assert gate.get(path).json()["error"]["type"] == "authentication_error"
    a = gate.get(path, gate.key())
    assert a.status == 403 and a.json()["error"]["type"] == "permission_error"
