/* gateway/stream.h -- an answer that leaves as it comes: server-sent events, or bytes (sound).
 *
 * Data lines only, LF only, one event at a time; the bytes of an event pass
 * untouched.  What a slow reader has not taken waits in the request; past
 * stream_buffer_max its backend is held back, and its backend alone. */
#ifndef MAAS_STREAM_H
#define MAAS_STREAM_H
#include <stdbool.h>
#include <stddef.h>

struct request;

/* Between the parts of a JSON text a line end is a space; inside a string it cannot be.  In an
 * event it would end the line. */
void stream_one_line(char *at, size_t len);
/* One event's JSON text.  The first one commits status 200.  False: the stream is lost. */
bool stream_event(struct request *r, const char *json, size_t len);
/* Bytes of an answer that is neither JSON nor events; r->answer.content_type says what they are. */
bool stream_bytes(struct request *r, const char *bytes, size_t len);
/* The usage chunk when it was asked for, the end marker, the end. */
void stream_finish(struct request *r);
/* An error after status 200: an error event, then the end without the marker. */
void stream_fail(struct request *r);
/* Looks again whether its backend is to be held back. */
void stream_pace(struct request *r);
/* The reader has left: its backend is not held back any more. */
void stream_release(struct request *r);
/* How many bytes may be sent next, at most so many, at body.at + taken: whole events, or a part of
 * one that alone has more; 0: none. */
size_t stream_next(const struct request *r, size_t most);
/* So many of them are on the socket. */
void stream_taken(struct request *r, size_t n);
/* For the HTTP server: moves whole events into `room`; 0: nothing there. */
size_t stream_take(struct request *r, char *room, size_t room_len);
/* Every half second: keep-alives for quiet streams, an end to stalled ones. */
void stream_tick(struct request *r);

#endif
