/* backends/refworker/chat_order.c -- reading a request for chat or completions.
 *
 * What would give the answer another form or other words (tools, response_format,
 * penalties, ...) is refused; fields that would not (user, metadata, ...) are left alone. */
#include "backends/refworker/chat_order.h"
#include "backends/refworker/directive.h"
#include "backends/refworker/json_text.h"
#include "backends/refworker/mix64.h"
#include "backends/refworker/pieces.h"
#include <stdlib.h>

struct reading { /* while the messages are walked */
    struct chat_order *order;
    struct prefix_cache *prefix;
    struct prefix_mark mark;
    uint32_t tokens, known_tokens; /* up to here; of the longest beginning that was seen before */
    size_t index;                  /* of the message */
    bool user;
    struct fault *fault;
};

/* --- Messages ---------------------------------------------------------------------------------- */

static void remember(struct reading *r, struct span text)
{
    if (r->prefix)
        r->mark = prefix_extend(r->mark, text);
}

static void read_text(struct reading *r, const json_t *text)
{
    struct span s = json_span(text);
    r->tokens += pieces_count(s);
    remember(r, s);
    if (r->user)
        r->order->prompt = s;
}

static bool read_part(struct reading *r, const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text");
    if (!type)
        return fault_set(r->fault, "messages[%zu].content: a part has no 'type'", r->index);
    if (strcmp(type, "text") != 0)
        return fault_set(r->fault,
                         "messages[%zu].content: only text parts are understood here, not '%.40s'",
                         r->index, type);
    if (!json_is_string(text))
        return fault_set(r->fault, "messages[%zu].content: a text part needs the string 'text'",
                         r->index);
    read_text(r, text);
    return true;
}

static bool read_content(struct reading *r, json_t *content, const char *role)
{
    if (json_is_string(content)) {
        read_text(r, content);
        return true;
    }
    bool may_lack = strcmp(role, "assistant") == 0; /* it has tool_calls instead */
    if ((!content || json_is_null(content)) && may_lack)
        return true;
    if (!json_is_array(content))
        return fault_set(r->fault, "messages[%zu].content must be a string or an array of parts",
                         r->index);
    size_t i;
    json_t *part;
    json_array_foreach (content, i, part)
        if (!read_part(r, part))
            return false;
    return true;
}

static bool role_known(const char *role)
{
    static const char *const roles[] = { "user",      "system", "assistant",
                                         "developer", "tool",   "function" };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i]) == 0)
            return true;
    return false;
}

static bool read_message(struct reading *r, const json_t *message)
{
    const json_t *role = json_object_get(message, "role");
    if (!json_is_string(role))
        return fault_set(r->fault, "messages[%zu].role must be a string", r->index);
    const char *name = json_string_value(role);
    if (!role_known(name))
        return fault_set(r->fault, "messages[%zu].role: '%.40s' is not a role", r->index, name);
    r->user = strcmp(name, "user") == 0;
    remember(r, json_span(role));
    if (!read_content(r, json_object_get(message, "content"), name))
        return false;
    if (r->prefix && prefix_visit(r->prefix, r->mark))
        r->known_tokens = r->tokens;
    return true;
}

static bool read_messages(struct reading *r)
{
    json_t *messages = json_object_get(r->order->tree, "messages"), *message;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return fault_set(r->fault, "messages must be an array with at least one message");
    json_array_foreach (messages, r->index, message)
        if (!read_message(r, message))
            return false;
    r->order->input_tokens = r->tokens - r->known_tokens;
    r->order->cached_tokens = r->known_tokens;
    return true;
}

/* --- Prompts ------------------------------------------------------------------------------------ */

/* A string, or an array of one. */
static bool read_prompt(struct chat_order *o, struct fault *fault)
{
    const json_t *prompt = json_object_get(o->tree, "prompt"), *echo, *suffix;
    if (json_is_array(prompt) && json_array_size(prompt) == 1)
        prompt = json_array_get(prompt, 0);
    if (json_is_integer(prompt) || json_is_integer(json_array_get(prompt, 0)))
        return fault_set(fault, "prompt: token ids are not accepted, they belong to another "
                                "tokenizer; send text");
    if (!json_is_string(prompt))
        return fault_set(fault, "prompt must be a string: this worker answers one to a request");
    suffix = json_object_get(o->tree, "suffix");
    if (suffix && !json_is_null(suffix))
        return fault_set(fault, "suffix: this worker cannot write towards a given end");
    echo = json_object_get(o->tree, "echo");
    o->echo = json_is_true(echo);
    o->prompt = json_span(prompt);
    o->input_tokens = pieces_count(o->prompt);
    return true;
}

/* --- Parameters -------------------------------------------------------------------------------- */

/* An absent or null field leaves *value as it was. */
static bool read_int(const json_t *body, const char *key, json_int_t min, json_int_t max,
                     json_int_t *value, struct fault *fault)
{
    const json_t *field = json_object_get(body, key);
    if (!field || json_is_null(field))
        return true;
    if (!json_is_integer(field) || json_integer_value(field) < min ||
        json_integer_value(field) > max)
        return fault_set(fault, "%s must be an integer from %lld to %lld", key, (long long)min,
                         (long long)max);
    *value = json_integer_value(field);
    return true;
}

