/* backends/workertest/exam.c -- runs the checks and prints a line for each. */
#include "backends/workertest/exam.h"
#include "base/cleanup.h"
#include <stdarg.h>
#include <stdlib.h>

static const struct check *const groups[] = { checks_greeting, checks_request, checks_flow,
                                              checks_end, checks_rude };

bool exam_fail(struct exam *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->a->link.why, sizeof e->a->link.why, fmt, args);
    va_end(args);
    return false;
}

void exam_note(struct exam *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->note, sizeof e->note, fmt, args);
    va_end(args);
}

bool exam_open(struct exam *e, struct convo *c, const struct link_manners *m)
{
    static const struct link_manners usual;
    return convo_open(c, e->order->address, e->order->patience_ms, m ? m : &usual);
}

static bool ask(struct exam *e, struct convo *c, unsigned slot, unsigned kind, struct plea *p,
                char *body)
{
    p->capability = e->asks.kind[kind].capability;
    p->model = e->asks.kind[kind].model;
    p->body = (struct span){ body, strlen(body) };
    return convo_ask(c, slot, p);
}

bool exam_ask(struct exam *e, struct convo *c, unsigned slot, bool stream, unsigned words,
              unsigned max_tokens)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, stream, words, max_tokens);
    struct plea p = { .stream = stream, .max_out = max_tokens };
    return ask(e, c, slot, 0, &p, body);
}

bool exam_ask_whole(struct exam *e, struct convo *c, unsigned slot)
{
    return exam_ask(e, c, slot, false, 20, 16);
}

bool exam_ended_well(struct convo *c, unsigned slot)
{
    if (!convo_until_end(c, slot))
        return false;
    const struct talk *t = &c->talk[slot];
    return t->final.code == 0 || link_fail(&c->link, "FINAL has code %u: '%.*s'", t->final.code,
                                           120, (const char *)c->link.payload + sizeof t->final);
}

static bool is_named(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return !*list;
}

static bool can_run(const struct exam *e, const struct check *k)
{
    if (k != checks_greeting && !is_named(e->order->only, k->name))
        return false;
    bool shm = *e->order->address == '/' || strncmp(e->order->address, "shm:", 4) == 0;
    return !((k->needs & NEEDS_STREAM) && !asks_streams(&e->asks.kind[0])) &&
           !((k->needs & NEEDS_TWO) && e->hello.max_inflight < 2) &&
           !((k->needs & NEEDS_SHM) && !shm) && !((k->needs & NEEDS_BYTES) && shm);
}

static bool run_check(struct exam *e, const struct check *k)
{
    FILE *out = e->order->out;
    e->note[0] = e->a->link.why[0] = e->b->link.why[0] = '\0';
    e->a->link.fd = e->b->link.fd = -1;
    bool ok = k->run(e);
    if (e->a->link.hello.magic)
        e->hello = e->a->link.hello;
    fprintf(out, "%s  %-20s %s", ok ? "ok  " : "FAIL", k->name, k->sentence);
    if (!ok)
        fprintf(out, "; %s%s", e->a->link.why, e->b->link.why);
    else if (e->note[0])
        fprintf(out, " (%s)", e->note);
    fputc('\n', out);
    fflush(out);
    convo_close(e->a);
    convo_close(e->b);
    memset(e->b, 0, sizeof *e->b);
    return ok;
}

/* A name that is no check's would silently check nothing. */
static bool names_are_known(const char *list)
{
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
        bool known = false;
        size_t len = strcspn(at, ",");
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (const struct check *k = groups[g]; k->name; k++)
                known |= strlen(k->name) == len && memcmp(k->name, at, len) == 0;
        if (!known) {
            fprintf(stderr, "maasgate: there is no check '%.*s'\n", (int)len, at);
            return false;
        }
    }
    return true;
}

bool worker_test_run(const struct worker_test *t, bool *ret_usage)
{
    struct exam e = { .order = t };
    unsigned passed = 0, failed = 0;
    *ret_usage = !names_are_known(t->only) || !asks_read(&e.asks, t->ask, t->body);
    if (*ret_usage)
        return false;
    e.a = calloc(1, sizeof *e.a);
    e.b = calloc(1, sizeof *e.b);
    if (!e.a || !e.b)
        abort();
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (const struct check *k = groups[g]; k->name; k++) {
            if (!can_run(&e, k))
                continue;
            if (run_check(&e, k))
                passed++;
            else
                failed++;
        }
    fprintf(t->out, "%u passed, %u failed\n", passed, failed);
    free(e.a);
    free(e.b);
    return failed == 0;
}
