#!/usr/bin/env python3
"""Prints an answer of the gateway, read from stdin, for a person: demo.sh's other half.

    demo_show.py chat | stream | completion | embedding | image:FILE | ranking | moderation | tensors | invoice
"""
import base64
import json
import sys
import textwrap
from decimal import Decimal


def wrapped(text):
    return textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="  ")


def usage_line(usage, model=""):
    numbers = ", ".join(f"{k} {v}" for k, v in usage.items() if isinstance(v, int))
    print(f"  -- {model} {numbers}".rstrip())


def chat(answer):
    print(wrapped(answer["choices"][0]["message"]["content"]))
    usage_line(answer["usage"], answer["model"])


def stream(lines):
    """Prints each piece as it comes; the stream must end as the protocol says."""
    done, usage, model = False, {}, ""
    print("  ", end="")
    for line in lines:
        if not line.startswith("data: "):
            continue
        text = line[6:].strip()
        if text == "[DONE]":
            done = True
            break
        event = json.loads(text)
        if "error" in event:
            sys.exit(f"\ndemo: the stream broke: {event['error']['message']}")
        usage, model = event.get("usage") or usage, event["model"]
        for choice in event["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)
    print()
    if not done:
        sys.exit("demo: the stream ended without [DONE]")
    usage_line(usage, model)


def completion(answer):
    print(wrapped(answer["choices"][0]["text"]))
    usage_line(answer["usage"], answer["model"])


def ranking(answer):
    for result in answer["results"]:
        print(f"  {result['relevance_score']:.4f}  {result['document']['text']}")
    usage_line(answer["usage"], answer["model"])


def moderation(answer):
    result = answer["results"][0]
    found = [name for name, flag in result["categories"].items() if flag]
    print(f"  flagged: {', '.join(found) or 'nothing'} ({answer['note']})")


def embedding(answer):
    vector = answer["data"][0]["embedding"]
    largest = sorted(vector, key=abs, reverse=True)[:6]
    print(f"  {len(vector)} numbers, the largest of them {', '.join(f'{x:.4f}' for x in largest)}")
    usage_line(answer["usage"], answer["model"])


def image(answer, path):
    png = base64.b64decode(answer["data"][0]["b64_json"])
    if not png.startswith(b"\x89PNG\r\n\x1a\n"):
        sys.exit("demo: that is not a PNG")
    with open(path, "wb") as out:
        out.write(png)
    print(f"  {len(png)} bytes of PNG are in {path}")


def tensors(answer):
    for tensor in answer["outputs"]:
        print(f"  {tensor['name']} {tensor['datatype']} {tensor['shape']}: {tensor['data']}")


def invoice(document):
    """Adds the lines again, by other code than wrote them."""
    lines = sum(Decimal(line["net"]) for line in document["lines"])
    net = Decimal(document["totals"]["net"])
    if lines != net:
        sys.exit(f"demo: the lines add up to {lines}, the invoice says {net}")
    print(f"\n{len(document['lines'])} lines, added again: {lines} = the net total")


def main():
    kind, _, path = sys.argv[1].partition(":")
    if kind == "stream":
        return stream(sys.stdin)
    answer = json.load(sys.stdin)
    if kind == "image":
        return image(answer, path)
    kinds = (chat, completion, embedding, ranking, moderation, tensors, invoice)
    return {k.__name__: k for k in kinds}[kind](answer)


if __name__ == "__main__":
    main()
