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
