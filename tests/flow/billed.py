"""What is billed beside what a client has seen, at the prices of the labs with one scripted backend."""
from gate import INPUT, OUTPUT, REQUESTS, SLOW, atoms

SOON = "first_byte_timeout_ms: {0}, chunk_timeout_ms: {0}".format("1s" if SLOW == 1 else "4s")  # of a backend that is to miss it
PRICE = {REQUESTS: ("0.001", 1), INPUT: ("0.1", 10**6), OUTPUT: ("0.4", 10**6)}
MODEL = """\
  {name}:
    capabilities: [chat]
    default_output_tokens: 256
    price: {{{{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}}}
    routes: [{{{{backend: {backend}, model: m}}}}]
"""


def models(routes):
    """The models of a catalog that is still to be formatted, at these prices: {name: its backend}."""
    return "models:\n" + "".join(MODEL.format(name=name, backend=backend) for name, backend in routes.items())


def tokens_of(events):
    """How many events of a stream carried text."""
    return sum(bool(c["delta"].get("content")) for e in events if isinstance(e, dict) for c in e.get("choices", []))


def bill(gate, request_id):
    """(outcome, evidence, input tokens, output tokens, atoms); each line is the price list's."""
    row = gate.settlement(request_id)
    lines = row["lines"]
    assert row["amount_atoms"] == sum(atoms(*PRICE[m], qty) for m, (qty, _) in lines.items())
    return row["outcome"], row["evidence"], lines.get(INPUT, (0, 0))[0], lines.get(OUTPUT, (0, 0))[0], row["amount_atoms"]
