/* tests/helpers/http_rig.h -- an HTTP backend on a stub, its loop, and a clock moved by hand. */
#ifndef MAAS_HTTP_RIG_H
#define MAAS_HTTP_RIG_H
#include "backends/http_driver.h"
#include "tests/helpers/stub_http.h"

enum { RIG_DATA_MAX = 4096 };
#define SECOND     INT64_C(1000000000)
#define RIG_WALL_S INT64_C(1790000000) /* 2026-09-21T14:13:20Z */

#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SSE_HEAD  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

struct rig {
    struct span body;             /* of each request; a small one when it is empty */
    struct backend_format format; /* of that body */
    bool any_format;
    struct stub_http *stub;
    struct catalog_backend conf;
    char address[128];
    uv_loop_t loop;
    uv_timer_t guard;
    struct backend *backend;
    uint64_t hurry_ms; /* all the time that clients give; 0: as long as it takes */
    unsigned hops;     /* of each request, before this gateway */
    bool h2;           /* http_version: auto */
    bool inside;       /* of a driver's function: no callback may come now */
    bool closed;
};

struct call {
    struct rig *rig;
    struct backend_call *call;
    char data[RIG_DATA_MAX]; /* "event;event;"; the body's pieces alike */
    size_t bytes;
    unsigned pieces, usage_events, ends;
    struct usage so_far;
    struct backend_format format; /* of the last piece that said one */
    char type[128];
    struct backend_end end;
    unsigned cancel_at, pause_at; /* after so many pieces */
};

extern int64_t rig_now_ns;       /* what the backend takes for the time */
extern const struct env rig_env; /* has only a clock */

struct tls *rig_tls(const struct catalog_backend *conf); /* of its files; for tls_free */
void rig_open(struct rig *r, const struct stub_http_answer *answers,
              size_t count); /* on a new stub */
void rig_open_at(struct rig *r, const char *url, const char *path);
void rig_close(struct rig *r); /* also the stub; checks that nothing is left in the loop */
void rig_wait_up(struct rig *r);
enum status rig_start(struct rig *r, struct call *c, enum capability cap, bool stream);
void rig_finish(struct call *c); /* runs until on_end came, and checks that it came once */
void rig_chat(struct rig *r, struct call *c, bool stream); /* a fresh call, started and finished */
void rig_cancel(struct call *c);
void rig_pause(struct call *c, bool paused);
void rig_spin(struct rig *r, uint64_t ms); /* real time */

#endif
