/* gateway/question.c -- see question.h. */
#include "gateway/question.h"
#include "gateway/ask_ledger.h"
#include "gateway/query.h"
#include "gateway/request.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status run(struct reader_op *op, struct db *db)
{
    struct question *q = (struct question *)op; /* op is its first member */
    return q->ask(q, db);
}

static void done(struct reader_op *op)
{
    ask_answered(((struct question *)op)->request);
}

void *question_room(struct request *r, size_t size)
{
    void *room = arena_alloc(r->arena, size);
    if (!room)
        (void)request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    return room;
}

enum verdict question_bad(struct request *r, const char *param, const char *expected)
{
    return request_fail(r, STATUS_BAD_FIELD, param, "'%s' must be %s", param, expected);
}

static const struct parameter *find(const struct parameter *known, unsigned takes, const char *name)
{
    for (const struct parameter *p = known; p->name; p++)
        if (takes & p->bit && strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

static enum verdict unknown(struct request *r, const struct parameter *known, unsigned takes)
{
    char names[256] = "";
    for (const struct parameter *p = known; p->name; p++) {
        size_t at = strlen(names);
        if (takes & p->bit)
            snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", p->name);
    }
    return request_fail(r, STATUS_UNSUPPORTED_FIELD, NULL, "the parameters here are %s", names);
}

enum verdict question_parameters(struct request *r, const struct parameter *known, unsigned takes,
                                 void *into)
{
    struct span rest = r->in.query;
    struct query_pair pair;
    unsigned seen = 0;
    enum status s;
    while ((s = query_next(&rest, r->arena, &pair)) == STATUS_OK && pair.name) {
        const struct parameter *p = find(known, takes, pair.name);
        if (!p)
            return unknown(r, known, takes);
        if (seen & p->bit && !p->many)
            return request_fail(r, STATUS_BAD_FIELD, p->name, "'%s' is given twice", p->name);
        seen |= p->bit;
        if (p->read(r, pair.value, into) != NEXT)
            return FAIL;
    }
    return s == STATUS_OK ? NEXT : request_fail(r, s, NULL, NULL);
}

static enum verdict submit(struct request *r, struct question *q)
{
    q->op.run = run;
    q->op.done = done;
    q->request = r;
    r->question = q;
    r->asked = ASKED_WAITING;
    enum status s = reader_submit(r->loop->daemon->reader, &q->op);
    if (s == STATUS_OK)
        return WAIT;
    r->asked = ASKED_NOT;
    r->answer.retry_after_ms = 1000;
    return request_fail(r, s, NULL, NULL);
}

static enum verdict deliver(struct request *r)
{
    struct question *q = r->question;
    enum status s = q->op.status;
    r->asked = ASKED_NOT;
    if (s == STATUS_OK && !(q->text && buf_text(&r->answer.body, q->text)))
        s = STATUS_NO_MEMORY;
    free(q->text);
    r->answer.content_type = q->content_type;
    r->answer.amount_unit = q->amount_unit;
    return s == STATUS_OK ? FAIL
                          : request_fail(r, s, q->param, q->problem ? "%s" : NULL, q->problem);
}

enum verdict question_answer(struct request *r, struct question *(*prepare)(struct request *r))
{
    if (r->asked == ASKED_WAITING)
        return WAIT;
    if (r->asked == ASKED_ANSWERED)
        return deliver(r);
    struct question *q = prepare(r);
    return q ? submit(r, q) : FAIL;
}