static bool read_number(const json_t *body, const char *key, double max, double *value,
                        struct fault *fault)
{
    const json_t *field = json_object_get(body, key);
    if (!field || json_is_null(field))
        return true;
    double number = json_number_value(field);
    if (!json_is_number(field) || !(number >= 0 && number <= max))
        return fault_set(fault, "%s must be a number from 0 to %g", key, max);
    *value = number;
    return true;
}

static bool add_stop(struct stops *stops, const json_t *stop, struct fault *fault)
{
    size_t len = json_string_length(stop);
    if (!json_is_string(stop) || len == 0 || len > STOP_BYTES_MAX || stops->count == STOPS_MAX)
        return fault_set(
            fault, "stop must be a string of 1 to %d bytes, or an array of at most %d of them",
            STOP_BYTES_MAX, STOPS_MAX);
    stops->text[stops->count++] = json_span(stop);
    return true;
}

static bool read_stops(const json_t *body, struct stops *stops, struct fault *fault)
{
    json_t *field = json_object_get(body, "stop"), *stop;
    if (!field || json_is_null(field))
        return true;
    if (!json_is_array(field))
        return add_stop(stops, field, fault);
    size_t i;
    json_array_foreach (field, i, stop)
        if (!add_stop(stops, stop, fault))
            return false;
    return true;
}

static void read_directives(struct chat_order *o)
{
    uint32_t tokens = 0;
    if (directive(o->prompt, "#tokens=", CHAT_TOKENS_MAX, &tokens))
        o->tokens_exact = tokens < o->tokens_max ? tokens : o->tokens_max;
    directive(o->prompt, "#delay=", CHAT_DELAY_MS_MAX, &o->delay_ms);
}

static bool is_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && strcmp(text, "text") == 0;
}

/* What a client sends that names a field and asks for nothing, or for plain text. */
static bool asks_nothing(const json_t *value)
{
    double number = json_number_value(value);
    if (json_is_number(value))
        return !(number > 0 || number < 0);
    if (json_is_array(value))
        return json_array_size(value) == 0 ||
               (json_array_size(value) == 1 && is_text(json_array_get(value, 0)));
    if (json_is_object(value))
        return json_object_size(value) == 0 || is_text(json_object_get(value, "type"));
    return json_is_null(value) || json_is_false(value);
}

/* Whoever asks for more would miss it in the answer. */
static bool refuse_more(json_t *body, struct fault *fault)
{
    static const char *const more[] = { "tools",      "functions",        "response_format",
                                        "modalities", "presence_penalty", "frequency_penalty",
                                        "logprobs",   "logit_bias" };
    const char *key;
    json_t *value;
    json_object_foreach (body, key, value)
        for (size_t i = 0; i < sizeof more / sizeof *more; i++)
            if (strcmp(key, more[i]) == 0 && !asks_nothing(value))
                return fault_set(fault, "%s: this worker writes plain text and cannot do that",
                                 key);
    return true;
}

/* The smaller one; 0 stands for "no limit". */
static uint32_t least(uint32_t a, uint32_t b)
{
    return a && (!b || a < b) ? a : b;
}

static bool read_parameters(struct chat_order *o, const struct chat_limits *limits, struct fault *f)
{
    json_int_t tokens = 0, n = 1, best_of = 1, seed = 0;
    if (!read_int(o->tree, "max_tokens", 1, INT32_MAX, &tokens, f) ||
        !read_int(o->tree, "max_completion_tokens", 1, INT32_MAX, &tokens, f) ||
        !read_int(o->tree, "seed", INT64_MIN, INT64_MAX, &seed, f) ||
        !read_number(o->tree, "temperature", 2, &o->sampling.temperature, f) ||
        !read_number(o->tree, "top_p", 1, &o->sampling.top_p, f) ||
        !read_stops(o->tree, &o->stops, f) || !read_int(o->tree, "n", 1, INT32_MAX, &n, f) ||
        !read_int(o->tree, "best_of", 1, INT32_MAX, &best_of, f))
        return false;
    if (n != 1 || best_of != 1)
        return fault_set(f, "%s must be 1: this worker gives one answer to a request",
                         n != 1 ? "n" : "best_of");
    o->seed = mix64_bytes((uint64_t)seed, o->prompt.at, o->prompt.len);
    o->tokens_max = least(limits->max_output_tokens, least((uint32_t)tokens, CHAT_TOKENS_MAX));
    read_directives(o);
    if (!tokens && !o->tokens_exact)
        o->tokens_max = least(limits->completion ? COMPLETION_TOKENS_DEFAULT : CHAT_TOKENS_DEFAULT,
                              o->tokens_max);
    return true;
}

bool chat_order_read(struct span body, const struct chat_limits *limits, struct chat_order *ret,
                     struct fault *fault)
{
    *ret = (struct chat_order){ .prompt = SPAN(""),
                                .delay_ms = limits->delay_ms,
                                .sampling = { 1, 1 } };
    ret->tree = json_body(body, fault);
    if (!ret->tree)
        return false;
    struct reading r = { .order = ret, .prefix = limits->prefix, .fault = fault };
    return (limits->completion ? read_prompt(ret, fault) : read_messages(&r)) &&
           refuse_more(ret->tree, fault) && read_parameters(ret, limits, fault);
}

void chat_order_clear(struct chat_order *o)
{
    json_decref(o->tree);
    *o = (struct chat_order){ 0 };
}
