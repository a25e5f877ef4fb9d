/* gateway/prompt_texts.c -- see prompt_texts.h. */
#include "gateway/prompt_texts.h"
#include "base/jscan.h"
#include "gateway/request.h"

static bool is_given(const struct jfield *f)
{
    return f->type != J_ABSENT && f->type != J_NULL;
}

static void wait_text(struct prompt_texts *p, const struct jfield *f)
{
    p->waiting[p->waiting_count++] = (struct span){ f->value.at + 1, f->value.len - 2 };
}

/* What a template makes of these is not known here. */
static bool has_more(const struct request *r)
{
    struct jfield f[] = { { .key = "tools" },
                          { .key = "functions" },
                          { .key = "response_format" } };
    struct span body = { r->in.body, r->in.body_len };
    if (jscan_member(body, f, 3) != STATUS_OK)
        return true;
    return is_given(&f[0]) || is_given(&f[1]) || is_given(&f[2]);
}

/* A text, a list of texts, a list of ids of tokens, or a list of such lists. */
static void init_prompts(struct prompt_texts *p, const struct jfield *f)
{
    if (f->type == J_STRING)
        wait_text(p, f);
    else if (f->type == J_ARRAY)
        p->list = f->value;
    else
        p->incomplete = true;
}

void prompt_texts_init(struct prompt_texts *p, const struct request *r)
{
    const struct ask *a = &r->ask;
    *p = (struct prompt_texts){ .by = r->model->tokenizer };
    switch (r->target.row->capability) {
    case CAP_CHAT:
        p->messages = true;
        p->list = a->field[ASK_MESSAGES].value;
        p->more = r->model->recipe.system_json;
        p->extra = p->by->request_tokens;
        p->incomplete = has_more(r);
        break;
    case CAP_COMPLETIONS:
        init_prompts(p, &a->field[ASK_PROMPT]);
        break;
    default:
        init_prompts(p, &a->field[ASK_INPUT]);
    }
}

static bool next_part(struct prompt_texts *p, struct span *ret)
{
    struct jfield part, m[2] = { { .key = "type" }, { .key = "text" } };
    while (p->parts.len && jscan_element(p->parts, &p->parts_at, &part)) {
        bool text = part.type == J_OBJECT && jscan_member(part.value, m, 2) == STATUS_OK &&
                    m[1].type == J_STRING && span_is(m[0].value, "\"text\"");
        if (text) {
            *ret = (struct span){ m[1].value.at + 1, m[1].value.len - 2 };
            return true;
        }
        p->incomplete = true;
    }
    p->parts.len = 0;
    return false;
}

enum { CONTENT, NAME, TOOL_CALLS, FUNCTION_CALL, MEMBERS };

static void read_message(struct prompt_texts *p, struct span message)
{
    struct jfield m[MEMBERS] = {
        { .key = "content" }, { .key = "name" }, { .key = "tool_calls" }, { .key = "function_call" }
    };
    p->extra += p->by->message_tokens;
    if (jscan_member(message, m, MEMBERS) != STATUS_OK) {
        p->incomplete = true;
        return;
    }
    if (m[CONTENT].type == J_STRING)
        wait_text(p, &m[CONTENT]);
    else if (m[CONTENT].type == J_ARRAY)
        p->parts = m[CONTENT].value, p->parts_at = 0;
    else
        p->incomplete |= is_given(&m[CONTENT]);
    if (m[NAME].type == J_STRING)
        wait_text(p, &m[NAME]);
    p->incomplete |= is_given(&m[TOOL_CALLS]) || is_given(&m[FUNCTION_CALL]);
}

static void read_prompt(struct prompt_texts *p, const struct jfield *f)
{
    if (f->type == J_STRING)
        wait_text(p, f);
    else if (f->type == J_NUMBER)
        p->extra++;
    else if (f->type == J_ARRAY)
        p->extra += jscan_array_count(f->value);
    else
        p->incomplete = true;
}

/* False: there is no further element. */
static bool next_element(struct prompt_texts *p)
{
    struct jfield f;
    if (p->more.len) {
        read_message(p, p->more);
        p->more.len = 0;
        return true;
    }
    if (!p->list.len || !jscan_element(p->list, &p->list_at, &f))
        return false;
    if (!p->messages)
        read_prompt(p, &f);
    else if (f.type == J_OBJECT)
        read_message(p, f.value);
    else
        p->incomplete = true;
    return true;
}

bool prompt_texts_next(struct prompt_texts *p, struct span *ret)
{
    do {
        if (p->waiting_count) {
            *ret = p->waiting[--p->waiting_count];
            return true;
        }
        if (next_part(p, ret))
            return true;
    } while (next_element(p));
    return false;
}
