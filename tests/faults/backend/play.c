/* tests/faults/backend/play.c -- the steps of a script, one after the other, until one waits. */
#include "tests/faults/backend/play.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES_MAX = 1024 };

static void free_play(uv_handle_t *h)
{
    struct play *p = h->data;
    script_unref(p->script);
    free(p->model);
    free(p->public_model);
    free(p->prompt);
    buf_free(&p->text);
    p->channel->forget(p);
}

/* From inside a step the loop of steps has to come back first. */
static void end_play(struct play *p)
{
    p->over = true;
    if (!p->running && !uv_is_closing((uv_handle_t *)&p->timer))
        uv_close((uv_handle_t *)&p->timer, free_play);
}

/* ---- what the prompt says ---- */

static int64_t directive(const char *prompt, const char *name, int64_t otherwise)
{
    const char *at = prompt ? strstr(prompt, name) : NULL;
    return at ? strtoll(at + strlen(name), NULL, 10) : otherwise;
}

/* A script at the end is no word. */
static int64_t count_words(const char *text)
{
    const char *script = strstr(text, "#script="), *end = script ? script : text + strlen(text);
    int64_t n = 0;
    for (bool in = false; text < end; text++) {
        n += *text != ' ' && !in;
        in = *text != ' ';
    }
    return n;
}

/* The text of the last message; words of all of them are the input. */
static void read_messages(struct play *p, json_t *body)
{
    json_t *messages = json_object_get(body, "messages"), *m;
    size_t i;
    json_array_foreach (messages, i, m) {
        const char *text = json_string_value(json_object_get(m, "content"));
        if (!text)
            continue;
        p->input_tokens += count_words(text);
        free(p->prompt);
        p->prompt = strdup(text);
    }
    const char *input = json_string_value(json_object_get(body, "input"));
    if (!p->prompt && input) {
        p->input_tokens = count_words(input);
        p->prompt = strdup(input);
    }
}

static void read_ask(struct play *p, const struct asked *a)
{
    json_t *body = json_loadb(a->body.at, a->body.len, 0, NULL);
    const char *model = json_string_value(json_object_get(body, "model"));
    p->stream = a->stream;
    p->model = strdup(a->model ? a->model : model ? model : "");
    read_messages(p, body);
    json_decref(body);
    const char *echo = p->prompt ? strstr(p->prompt, "canary-") : NULL;
    p->echo = echo ? (struct span){ echo, strcspn(echo, " \"") } : SPAN("tok");
    p->asked_tokens = directive(p->prompt, "#tokens=", 8);
    p->asked_delay_ms = directive(p->prompt, "#delay=", 0);
}

/* "#script={..}" at the end of the prompt is the request's own script. */
static void take_own_script(struct play *p)
{
    char err[256] = "";
    const char *at = p->prompt ? strstr(p->prompt, "#script=") : NULL;
    if (!at)
        return;
    struct script *own = script_new(at + 8, strlen(at + 8), err);
    if (!own) {
        fprintf(stderr, "fault-backend: #script: %s\n", err);
        exit(2);
    }
    script_unref(p->script);
    p->script = own;
}

/* ---- usage ---- */

