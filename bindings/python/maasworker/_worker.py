"""The worker: one thread that runs libmaasworker's loop, and threads that run handlers.

A call's C handle is touched on the loop's thread only.  What a handler sends becomes a step in the
call's outbox; the loop is woken and takes the steps in order until libmaasworker has no room.
"""
from __future__ import annotations

import collections
import ctypes
import dataclasses
import inspect
import json
import logging
import operator
import os
import queue
import signal
import threading
import weakref
from typing import Any, Callable, Generator

from . import _c

log = logging.getLogger("maasworker")

OUTBOX_STEPS_MAX = 16    # then a handler waits for the reader
PIECE_BYTES = 256 << 10  # of a body; an event of a stream is never cut
DELTA_BYTES = 128 << 10  # of text, which JSON may write six times as long
MESSAGE_BYTES_MAX = 200
ALL = tuple(_c.CAPABILITIES)
TEXT = ("chat", "completions")  # whose answers libmaasworker can write from mere text

Handler = Callable[["Call"], Any]
Step = Callable[[int], int]  # takes the handle, returns libmaasworker's verdict


class Fail(Exception):
    """Refuses a request.  code: 400 not valid, 413 too long, 429 or 503 not now, 500 failed;
    message: for the client, printable ASCII, at most 200 bytes, no secrets."""

    def __init__(self, code: int, message: str):
        if not 400 <= code <= 599:
            raise ValueError(f"{code} is not a code of an error; expected 400 to 599")
        super().__init__(code, message)
        self.code, self.message = code, message


class Cancelled(Exception):
    """The gateway wants no more of this request.  Let it pass: it is not an error."""


@dataclasses.dataclass
class Usage:
    """What the request has used up to now; None is unknown, 0 is none.  Tokens are disjoint: cached
    input and sounds are not counted as input_tokens too, reasoning not as output_tokens.  A stream
    that does not set output_tokens as it goes is taken to make one token a piece until it ends."""

    input_tokens: int | None = None
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    output_tokens: int | None = None
    output_reasoning_tokens: int | None = None
    images: int | None = None
    characters: int | None = None
    audio_ms: int | None = None
    compute_ms: int | None = None
    tensor_elements: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    video_ms: int | None = None

    def _as_c(self) -> _c.Usage:
        numbers = []
        for field in dataclasses.fields(self):
            n = getattr(self, field.name)
            number = -1 if n is None else operator.index(n)
            if n is not None and not 0 <= number < 1 << 63:
                raise ValueError(f"usage.{field.name} is {n}; expected a whole number from 0")
            numbers.append(number)
        return _c.Usage(*numbers)


