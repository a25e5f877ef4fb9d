"""What finance asks over HTTP, with keys that read the money and call no model."""
import pytest

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
