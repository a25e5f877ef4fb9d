"""libmaasworker as ctypes sees it: maasworker.h, line for line (a test compares the two).

Most functions are called through PyDLL, that is with the interpreter's lock held: they take
microseconds and never wait, and giving the lock up for each would cost far more.  Only
maas_worker_run(), which waits for hours, is called without it.
"""
from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any

SONAME = "libmaasworker.so.0"
OK, AGAIN, GONE, INVALID = 0, 1, -1, -2
CAPABILITIES = {"chat": 1, "embeddings": 2, "images": 4, "infer": 8, "completions": 16, "speech": 32,
                "transcription": 64, "translation": 128, "rerank": 256, "moderation": 512}
EVENT_BYTES_MAX = 1 << 20


class Request(ctypes.Structure):
    _fields_ = [
        ("request_id", c_int64),
        ("capability", c_int),
        ("model", c_char_p),
        ("public_model", c_char_p),
        ("stream", c_bool),
        ("body", c_void_p),
        ("body_len", c_size_t),
        ("max_output_tokens", c_uint32),
        ("deadline_ms", c_uint32),
        ("content_type", c_char_p),
        ("header_len", c_int64),
    ]


class Usage(ctypes.Structure):
    _fields_ = [(name, c_int64) for name in (
        "input_tokens", "input_cached_tokens", "input_cache_write_tokens",
        "output_tokens", "output_reasoning_tokens",
        "images", "characters", "audio_ms", "compute_ms", "tensor_elements",
        "input_audio_tokens", "input_image_tokens", "output_audio_tokens", "output_image_tokens",
        "video_ms")]


ON_REQUEST = CFUNCTYPE(None, c_void_p, POINTER(Request), c_void_p)
ON_CALL = CFUNCTYPE(None, c_void_p, c_void_p)
POSTED = CFUNCTYPE(None, c_void_p)


class Handler(ctypes.Structure):
    _fields_ = [
        ("on_request", ON_REQUEST),
        ("on_cancel", ON_CALL),
        ("on_writable", ON_CALL),
        ("on_gone", ON_CALL),
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("listen", c_char_p),
        ("name", c_char_p),
        ("max_inflight", c_uint32),
    ]


def find_library() -> str:
    """$MAASWORKER_LIBRARY, else beside a folder that this file is in (PREFIX/lib), else the system's."""
    named = os.environ.get("MAASWORKER_LIBRARY")
    if named:
        return named
    for folder in pathlib.Path(__file__).resolve().parents:
        if (folder / SONAME).exists():
            return str(folder / SONAME)
    return SONAME


def _open() -> tuple[ctypes.PyDLL, ctypes.CDLL]:
    path = find_library()
    try:
        return ctypes.PyDLL(path), ctypes.CDLL(path)
    except OSError as e:
        raise ImportError(f"libmaasworker cannot be loaded ({e}); install maasgate, or set"
                          " MAASWORKER_LIBRARY to the path of libmaasworker.so") from None


_quick, _waiting = _open()


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    f = getattr(library, name)
    f.restype, f.argtypes = result, arguments
    return f


_fits = _function(_quick, "maas_worker_fits", c_bool, c_size_t, c_size_t, c_size_t, c_size_t)
if not _fits(*map(ctypes.sizeof, (Request, Usage, Handler, Options))):
    raise ImportError(f"{find_library()} and this package are of different versions of maasgate")

worker_new = _function(_quick, "maas_worker_new", c_void_p, POINTER(Options), POINTER(Handler), c_void_p, c_char_p)
worker_listen = _function(_quick, "maas_worker_listen", c_int, c_void_p, c_char_p, c_char_p)
worker_port = _function(_quick, "maas_worker_port", c_int, c_void_p)
worker_run = _function(_waiting, "maas_worker_run", c_int, c_void_p)
worker_stop = _function(_quick, "maas_worker_stop", None, c_void_p)
worker_post = _function(_quick, "maas_worker_post", None, c_void_p, POSTED, c_void_p)
worker_free = _function(_quick, "maas_worker_free", None, c_void_p)
worker_forked = _function(_quick, "maas_worker_forked", None, c_void_p)

call_format = _function(_quick, "maas_call_format", c_int, c_void_p, c_char_p, c_int64)
call_send = _function(_quick, "maas_call_send", c_int, c_void_p, c_char_p, c_size_t, POINTER(Usage))
call_send_usage_event = _function(_quick, "maas_call_send_usage_event", c_int, c_void_p, c_char_p, c_size_t)
call_finish = _function(_quick, "maas_call_finish", c_int, c_void_p, POINTER(Usage))
call_fail = _function(_quick, "maas_call_fail", c_int, c_void_p, c_int, c_char_p, POINTER(Usage))
chat_delta = _function(_quick, "maas_chat_delta", c_int, c_void_p, c_char_p, c_size_t, POINTER(Usage))
chat_finish = _function(_quick, "maas_chat_finish", c_int, c_void_p, c_char_p, c_size_t, c_char_p, POINTER(Usage))
