/* backends/http_driver.h -- models behind HTTP: whatever speaks OpenAI's API
 * (vLLM, SGLang, llama.cpp, Ollama, vendors) or the Open Inference Protocol.
 *
 * A backend is composed of rows (docs/dialects.md).  `address` is the base URL,
 * in front of the dialect's paths; a query in it stays.  https verifies the
 * certificate.  No redirect is followed and no proxy of the environment is used.
 *
 * One request is sent at most once.  libcurl would send a POST again by itself
 * when a kept connection turns out dead before any answer; that is refused here,
 * because the backend may have run the first one.  The price: a connection that
 * the backend closes in the same instant fails that call (BACKEND_FAILED).  Kept
 * connections are therefore not used after 4 s idle: servers close them at 5.
 * With repeat_unanswered it is sent once more on a new connection: llama.cpp's
 * server ends each connection after its second stream, and does not say so.
 *
 * Over https HTTP/2 is spoken where the server chooses it (http_h2.h), and a call that
 * it certainly did not begin is sent again; plain http is HTTP/1.1.
 *
 * `up` is false until the host's name is resolved.
 * Names are resolved in the background at open and every 60 s.  The process must
 * ignore SIGPIPE: OpenSSL writes to sockets that the other side has closed.
 */
#ifndef MAAS_HTTP_DRIVER_H
#define MAAS_HTTP_DRIVER_H
#include "backends/backend.h"

extern const struct backend_driver backend_http_driver;

#endif
