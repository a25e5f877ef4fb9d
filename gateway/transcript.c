/* gateway/transcript.c -- see transcript.h. */
#include "gateway/transcript.h"
#include "base/jscan.h"
#include "base/jstring.h"
#include <stdlib.h>

enum { SHORT_BYTES = 1024, CHOICE_MAX = 1000 };

struct head {
    uint32_t len, choice, kind;
};

void transcript_init(struct transcript *t, size_t max)
{
    *t = (struct transcript){ .incomplete = false };
    buf_init(&t->log, max);
}

void transcript_free(struct transcript *t)
{
    buf_free(&t->log);
}

static bool put(struct transcript *t, struct head h, const char *text)
{
    size_t before = t->log.len;
    if (h.len == 0 || (buf_add(&t->log, &h, sizeof h) && buf_add(&t->log, text, h.len)))
        return true;
    t->log.len = before;
    return false;
}

static void add_text(struct transcript *t, const struct jfield *f, uint32_t choice,
                     enum said_kind kind)
{
    char few[SHORT_BYTES], *text = few;
    struct span inside = { f->value.at + 1, f->value.len - 2 };
    size_t len = 0;
    if (inside.len > sizeof few)
        text = malloc(inside.len);
    bool ok =
        text && inside.len <= UINT32_MAX &&
        jstring_unescape(inside, text, inside.len > sizeof few ? inside.len : sizeof few, &len);
    if (!ok || !put(t, (struct head){ (uint32_t)len, choice, kind }, text))
        t->incomplete = true;
    if (text != few)
        free(text);
}

static bool is_said(const struct jfield *f)
{
    return f->type != J_ABSENT && f->type != J_NULL && !span_is(f->value, "[]");
}

/* Of several members that say the same the first counts: reasoning has two names. */
enum { CONTENT, REFUSAL, REASONING_CONTENT, REASONING, TOOL_CALLS, FUNCTION_CALL, AUDIO, MEMBERS };

static void add_message(struct transcript *t, struct span message, uint32_t choice)
{
    struct jfield m[MEMBERS] = {
        { .key = "content" },   { .key = "refusal" },    { .key = "reasoning_content" },
        { .key = "reasoning" }, { .key = "tool_calls" }, { .key = "function_call" },
        { .key = "audio" }
    };
    if (jscan_member(message, m, MEMBERS) != STATUS_OK) {
        t->incomplete = true;
        return;
    }
    if (m[REASONING_CONTENT].type == J_STRING)
        m[REASONING].type = J_ABSENT;
    for (int i = CONTENT; i <= REASONING; i++)
        if (m[i].type == J_STRING)
            add_text(t, &m[i], choice, i >= REASONING_CONTENT ? SAID_REASONING : SAID_TEXT);
        else if (is_said(&m[i]))
            t->incomplete = true;
    for (int i = TOOL_CALLS; i < MEMBERS; i++)
        if (is_said(&m[i]))
            t->incomplete = true;
}

static void add_choice(struct transcript *t, struct span choice)
{
    struct jfield m[] = {
        { .key = "index" }, { .key = "delta" }, { .key = "message" }, { .key = "text" }
    };
    int64_t index = 0;
    if (jscan_member(choice, m, 4) != STATUS_OK ||
        (m[0].type != J_ABSENT && (!jscan_int(&m[0], &index) || index < 0 || index > CHOICE_MAX))) {
        t->incomplete = true;
        return;
    }
    for (int i = 1; i <= 2; i++)
        if (m[i].type == J_OBJECT)
            add_message(t, m[i].value, (uint32_t)index);
    if (m[3].type == J_STRING)
        add_text(t, &m[3], (uint32_t)index, SAID_TEXT);
}

void transcript_add(struct transcript *t, struct span json)
{
    struct jfield choices = { .key = "choices" }, choice;
    struct jscan_error ignored;
    size_t at = 0;
    if (jscan_object(json, &choices, 1, &ignored) != STATUS_OK) {
        t->incomplete = true;
        return;
    }
    if (choices.type != J_ARRAY)
        return;
    while (jscan_element(choices.value, &at, &choice))
        if (choice.type == J_OBJECT)
            add_choice(t, choice.value);
}

bool transcript_next(const struct transcript *t, size_t *at, size_t end, struct said *ret)
{
    struct head h;
    if (*at >= end || *at >= t->log.len)
        return false;
    memcpy(&h, t->log.at + *at, sizeof h);
    *ret = (struct said){ h.choice, (enum said_kind)h.kind, { t->log.at + *at + sizeof h, h.len } };
    *at += sizeof h + h.len;
    return true;
}
