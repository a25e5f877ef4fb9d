/* tests/faults/backend/script.c -- reading and choosing; a mistake in a script is a sentence, never a guess. */
#include "tests/faults/backend/script.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum argument { NOTHING, NUMBER, NUMBER_OR_ASKED, TEXT, ANYTHING, MAY_NUMBER };

static const struct {
    const char *name;
    enum argument argument;
} verbs[] = {
    [V_WAIT] = { "wait", NUMBER_OR_ASKED },
    [V_ROLE] = { "role", NOTHING },
    [V_TOKENS] = { "tokens", NUMBER_OR_ASKED },
    [V_SAY] = { "say", ANYTHING },
    [V_USAGE] = { "usage", ANYTHING },
    [V_FINISH] = { "finish", NOTHING },
    [V_USAGE_EVENT] = { "usage_event", NOTHING },
    [V_DONE] = { "done", NOTHING },
    [V_FINAL] = { "final", MAY_NUMBER },
    [V_BODY] = { "body", ANYTHING },
    [V_HEAD] = { "head", MAY_NUMBER },
    [V_BYTES] = { "bytes", TEXT },
    [V_FRAME] = { "frame", ANYTHING },
    [V_CUT] = { "cut", NUMBER },
    [V_FIN] = { "fin", NOTHING },
    [V_RESET] = { "reset", NOTHING },
    [V_HANG] = { "hang", NOTHING },
    [V_EXIT] = { "exit", NOTHING },
    [V_STOP] = { "stop", NOTHING },
    [V_KILL] = { "kill", NOTHING },
    [V_ORPHAN] = { "orphan", NOTHING },
    [V_HARM] = { "harm", TEXT },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const char well[] = "{\"rules\": [{\"do\": [{\"wait\": \"asked\"}, \"role\", "
                           "{\"tokens\": \"asked\"}, \"final\"]}]}";

static bool fail(char *err, const char *what, const char *detail)
{
    snprintf(err, 256, "%s: %.120s", what, detail ? detail : "");
    return false;
}

/* ---- steps ---- */

static bool find_verb(json_t *json, struct step *s, char *err)
{
    const char *word = json_string_value(json);
    for (int v = 0; v < VERBS; v++) {
        json_t *value = word ? NULL : json_object_get(json, verbs[v].name);
        if (word ? strcmp(word, verbs[v].name) != 0 : !value)
            continue;
        *s = (struct step){ .verb = (enum verb)v, .value = value, .object = word ? NULL : json };
        return true;
    }
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
    fail(err, "a step that is not known", text);
    free(text);
    return false;
}

static bool read_argument(struct step *s, char *err)
{
    const char *word = json_string_value(s->value), *name = verbs[s->verb].name;
    switch (verbs[s->verb].argument) {
    case NOTHING:
        return !s->value || json_is_true(s->value) || fail(err, "takes no argument", name);
    case NUMBER_OR_ASKED:
        if (word && strcmp(word, "asked") == 0) {
            s->n = ASKED;
            return true;
        }
        __attribute__((fallthrough));
    case NUMBER:
        if (!json_is_integer(s->value))
            return fail(err, "needs a number", name);
        s->n = json_integer_value(s->value);
        return true;
    case MAY_NUMBER:
        s->n = json_integer_value(s->value); /* 0 when it is none */
        return true;
    case TEXT:
        return word || fail(err, "needs a text", name);
    default:
        return s->value || fail(err, "needs an argument", name);
    }
}

static bool read_cancelled(struct rule *r, json_t *value, char *err)
{
    static const char *const words[] = { "final", "deaf", "silent" };
    const char *word = json_string_value(value);
    for (int i = 0; word && i < 3; i++)
        if (strcmp(word, words[i]) == 0) {
            r->cancelled = (enum on_cancel)i;
            return true;
        }
    return !value || fail(err, "'cancelled' is final, deaf or silent", word);
}

/* The keys of a rule, of its `when`, and of a script; a key that is in no list is a mistake. */
static bool keys_known(json_t *json, const char *const *known, char *err)
{
    const char *key;
    json_t *value;
    json_object_foreach (json, key, value) {
        int i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return fail(err, "no such key", key);
    }
    return true;
}

static bool is_range(const json_t *nth)
{
    return json_is_integer(nth) ||
           (json_array_size(nth) == 2 && json_is_integer(json_array_get(nth, 0)) &&
            json_is_integer(json_array_get(nth, 1)));
}

static bool read_when(struct rule *r, json_t *when, char *err)
{
    static const char *const known[] = { "stream", "model", "path", "has", "nth", NULL };
    const char *key;
    json_t *value;
    r->when = when;
    json_object_foreach (when, key, value) {
        bool right = strcmp(key, "stream") == 0 ? json_is_boolean(value)
                     : strcmp(key, "nth") == 0  ? is_range(value)
                                                : json_is_string(value);
        if (!right)
            return fail(err, "a value of 'when' has a wrong type", key);
    }
    return keys_known(when, known, err);
}

static bool read_rule(json_t *json, struct rule *r, char *err)
{
    json_t *steps = json_object_get(json, "do");
    if (!json_is_array(steps))
        return fail(err, "a rule needs the list 'do'", NULL);
    r->steps = calloc(json_array_size(steps) + 1, sizeof *r->steps);
    for (size_t i = 0; r->steps && i < json_array_size(steps); i++, r->count++)
        if (!find_verb(json_array_get(steps, i), &r->steps[i], err) ||
            !read_argument(&r->steps[i], err))
            return false;
    return r->steps && read_when(r, json_object_get(json, "when"), err) &&
           read_cancelled(r, json_object_get(json, "cancelled"), err);
}

static bool read_rules(json_t *list, struct rule **ret, size_t *ret_count, char *err)
{
    size_t n = json_array_size(list);
    *ret = calloc(n + 1, sizeof **ret);
    static const char *const known[] = { "when", "do", "cancelled", NULL };
    for (*ret_count = 0; *ret && *ret_count < n; ++*ret_count) {
        json_t *rule = json_array_get(list, *ret_count);
        if (!keys_known(rule, known, err) || !read_rule(rule, &(*ret)[*ret_count], err)) {
            ++*ret_count; /* what was read of it is freed, too */
            return false;
        }
    }
    return *ret != NULL;
}

/* ---- a script ---- */

/* {"do": [..]} alone is one rule. */
static bool read_tree(struct script *s, char *err)
{
    static const char *const known[] = { "rules",          "connections",
                                         "journal_tokens", "journal_requests",
                                         "pong",           "slots",
                                         "when",           "do",
                                         "cancelled",      NULL };
    json_t *rules = json_object_get(s->tree, "rules");
    s->journal_tokens = json_is_true(json_object_get(s->tree, "journal_tokens"));
    s->journal_requests = json_is_true(json_object_get(s->tree, "journal_requests"));
    s->pong = !json_is_false(json_object_get(s->tree, "pong"));
    json_t *slots = json_object_get(s->tree, "slots");
    s->slots = slots ? (uint32_t)json_integer_value(slots) : 1024;
    if (!json_is_object(s->tree))
        return fail(err, "a script is a JSON object", NULL);
    if (!keys_known(s->tree, known, err))
        return false;
    if (!read_rules(json_object_get(s->tree, "connections"), &s->connections, &s->connection_count,
                    err))
        return false;
    if (rules)
        return read_rules(rules, &s->rules, &s->rule_count, err);
    s->rules = calloc(1, sizeof *s->rules);
    s->rule_count = 1;
    return s->rules && read_rule(s->tree, s->rules, err);
}

struct script *script_new(const char *text, size_t len, char err[static 256])
{
    json_error_t at;
    struct script *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    s->tree = json_loadb(text ? text : well, text ? len : sizeof well - 1,
                         JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &at);
    if (!s->tree)
        snprintf(err, 256, "%d:%d: %.160s", at.line, at.column, at.text);
    if (s->tree && read_tree(s, err))
        return s;
    script_unref(s);
    return NULL;
}

static void free_rules(struct rule *rules, size_t count)
{
    for (size_t i = 0; rules && i < count; i++)
        free(rules[i].steps);
    free(rules);
}

struct script *script_ref(struct script *s)
{
    s->refs++;
    return s;
}

void script_unref(struct script *s)
{
    if (!s || --s->refs)
        return;
    free_rules(s->rules, s->rule_count);
    free_rules(s->connections, s->connection_count);
    json_decref(s->tree);
    free(s);
}

/* ---- choosing ---- */

static bool same_text(const json_t *wanted, const char *have)
{
    return !wanted || (have && strcmp(json_string_value(wanted), have) == 0);
}

static bool nth_fits(const json_t *nth, unsigned n)
{
    if (!nth)
        return true;
    if (json_is_integer(nth))
        return n == json_integer_value(nth);
    return n >= json_integer_value(json_array_get(nth, 0)) &&
           n <= json_integer_value(json_array_get(nth, 1));
}

static bool fits(struct rule *r, const struct asked *a)
{
    const json_t *stream = json_object_get(r->when, "stream"),
                 *has = json_object_get(r->when, "has");
    if ((stream && json_is_true(stream) != a->stream) ||
        !same_text(json_object_get(r->when, "model"), a->model) ||
        !same_text(json_object_get(r->when, "path"), a->path))
        return false;
    if (has && !memmem(a->body.at, a->body.len, json_string_value(has), json_string_length(has)))
        return false;
    return nth_fits(json_object_get(r->when, "nth"), ++r->met);
}

struct rule *script_find(struct script *s, const struct asked *a)
{
    for (size_t i = 0; i < s->rule_count; i++)
        if (fits(&s->rules[i], a))
            return &s->rules[i];
    return NULL;
}

struct rule *script_connection(struct script *s, unsigned nth)
{
    for (size_t i = 0; i < s->connection_count; i++)
        if (nth_fits(json_object_get(s->connections[i].when, "nth"), nth))
            return &s->connections[i];
    return NULL;
}

int64_t step_option(const struct step *s, const char *name, int64_t otherwise)
{
    json_t *value = json_object_get(s->object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

const char *step_text(const struct step *s, const char *name)
{
    return json_string_value(json_object_get(s->object, name));
}
