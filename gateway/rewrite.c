/* gateway/rewrite.c -- see rewrite.h.  Edits are collected in the order of the
 * text and applied in one copy. */
#include "gateway/rewrite.h"
#include "base/arena.h"
#include "base/buf.h"
#include "gateway/error_body.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct edit {
    size_t at, drop; /* drop bytes from `at`, then put text there */
    struct span text;
};

enum { EDITS_MAX = 8, INSERT_BYTES_MAX = 1 << 20 };

struct plan {
    struct span body;
    struct edit edits[EDITS_MAX];
    unsigned count;
    struct buf members; /* new members, each with a comma behind it; go in after the first '{' */
    bool ok;
};

static void edit(struct plan *p, size_t at, size_t drop, struct span text)
{
    unsigned i = p->count++;
    while (i > 0 && p->edits[i - 1].at > at) {
        p->edits[i] = p->edits[i - 1];
        i--;
    }
    p->edits[i] = (struct edit){ at, drop, text };
}

static size_t offset(const struct plan *p, struct span value)
{
    return (size_t)(value.at - p->body.at);
}

static void plan_model(struct plan *p, const struct ask *ask, struct buf *name)
{
    const struct jfield *f = &ask->field[ASK_MODEL];
    if (f->type == J_ABSENT)
        p->ok = p->ok && buf_text(&p->members, "\"model\":") &&
                buf_add(&p->members, name->at, name->len) && buf_text(&p->members, ",");
    else
        edit(p, offset(p, f->value), f->value.len, buf_span(name));
}

/* The client's cap is kept when it is within the model's; else ours is put in. */
static void plan_max(struct plan *p, const struct ask *ask, int64_t max_out, char text[static 24])
{
    static const enum ask_field named[] = { ASK_MAX_TOKENS, ASK_MAX_COMPLETION_TOKENS };
    bool said = false;
    snprintf(text, 24, "%lld", (long long)max_out);
    for (size_t i = 0; i < 2; i++) {
        const struct jfield *f = &ask->field[named[i]];
        int64_t n;
        if (f->type == J_ABSENT)
            continue;
        said = true;
        if (!jscan_int(f, &n) || n > max_out)
            edit(p, offset(p, f->value), f->value.len, (struct span){ text, strlen(text) });
    }
    if (!said)
        p->ok = p->ok && buf_printf(&p->members, "\"max_tokens\":%s,", text);
}

/* Usage is always asked for; the chunk that carries it is kept from clients that did not. */
static void plan_usage(struct plan *p, const struct ask *ask)
{
    const struct jfield *f = &ask->field[ASK_STREAM_OPTIONS];
    struct jfield usage = { .key = "include_usage" };
    if (ask->include_usage)
        return;
    if (f->type != J_OBJECT) {
        static const char whole[] = "{\"include_usage\":true}";
        if (f->type == J_ABSENT)
            p->ok = p->ok && buf_printf(&p->members, "\"stream_options\":%s,", whole);
        else
            edit(p, offset(p, f->value), f->value.len, SPAN("{\"include_usage\":true}"));
        return;
    }
    if (jscan_member(f->value, &usage, 1) == STATUS_OK && usage.type != J_ABSENT)
        edit(p, offset(p, usage.value), usage.value.len, SPAN("true"));
    else if (memchr(f->value.at, ':', f->value.len))
        edit(p, offset(p, f->value) + 1, 0, SPAN("\"include_usage\":true,"));
    else
        edit(p, offset(p, f->value), f->value.len, SPAN("{\"include_usage\":true}"));
}

static bool client_said(const struct ask *ask, const char *key)
{
    for (int i = 0; i < ASK_CHAT_FIELDS; i++) /* all parameters of recipes are among them */
        if (strcmp(ask->field[i].key, key) == 0)
            return ask->field[i].type != J_ABSENT;
    return false;
}

static void plan_params(struct plan *p, const struct ask *ask, const struct catalog_recipe *recipe)
{
    struct buf object;
    buf_init(&object, INSERT_BYTES_MAX);
    p->ok = p->ok && buf_text(&object, "{") &&
            buf_add(&object, recipe->params_json.at, recipe->params_json.len) &&
            buf_text(&object, "}");
    for (const char **key = recipe->param_keys; p->ok && *key; key++) {
        struct jfield f = { .key = *key };
        if (client_said(ask, *key) || jscan_member(buf_span(&object), &f, 1) != STATUS_OK)
            continue;
        p->ok = buf_printf(&p->members, "\"%s\":%.*s,", *key, (int)f.value.len, f.value.at);
    }
    buf_free(&object);
}

/* The recipe's system message goes before the client's own messages. */
static void plan_system(struct plan *p, const struct ask *ask, const struct catalog_recipe *recipe,
                        struct buf *text)
{
    struct span messages = ask->field[ASK_MESSAGES].value;
    p->ok = p->ok && buf_add(text, recipe->system_json.at, recipe->system_json.len) &&
            buf_text(text, ",");
    edit(p, offset(p, messages) + 1, 0, buf_span(text));
}

static bool apply(const struct plan *p, struct buf *out)
{
    size_t from = 0;
    bool ok = true;
    for (unsigned i = 0; ok && i < p->count; i++) {
        const struct edit *e = &p->edits[i];
        ok = buf_add(out, p->body.at + from, e->at - from) && buf_add(out, e->text.at, e->text.len);
        from = e->at + e->drop;
    }
    return ok && buf_add(out, p->body.at + from, p->body.len - from);
}

enum status rewrite_body(struct span body, const struct ask *ask, const struct rewrite *w,
                         char **ret_memory, struct span *ret_text)
{
    struct plan p = { .body = body, .ok = true };
    struct buf name, system, out;
    char max_text[24];
    buf_init(&p.members, INSERT_BYTES_MAX);
    buf_init(&name, 1024);
    buf_init(&system, INSERT_BYTES_MAX);
    buf_init(&out, body.len + 2 * INSERT_BYTES_MAX);
    p.ok = json_quote(&name, w->backend_model, strlen(w->backend_model));
    plan_model(&p, ask, &name);
    if (w->want_usage)
        plan_usage(&p, ask);
    if (w->max_out)
        plan_max(&p, ask, w->max_out, max_text);
    if (w->recipe && w->recipe->params_json.len)
        plan_params(&p, ask, w->recipe);
    if (w->recipe && w->recipe->system_json.len && ask->field[ASK_MESSAGES].type == J_ARRAY)
        plan_system(&p, ask, w->recipe, &system);
    const char *brace = memchr(body.at, '{', body.len);
    if (p.members.len)
        edit(&p, (size_t)(brace - body.at) + 1, 0, buf_span(&p.members));
    size_t len = 0;
    bool ok = p.ok && apply(&p, &out);
    *ret_memory = ok ? buf_take(&out, &len) : NULL;
    *ret_text = (struct span){ *ret_memory, len };
    buf_free(&p.members);
    buf_free(&name);
    buf_free(&system);
    buf_free(&out);
    return *ret_memory ? STATUS_OK : STATUS_NO_MEMORY;
}

size_t rewrite_growth(const struct catalog_recipe *recipe)
{
    return recipe->system_json.len + 1;
}