class Call:
    """One request, and the way to answer it."""

    def __init__(self, worker: Worker, handle: int, r: _c.Request):
        self.request_id: int = r.request_id
        self.capability: str = _NAMES.get(r.capability, str(r.capability))
        self.model: str = r.model.decode(errors="replace")  #: your name for the model
        self.public_model: str = r.public_model.decode(errors="replace")  #: the client's name for it
        self.stream: bool = r.stream  #: the client wants events
        self.body: bytes = ctypes.string_at(r.body, r.body_len)
        self.content_type: str = r.content_type.decode(errors="replace")  #: of the body
        #: binary tensors: so many bytes of JSON, then the tensors; None: no tensors
        self.header_len: int | None = r.header_len if r.header_len >= 0 else None
        self.max_output_tokens: int | None = r.max_output_tokens or None  #: None: your own limit
        self.deadline_ms: int = r.deadline_ms  #: the gateway's patience, from the request's arrival here
        self.usage = Usage()
        self.finish_reason = "stop"  #: of a chat answer: stop, length, tool_calls, ...
        self._worker = worker
        self._handle: int | None = handle
        self._state = threading.Condition()
        self._outbox: collections.deque[tuple[Step, bool]] = collections.deque()
        self._started = self._cancelled = self._raw = False
        self._text: list[bytes] = []

    # ---- for handlers ----

    @property
    def cancelled(self) -> bool:
        """The gateway wants no more of it: stop soon."""
        return self._cancelled

    def json(self) -> dict[str, Any]:
        """The body, which is one JSON object unless content_type says otherwise."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    def format(self, content_type: str, header_len: int | None = None) -> None:
        """Before the first part of an answer that is not JSON (speech, transcription, translation,
        tensors; never of a stream): what its bytes are.  header_len: as in the request."""
        name, header = content_type.encode(), -1 if header_len is None else header_len
        self._put(_step(_c.call_format, name, header))

    def send(self, part: bytes | dict[str, Any], usage_event: bool = False) -> None:
        """One event of a stream, or the next part of the body; a dict is written as JSON.  Waits
        while the client reads slowly.  usage_event: this is a stream's event that carries only
        usage (OpenAI: choices is []), which the gateway keeps from clients that did not ask."""
        self._raw = True
        self._send(_bytes(part), usage_event)

    def text(self, piece: str) -> None:
        """The next piece of an answer to chat or completions."""
        data = piece.encode(errors="replace")
        if self.stream:
            usage = self.usage._as_c()
            for at in range(0, max(len(data), 1), DELTA_BYTES):
                part = data[at:at + DELTA_BYTES]
                self._put(_step(_c.chat_delta, part, len(part), usage))
        elif self._cancelled:
            raise Cancelled
        else:
            self._text.append(data)

    def report(self) -> None:
        """Tells the gateway `usage` as it stands (output_tokens is needed), and that the engine is
        alive; the client sees nothing."""
        usage = self.usage._as_c()
        if usage.output_tokens < 0 and usage.output_reasoning_tokens < 0:
            raise ValueError("report() needs usage.output_tokens, 0 if there is nothing yet")
        self._put(_step(_c.call_send, None, 0, usage))

    # ---- a handler's thread ----

    def _run(self, handler: Handler) -> None:
        with self._state:
            if self._cancelled:  # answered already
                return
            self._started = True
        try:
            self._answer(handler(self))
            self._finish()
        except BaseException as e:  # also SystemExit: a request never ends the worker
            self._failed(e)

    def _answer(self, result: Any) -> None:
        if inspect.isgenerator(result):
            self._drain(result)
        elif isinstance(result, str):
            self._one(result)
        elif result is not None:
            self.send(result)
        elif not self._raw and self.capability not in TEXT:
            raise TypeError(f"the handler for {self.capability} sent nothing and returned None")

    def _drain(self, pieces: Generator[Any, Any, Any]) -> None:
        try:
            for piece in pieces:
                self._one(piece)
        finally:
            pieces.close()  # its `finally` runs now, on this thread

    def _one(self, piece: Any) -> None:
        if not isinstance(piece, str):
            self.send(piece)
        elif self.capability in TEXT:
            self.text(piece)
        else:
            raise TypeError(f"text is an answer to {' and '.join(TEXT)}; {self.capability} takes a dict or bytes")

    def _finish(self) -> None:
        usage = self.usage._as_c()
        text, reason = b"".join(self._text), self.finish_reason.encode()
        if self._raw or self.capability not in TEXT:
            self._end(_step(_c.call_finish, usage))
        else:
            self._end(_step(_c.chat_finish, text, len(text), reason, usage))

    def _failed(self, e: BaseException) -> None:
        code, message = 500, "the engine failed"
        if isinstance(e, Fail):
            code, message = e.code, e.message
        elif not isinstance(e, Cancelled):
            log.error("request %d: the handler for %s failed", self.request_id, self.capability, exc_info=e)
        sentence = _sentence(message)
        try:
            usage = self.usage._as_c()
        except (TypeError, ValueError):
            usage = Usage()._as_c()
        if self._cancelled:
            self._end(_step(_c.call_finish, usage))
        else:
            self._end(_step(_c.call_fail, code, sentence, usage))

    def _send(self, data: bytes, usage_event: bool) -> None:
        usage = self.usage._as_c()
        if self.stream and len(data) > _c.EVENT_BYTES_MAX:
            raise ValueError(f"an event of {len(data)} bytes; at most {_c.EVENT_BYTES_MAX}")
        if usage_event:
            self._put(_step(_c.call_send_usage_event, data, len(data)))
            return
        step = max(len(data), 1) if self.stream else PIECE_BYTES
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            self._put(_step(_c.call_send, piece, len(piece), usage))

    def _put(self, step: Step) -> None:
        with self._state:
            while len(self._outbox) >= OUTBOX_STEPS_MAX and not self._cancelled:
                self._state.wait()
            if self._cancelled:
                raise Cancelled
            self._outbox.append((step, False))
        self._worker._pump_soon(self)

    def _end(self, step: Step) -> None:
        with self._state:
            self._outbox.append((step, True))
        self._worker._pump_soon(self)

    # ---- the loop's thread ----

    def _pump(self) -> None:
        """Takes steps until there is no room.  The last one ends the call."""
        while self._handle is not None and self._outbox:
            step, last = self._outbox[0]
            rc = step(self._handle)
            if rc == _c.AGAIN:
                return
            if rc == _c.INVALID:
                log.error("request %d: libmaasworker refused a part of the answer", self.request_id)
                _c.call_fail(self._handle, 500, b"the engine failed", None)
            with self._state:
                self._outbox.popleft()
                self._state.notify()
            if last or rc == _c.INVALID:
                self._forget()

    def _cancel(self) -> None:
        with self._state:
            self._cancelled = True
            last = [step for step in self._outbox if step[1]]
            self._outbox = collections.deque(last)
            self._state.notify_all()
            if not self._started:
                self._outbox.append((_step(_c.call_finish, None), True))
        self._pump()

    def _forget(self) -> None:
        """The handle is dead: whoever still sends learns it by Cancelled."""
        self._worker._calls.pop(self._handle, None)
        self._handle = None
        with self._state:
            self._cancelled = True
            self._outbox.clear()
            self._state.notify_all()


class Worker:
    """Listens at "shm:/path", "unix:/path" or "tcp:host:port" (port 0: any), one or several."""

    def __init__(self, *listen: str, name: str = "python", threads: int = 8, max_inflight: int = 256):
        if not listen or threads < 1:
            raise ValueError("a worker needs an address to listen at and at least one thread")
        self._lock = threading.RLock()  # a signal handler may come in the middle
        self._handlers: dict[str, Handler] = {}
        self._calls: dict[int | None, Call] = {}
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._ready: list[Call] = []
        self._threads, self._posted, self._result = threads, False, _c.OK
        self._ended = threading.Event()
        self._pump_all_c = _c.POSTED(self._pump_all)
        self._handler = _c.Handler(_c.ON_REQUEST(self._on_request), _c.ON_CALL(self._on_cancel),
                                   _c.ON_CALL(self._on_writable), _c.ON_CALL(self._on_gone))
        options = _c.Options(None, name.encode(), max_inflight)
        err = ctypes.create_string_buffer(256)
        self._c = _c.worker_new(options, self._handler, None, err)
        if not self._c:
            raise OSError(err.value.decode(errors="replace"))
        for address in listen:
            if _c.worker_listen(self._c, address.encode(), err) != _c.OK:
                self.close()
                raise OSError(err.value.decode(errors="replace"))
        _workers.add(self)

    def on(self, capability: str) -> Callable[[Handler], Handler]:
        """Decorates the handler for "chat", "embeddings", ...; call.model says which model."""
        if capability not in ALL:
            raise ValueError(f"there is no capability '{capability}'; expected one of {', '.join(ALL)}")

        def register(handler: Handler) -> Handler:
            self._handlers[capability] = handler
            return handler
        return register

    @property
    def port(self) -> int:
        """Of the first tcp: address; 0 when there is none."""
        with self._lock:
            return _c.worker_port(self._c) if self._c else 0

    def run(self) -> None:
        """Serves until stop(), or, on the main thread, until SIGTERM or SIGINT.  What is still
        running then is cut."""
        if not self._c:
            raise RuntimeError("the worker has been closed")
        for n in range(self._threads):
            threading.Thread(target=self._serve, name=f"maasworker-{n}", daemon=True).start()
        with _Signals(self.stop):
            threading.Thread(target=self._loop, name="maasworker-loop", daemon=True).start()
            self._ended.wait()
        if self._result != _c.OK:
            raise OSError("libmaasworker's event loop failed")

    def stop(self) -> None:
        """Ends run().  From any thread and from a signal handler."""
        with self._lock:
            if self._c:
                _c.worker_stop(self._c)

    def close(self) -> None:
        """Stops listening and removes the sockets.  run() does it at its end."""
        with self._lock:
            c, self._c = self._c, None
        if c:
            _c.worker_free(c)

    # ---- handlers' threads ----

    def _serve(self) -> None:
        while (call := self._waiting.get()) is not None:
            call._run(self._handlers.get(call.capability, _no_handler))

    def _pump_soon(self, call: Call) -> None:
        with self._lock:
            if not self._c:
                return
            self._ready.append(call)
            if not self._posted:
                self._posted = True
                _c.worker_post(self._c, self._pump_all_c, None)

    # ---- the loop's thread ----

    def _loop(self) -> None:
        try:
            self._result = _c.worker_run(self._c)
            self.close()  # each call that is open hears on_gone
        finally:
            for _ in range(self._threads):
                self._waiting.put(None)
            self._ended.set()

    def _pump_all(self, _: Any) -> None:
        with self._lock:
            ready, self._ready, self._posted = self._ready, [], False
        for call in ready:
            call._pump()

    def _on_request(self, handle: int, request: Any, _: Any) -> None:
        try:
            call = Call(self, handle, request.contents)
        except MemoryError:
            _c.call_fail(handle, 503, b"the worker is out of memory", None)
            return
        self._calls[handle] = call
        self._waiting.put(call)

    def _on_cancel(self, handle: int, _: Any) -> None:
        self._calls[handle]._cancel()

    def _on_writable(self, handle: int, _: Any) -> None:
        self._calls[handle]._pump()

    def _on_gone(self, handle: int, _: Any) -> None:
        self._calls[handle]._forget()

    def _forked(self) -> None:
        """In a child: the worker is the parent's.  The child keeps none of its sockets open."""
        c, self._c = self._c, None
        self._lock = threading.RLock()  # the other one may be held by a thread that is not here
        if c:
            _c.worker_forked(c)


class _Signals:
    """SIGTERM and SIGINT call `stop`, on the main thread; elsewhere they are left alone."""

    def __init__(self, stop: Callable[[], None]):
        self._stop = stop
        self._before: dict[int, Any] = {}
        self._mine = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT) if self._mine else ():
            self._before[number] = signal.signal(number, lambda *_: self._stop())

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _step(function: Callable[..., int], *arguments: Any) -> Step:
    return lambda handle: function(handle, *arguments)


def _no_handler(call: Call) -> None:
    raise Fail(400, f"this worker has no handler for {call.capability}")


def _bytes(part: Any) -> bytes:
    if isinstance(part, dict):
        return json.dumps(part, separators=(",", ":")).encode()
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"an answer is a dict or bytes, or text for chat; not {type(part).__name__}")


def _sentence(message: str) -> bytes:
    plain = "".join(c if " " <= c <= "~" else "?" for c in message)
    return plain.encode()[:MESSAGE_BYTES_MAX]


_NAMES = {number: name for name, number in _c.CAPABILITIES.items()}
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_workers):
        worker._forked()


os.register_at_fork(after_in_child=_after_fork)
