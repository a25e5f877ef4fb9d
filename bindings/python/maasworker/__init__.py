"""Attach an engine written in Python to maasgate.

    import maasworker

    worker = maasworker.Worker("shm:/run/maasgate/mine.sock", name="mine")

    @worker.on("chat")
    def chat(call):
        messages = call.json()["messages"]
        call.usage.input_tokens = count(messages)
        for n, text in enumerate(engine(messages, call.max_output_tokens), 1):
            call.usage.output_tokens = n
            yield text

    worker.run()

A handler gets one `Call` and answers it in one of these ways:

- it yields `str`: the pieces of an answer to chat or completions.  OpenAI's shapes are written
  around them, for a stream as for a whole answer, so the same handler does both;
- it returns a `dict` (written as JSON) or `bytes`: the whole body;
- it calls `call.send()`, or yields `dict` or `bytes`: events of a stream, or parts of a body,
  in whatever shape it likes.

`raise maasworker.Fail(400, "...")` refuses a request in words that the client sees.  Any other
exception is logged, and the client is told that the engine failed, no more; the worker lives on.

Handlers run on `threads` threads of their own (with 1, your code needs no locks, but then one slow
request holds up the others).  The connection to the gateway has a thread of its own, so a handler
that computes for minutes does not look dead.  When the gateway wants no more of a request,
`call.cancelled` becomes true, the next `send()` raises `Cancelled` and a generator is closed; what
`call.usage` says by then is what is billed.

This is a thin layer over libmaasworker (maasworker.h).  It needs nothing but Python's own library
and libmaasworker.so.
"""
from ._worker import Call, Cancelled, Fail, Usage, Worker

__all__ = ["Call", "Cancelled", "Fail", "Usage", "Worker"]
