/* gateway/direct.h -- the events of a stream straight to its socket, past the HTTP library.
 *
 * The library walks all connections that wait whenever one of them is resumed; with
 * thousands of streams that walk was two thirds of the daemon's work.  So a stream is
 * not resumed for its events.  Once the library has asked for more of a chunked body
 * and was told to wait, all it had is on the socket, and until it is resumed it writes
 * nothing: meanwhile whole chunks are written here, one for what a turn of the loop has
 * brought.  A chunk that a full socket took in part is finished before anything else,
 * also before the library is resumed to end the answer.
 *
 * It relies on what the library does inside (reference/runtime.md 1.4), so http_proof
 * tries it at each start.  `stream_writes: library` does without.  Loop thread.
 */
#ifndef MAAS_DIRECT_H
#define MAAS_DIRECT_H
#include <stdbool.h>

struct loop;
struct request;

/* The library waits for more of this stream. */
void direct_open(struct request *r);
/* Something to send has been added: it leaves at the end of this turn.  False: this is not the
 * time, the library must be resumed for it. */
bool direct_add(struct request *r);
/* Not any more: the library goes on, or the connection has gone. */
void direct_close(struct request *r);
/* Before the loop waits. */
void direct_run(struct loop *l);
/* The socket has room again, or will never have. */
void direct_room(struct request *r);

#endif
