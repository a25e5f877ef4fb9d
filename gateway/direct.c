/* gateway/direct.c -- see direct.h. */
#include "gateway/direct.h"
#include "gateway/daemon.h"
#include "gateway/http.h"
#include "gateway/request.h"
#include "gateway/stream.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    CHUNK_BYTES_MAX = 16 * 1024, /* of a chunk that is not whole nothing is counted as delivered */
    CHUNK_HEAD_BYTES = 2 * sizeof(size_t) + 2,
};

/* ---- which streams have something to send ---- */

static void enlist(struct request *r)
{
    if (!r->answer.direct.listed)
        TAILQ_INSERT_TAIL(&r->loop->direct, r, direct);
    r->answer.direct.listed = true;
}

static void unlist(struct request *r)
{
    if (r->answer.direct.listed)
        TAILQ_REMOVE(&r->loop->direct, r, direct);
    r->answer.direct.listed = false;
}

void direct_open(struct request *r)
{
    bool wanted = r->loop->daemon->direct && *r->snapshot->conf->stream_writes == 'd';
    /* To an older client there are no chunks; a newer one there is not. */
    r->answer.direct.open = wanted && strcmp(r->in.version, "HTTP/1.1") == 0;
}

void direct_close(struct request *r)
{
    unlist(r);
    r->answer.direct.open = r->answer.direct.blocked = false;
}

/* The end of an answer is the library's to say, behind a chunk that is whole. */
bool direct_add(struct request *r)
{
    const struct direct *d = &r->answer.direct;
    if (!d->open || (r->answer.finished && d->chunk == 0))
        return false;
    if (!d->blocked)
        enlist(r);
    return true;
}

void direct_room(struct request *r)
{
    if (!r->answer.direct.blocked)
        return;
    r->answer.direct.blocked = false;
    enlist(r);
}

/* ---- chunks ---- */

/* An edge comes when there is room again, now or later; an edge that nobody waits for does no harm,
 * so it stays asked for. */
static bool wait_for_room(struct request *r)
{
    struct epoll_event e = { .events = EPOLLRDHUP | EPOLLOUT | EPOLLET, .data.ptr = r->conn };
    r->answer.direct.blocked = epoll_ctl(r->loop->hup_fd, EPOLL_CTL_MOD, r->conn->fd, &e) == 0;
    return r->answer.direct.blocked;
}

/* "3f2\r\n" at the end of the room. */
static struct iovec chunk_head(size_t n, char room[static CHUNK_HEAD_BYTES])
{
    char *end = room + CHUNK_HEAD_BYTES, *at = end;
    *--at = '\n';
    *--at = '\r';
    for (; n > 0; n >>= 4)
        *--at = "0123456789abcdef"[n & 15];
    return (struct iovec){ at, (size_t)(end - at) };
}

/* Head, events and line end of the chunk under way, without what was sent of them.
 * ret_left: their bytes. */
static size_t chunk_parts(const struct request *r, char head[static CHUNK_HEAD_BYTES],
                          struct iovec parts[static 3], size_t *ret_left)
{
    const struct answer *a = &r->answer;
    const struct iovec all[] = { chunk_head(a->direct.chunk, head),
                                 { a->body.at + a->taken, a->direct.chunk },
                                 { (char *)(uintptr_t) "\r\n", 2 } };
    size_t skip = a->direct.sent, count = 0;
    *ret_left = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t cut = skip < all[i].iov_len ? skip : all[i].iov_len, left = all[i].iov_len - cut;
        skip -= cut;
        *ret_left += left;
        if (left)
            parts[count++] = (struct iovec){ (char *)all[i].iov_base + cut, left };
    }
    return count;
}

enum sent { SENT, FULL, DEAD };

static enum sent send_chunk(struct request *r)
{
    struct direct *d = &r->answer.direct;
    char head[CHUNK_HEAD_BYTES];
    struct iovec parts[3];
    size_t left;
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = chunk_parts(r, head, parts, &left) };
    ssize_t n = sendmsg(r->conn->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? FULL : DEAD;
    r->answer.progress_ns = request_now_ns(r);
    d->sent += (size_t)n;
    if ((size_t)n < left)
        return FULL;
    COUNT(&r->loop->counters, direct_chunks);
    size_t chunk = d->chunk;
    d->chunk = d->sent = 0;
    stream_taken(r, chunk);
    return SENT;
}

/* Of a finished answer just the chunk under way: what is behind it the library sends, with the end. */
static enum sent send_chunks(struct request *r)
{
    struct direct *d = &r->answer.direct;
    enum sent s = SENT;
    while (s == SENT && d->open) {
        if (d->chunk == 0 && !r->answer.finished)
            d->chunk = stream_next(r, CHUNK_BYTES_MAX);
        if (d->chunk == 0)
            break;
        s = send_chunk(r);
    }
    return s;
}

static void flush(struct request *r)
{
    if (!r->answer.direct.open || r->answer.direct.blocked || (r->gone && !r->answer.finished))
        return;
    enum sent s = send_chunks(r);
    if (s == FULL && wait_for_room(r))
        return;
    if (s != SENT || r->answer.finished)
        http_resume(r); /* to find the connection dead, or for the rest and the end */
}

void direct_run(struct loop *l)
{
    struct request *r;
    while ((r = TAILQ_FIRST(&l->direct))) {
        unlist(r);
        flush(r);
    }
}