static int64_t integer(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

/* "right", "absent", "falling", or {"in":N, "out":N} with what is not said left true. */
static struct claim claim_now(const struct play *p)
{
    struct claim c = { .in = p->input_tokens, .out = p->output_tokens };
    const json_t *v = p->usage ? p->usage->value : NULL;
    const char *word = json_string_value(v);
    c.absent = word && strcmp(word, "absent") == 0;
    if (word && strcmp(word, "falling") == 0)
        c.out = 1000000 - p->output_tokens;
    if (json_is_object(v)) {
        c.in = integer(v, "in", c.in);
        c.out = integer(v, "out", c.out);
        c.other = json_object_get(v, "json");
    }
    return c;
}

static bool claims_each(const struct play *p)
{
    return json_is_true(json_object_get(p->usage ? p->usage->object : NULL, "each"));
}

/* ---- OpenAI's shapes ---- */

static bool add_usage(struct buf *b, const struct claim *c)
{
    if (c->absent)
        return true;
    if (c->other) {
        char *text = json_dumps(c->other, JSON_ENCODE_ANY | JSON_COMPACT);
        bool ok = buf_printf(b, ",\"usage\":%s", text);
        free(text);
        return ok;
    }
    return buf_printf(b,
                      ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                      ",\"total_tokens\":%" PRId64 "}",
                      c->in, c->out, (int64_t)((uint64_t)c->in + (uint64_t)c->out));
}

static bool add_quoted(struct buf *b, struct span text)
{
    json_t *s = json_stringn_nocheck(text.at, text.len);
    char *quoted = json_dumps(s, JSON_ENCODE_ANY | JSON_COMPACT);
    bool ok = quoted && buf_text(b, quoted);
    free(quoted);
    json_decref(s);
    return ok;
}

static bool add_start(struct buf *b, const struct play *p, const char *object)
{
    const char *model = p->public_model ? p->public_model : p->model;
    return buf_printf(b,
                      "{\"id\":\"chatcmpl-%" PRId64 "\",\"object\":\"%s\",\"created\":1,\"model\":",
                      p->rid, object) &&
           add_quoted(b, (struct span){ model, strlen(model) });
}

static void say_event(struct play *p, enum piece kind, const char *delta, struct span content,
                      const char *finish)
{
    struct buf b;
    struct claim c = claim_now(p);
    buf_init(&b, 16 << 20);
    bool ok = add_start(&b, p, "chat.completion.chunk");
    if (kind == PIECE_USAGE)
        ok = ok && buf_text(&b, ",\"choices\":[]");
    else
        ok = ok && buf_printf(&b, ",\"choices\":[{\"index\":0,\"delta\":{%s", delta) &&
             (!content.at || add_quoted(&b, content)) &&
             buf_printf(&b, "},\"finish_reason\":%s}]", finish);
    if (kind == PIECE_USAGE || claims_each(p))
        ok = ok && add_usage(&b, &c);
    if (!ok || !buf_text(&b, "}"))
        abort();
    p->channel->say(p, kind, buf_span(&b), &c);
    buf_free(&b);
}

static void say_whole(struct play *p)
{
    struct buf b;
    struct claim c = claim_now(p);
    buf_init(&b, 64 << 20);
    if (!add_start(&b, p, "chat.completion") ||
        !buf_text(&b,
                  ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":") ||
        !add_quoted(&b, p->text.at ? buf_span(&p->text) : SPAN("")) ||
        !buf_text(&b, "},\"finish_reason\":\"stop\"}]") || !add_usage(&b, &c) || !buf_text(&b, "}"))
        abort();
    p->channel->say(p, PIECE_BODY, buf_span(&b), &c);
    buf_free(&b);
}

static void say_token(struct play *p, const struct step *s)
{
    const char *own = step_text(s, "text");
    struct span text = own ? (struct span){ own, strlen(own) } : p->echo;
    struct buf word;
    buf_init(&word, 16 << 20);
    if (!buf_add(&word, text.at, text.len) || !buf_text(&word, own ? "" : " "))
        abort();
    p->output_tokens++;
    if (p->stream)
        say_event(p, PIECE_TOKEN, "\"content\":", buf_span(&word), "null");
    else if (!buf_add(&p->text, word.at, word.len))
        abort();
    buf_free(&word);
    if (!p->first_said || p->script->journal_tokens)
        journal(p, p->first_said ? "token" : "first", NULL);
    p->first_said = true;
}

/* ---- steps: true when the next one may follow at once ---- */

static void on_timer(uv_timer_t *t)
{
    struct play *p = t->data;
    p->waiting = false;
    play_go_on(p);
}

static bool sleep_ms(struct play *p, int64_t ms)
{
    if (ms <= 0)
        return true;
    p->waiting = true;
    uv_timer_start(&p->timer, on_timer, (uint64_t)ms, 0);
    return false;
}

/* One token a turn of this function; the step is done when none is left. */
static bool tokens(struct play *p, const struct step *s)
{
    if (p->left < 0)
        p->left = s->n == ASKED ? p->asked_tokens : s->n;
    if (p->left == 0) {
        p->left = -1;
        p->step++;
        return true;
    }
    if (p->stream && !p->channel->room(p, PIECE_BYTES_MAX + p->echo.len))
        return false;
    say_token(p, s);
    p->left--;
    return p->left == 0 || sleep_ms(p, step_option(s, "every", p->asked_delay_ms));
}

static void finish(struct play *p, int64_t code)
{
    struct claim c = claim_now(p);
    p->finished = true;
    journal(p, code ? "failed" : "final", NULL);
    p->channel->finish(p, (int)code, &c);
}

static void final(struct play *p, int64_t code)
{
    if (code == 0 && p->stream) {
        say_event(p, PIECE_TOKEN, "", (struct span){ NULL, 0 }, "\"stop\"");
        if (!claim_now(p).absent)
            say_event(p, PIECE_USAGE, "", (struct span){ NULL, 0 }, "null");
    } else if (code == 0 && !p->finished) {
        say_whole(p);
    }
    finish(p, code);
}

static void say_json(struct play *p, enum piece kind, json_t *value)
{
    char *text = json_is_string(value) ? strdup(json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    struct claim c = claim_now(p);
    p->channel->say(p, kind, (struct span){ text, strlen(text) }, &c);
    free(text);
}

void play_bad_step(const struct step *s)
{
    fprintf(stderr, "fault-backend: what is this: %s\n", json_dumps(s->object, JSON_COMPACT));
    exit(2);
}

static void raw_bytes(struct play *p, const struct step *s)
{
    struct span raw = { json_string_value(s->value), json_string_length(s->value) };
    for (int64_t i = step_option(s, "times", 1); i > 0 && !p->over; i--)
        p->channel->bytes(p, raw);
}

static void end_connection(struct play *p, bool reset)
{
    journal(p, reset ? "reset" : "fin", NULL);
    p->channel->drop(p, reset);
}

/* A child that keeps every socket open when the worker dies, and ends by itself. */
static void leave_orphan(void)
{
    if (fork() == 0) {
        alarm(60);
        pause();
        _exit(0);
    }
    raise(SIGKILL);
}

static bool process_step(struct play *p, const struct step *s)
{
    journal(p, "process", NULL); /* its time is the moment before */
    if (s->verb == V_EXIT)
        _exit(9);
    if (s->verb == V_ORPHAN)
        leave_orphan();
    raise(s->verb == V_STOP ? SIGSTOP : SIGKILL);
    return true;
}

/* One step that is over when it has been done. */
static void act(struct play *p, const struct step *s)
{
    switch (s->verb) {
    case V_ROLE:
        if (p->stream)
            say_event(p, PIECE_TOKEN, "\"role\":\"assistant\",\"content\":\"\"",
                      (struct span){ NULL, 0 }, "null");
        break;
    case V_SAY:
        say_json(p, PIECE_TOKEN, s->value);
        break;
    case V_BODY:
        say_json(p, PIECE_BODY, s->value);
        break;
    case V_USAGE:
        p->usage = s;
        break;
    case V_FINISH:
        say_event(p, PIECE_TOKEN, "", (struct span){ NULL, 0 }, "\"stop\"");
        break;
    case V_USAGE_EVENT:
        say_event(p, PIECE_USAGE, "", (struct span){ NULL, 0 }, "null");
        break;
    case V_DONE:
        finish(p, 0);
        break;
    case V_FINAL:
        final(p, s->n);
        break;
    case V_HEAD:
        if (p->channel->head)
            p->channel->head(p, s);
        break;
    case V_BYTES:
        raw_bytes(p, s);
        break;
    case V_FRAME:
        if (p->channel->frame)
            p->channel->frame(p, s);
        break;
    case V_HARM:
        if (p->channel->harm)
            p->channel->harm(p, s);
        break;
    case V_CUT:
        p->channel->cut(p, s->n, step_text(s, "how"));
        break;
    default:
        break;
    }
}

static bool run_step(struct play *p)
{
    const struct step *s = &p->rule->steps[p->step];
    if (s->verb == V_TOKENS)
        return tokens(p, s);
    p->step++;
    switch (s->verb) {
    case V_WAIT:
        return sleep_ms(p, s->n == ASKED ? directive(p->prompt, "#first=", 0) : s->n);
    case V_HANG:
        p->hung = true;
        return false;
    case V_FIN:
    case V_RESET:
        end_connection(p, s->verb == V_RESET);
        return false;
    case V_EXIT:
    case V_STOP:
    case V_KILL:
    case V_ORPHAN:
        return process_step(p, s);
    default:
        act(p, s);
        return true;
    }
}

void play_go_on(struct play *p)
{
    if (p->running || p->waiting || p->hung || p->over)
        return;
    p->running = true;
    bool more = true;
    while (more && !p->over && p->rule && p->step < p->rule->count)
        more = run_step(p);
    p->running = false;
    if (p->over || (p->rule && p->step == p->rule->count && p->finished && !p->waiting))
        end_play(p);
}

/* ---- beginning and end ---- */

static void init(struct play *p, const struct channel *channel, struct script *s)
{
    p->channel = channel;
    p->script = s;
    p->left = -1;
    buf_init(&p->text, 64 << 20);
    uv_timer_init(loop(), &p->timer);
    p->timer.data = p;
}

/* Words of two tenants in one request: the gateway has mixed up bodies. */
static bool is_mixed(const struct play *p, struct span body)
{
    const char *at = body.at, *end = body.at + body.len;
    while ((at = memmem(at, (size_t)(end - at), "canary-", 7))) {
        if ((size_t)(end - at) < p->echo.len || memcmp(at, p->echo.at, p->echo.len) != 0)
            return true;
        at += 7;
    }
    return false;
}

static void journal_start(const struct play *p, const struct asked *a)
{
    struct buf extra;
    buf_init(&extra, 128 << 20);
    bool ok =
        buf_printf(&extra, "\"stream\":%s,\"rule\":%td,\"bytes\":%zu", p->stream ? "true" : "false",
                   p->rule ? p->rule - p->script->rules : -1, a->body.len) &&
        (p->echo.len <= 3 || (buf_text(&extra, ",\"echo\":") && add_quoted(&extra, p->echo))) &&
        (!is_mixed(p, a->body) || buf_text(&extra, ",\"mixed\":true"));
    if (p->script->journal_requests) {
        ok = ok && buf_printf(&extra, ",\"path\":\"%s\",\"headers\":", a->path ? a->path : "") &&
             add_quoted(&extra, a->headers) && buf_text(&extra, ",\"body\":") &&
             add_quoted(&extra, a->body);
    }
    journal(p, "start", ok ? extra.at : NULL);
    buf_free(&extra);
}

void play_begin(struct play *p, const struct channel *channel, struct script *s,
                const struct asked *a, const char *public_model)
{
    init(p, channel, s);
    read_ask(p, a);
    p->public_model = public_model ? strdup(public_model) : NULL;
    take_own_script(p);
    p->rule = script_find(p->script, a);
    journal_start(p, a);
    play_go_on(p);
}

void play_connection(struct play *p, const struct channel *channel, struct script *s,
                     const struct rule *rule)
{
    init(p, channel, s);
    p->rule = rule;
    p->finished = true; /* there is nothing to end but its steps */
    play_go_on(p);
}

static void stop(struct play *p)
{
    uv_timer_stop(&p->timer);
    p->waiting = false;
    p->hung = true;
}

void play_cancel(struct play *p)
{
    enum on_cancel how = p->rule ? p->rule->cancelled : CANCEL_FINAL;
    if (p->cancelled || p->over)
        return;
    p->cancelled = true;
    journal(p, "cancel", NULL);
    if (how == CANCEL_DEAF)
        return;
    stop(p);
    if (how == CANCEL_SILENT || p->finished)
        return;
    finish(p, 499);
    end_play(p);
}

void play_gone(struct play *p)
{
    if (!p->cancelled && !p->finished)
        journal(p, "cancel", "\"closed\":true");
    stop(p);
    end_play(p);
}
