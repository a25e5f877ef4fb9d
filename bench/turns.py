#!/usr/bin/env python3
"""Conversations of many turns, and how much of their input came from a backend's cache.

  bench/turns.py --port N --metrics-port N --key K --model M [--conversations N] [--turns N]

Each turn sends all that was said so far, as a chat client does; many conversations run at once, so
that a backend that is picked by chance has rarely seen the last turn.  Prints one line of
name=value: requests, input tokens, those that were cached, and the share of calls that went to
their conversation's home (the gateway's own count).
"""
import argparse
import concurrent.futures
import http.client
import json
import random
import urllib.request

WORDS = "river stone cloud market ladder engine winter paper signal harbour".split()


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--metrics-port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=16)
    return parser.parse_args()


def affinity(port):
    """(hits, misses) of all backends."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return [sum(int(line.split()[-1]) for line in lines if line.startswith(f"maasgate_backend_affinity_{what}_total{{"))
            for what in ("hits", "misses")]


def converse(options, number):
    """One conversation on one connection; (requests, input tokens, cached ones)."""
    dice = random.Random(f"{options.model} {number}")
    messages = [{"role": "system", "content": f"You are guide {number} of {options.model}. " + " ".join(dice.choices(WORDS, k=60))}]
    connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=60)
    total = cached = 0
    for _ in range(options.turns):
        messages.append({"role": "user", "content": " ".join(dice.choices(WORDS, k=20)) + " #tokens=20"})
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": options.model, "messages": messages}),
                           {"Authorization": f"Bearer {options.key}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"turns: {answer.status} {body}")
        messages.append(body["choices"][0]["message"])
        total += body["usage"]["prompt_tokens"]
        cached += body["usage"]["prompt_tokens_details"]["cached_tokens"]
    connection.close()
    return options.turns, total, cached


def main():
    options = read_options()
    before = affinity(options.metrics_port)
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        done = list(pool.map(lambda n: converse(options, n), range(options.conversations)))
    hits, misses = (now - then for now, then in zip(affinity(options.metrics_port), before))
    requests, total, cached = (sum(column) for column in zip(*done))
    print(f"requests={requests} input={total} cached={cached} home={hits / max(1, hits + misses):.4f}")


if __name__ == "__main__":
    main()
