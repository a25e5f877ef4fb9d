"""What the tests of prices have in common: one worker, a chat model on it, a book in a file."""
BACKENDS = """
backends:
  worker: {{transport: {transport}, address: {address}}}
models:
"""
CHAT = """
    capabilities: [chat]
    context_length: 4096
    routes: [{{backend: worker, model: ngram-general}}]
"""
IMAGE = """
    capabilities: [images]
    routes: [{{backend: worker, model: pattern-image}}]
"""
# Where text has a price that is not copied to what else an answer may have.
OTHER_OUTPUT = """
      output_reasoning_tokens: 0
      output_audio_tokens: 0
      output_image_tokens: 0
"""


def model(name, head, body="", default=False):
    """A model of a catalog: its head is one of the above."""
    return f"  {name}:{head.rstrip()}\n" + ("    default: true\n" if default else "") + body.lstrip("\n")


def write(gate, text, name="book.yaml"):
    path = gate.dir / name
    path.write_text(text)
    return path
