/* gateway/http.h -- the HTTP server of one loop: libmicrohttpd behind our own words.
 *
 * server.c accepts requests and bodies, reply.c makes every answer.  Loop thread.
 */
#ifndef MAAS_HTTP_H
#define MAAS_HTTP_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct request;
struct daemon;
struct metrics_server;

MUST_CHECK enum status http_open(struct loop *l, char err[static 256]);
/* Every connection must be resumed before: the library aborts otherwise. */
void http_close(struct loop *l);
int http_poll_fd(const struct loop *l);
/* False: the socket was refused and is closed. */
bool http_adopt(struct loop *l, int fd, const struct sockaddr *addr, socklen_t len,
                uint64_t ip_slot);
/* Lets the library work until it wants to wait.  True: it wants to run again at once. */
bool http_run(struct loop *l);
void http_suspend(struct request *r);
void http_resume(struct request *r);

/* What the client sent under that name, kept until its answer; NULL: nothing. */
const char *http_request_header(const struct request *r, const char *name);

/* reply.c: the only maker of responses.  False: it could not be queued; the connection must be cut. */
bool reply_send(struct request *r);
/* The stream's status and headers; the body follows through r->answer. */
bool reply_stream(struct request *r);

/* Own listener for /metrics, on a thread of the library's. */
MUST_CHECK enum status metrics_server_open(struct daemon *d, const char *listen,
                                           struct metrics_server **ret, char err[static 256]);
void metrics_server_close(struct metrics_server *m);

/* The library's version is at least 1.0.5; a sentence otherwise. */
MUST_CHECK enum status http_check_version(char err[static 256]);
const char *http_library_version(void);

/* http_proof.c: whether the library leaves a socket alone while its connection waits, so that a
 * stream can be written past it (direct.h).  A short conversation with itself; any thread. */
bool http_proof(void);

#endif
