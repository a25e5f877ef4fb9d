/* backends/refworker/moderation.c -- counting listed words, writing the verdicts. */
#include "backends/refworker/moderation.h"
#include "backends/refworker/json_text.h"
#include "backends/refworker/pieces.h"
#include <strings.h>

static const struct {
    const char *name;
    const char *words; /* separated by spaces; "" none */
} categories[] = {
    { "harassment", "idiot idiots moron morons stupid loser" },
    { "harassment/threatening", "" },
    { "hate", "" },
    { "hate/threatening", "" },
    { "illicit", "counterfeit launder smuggle" },
    { "illicit/violent", "" },
    { "self-harm", "suicide suicidal" },
    { "self-harm/instructions", "" },
    { "self-harm/intent", "" },
    { "sexual", "porn pornography" },
    { "sexual/minors", "" },
    { "violence", "kill kills killed murder murdered stab stabbed shoot bomb bombs massacre" },
    { "violence/graphic", "" },
};
enum { CATEGORIES = sizeof categories / sizeof *categories };

static bool in_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\'' || (c & 0x80);
}

static bool listed(const char *words, struct span word)
{
    for (const char *at = words; *at;) {
        size_t len = strcspn(at, " ");
        if (len == word.len && strncasecmp(at, word.at, len) == 0)
            return true;
        at += len + (at[len] == ' ');
    }
    return false;
}

static void count_words(struct span text, unsigned hits[static CATEGORIES])
{
    for (size_t at = 0; at < text.len;) {
        size_t begin = at;
        while (at < text.len && in_word(text.at[at]))
            at++;
        struct span word = { text.at + begin, at - begin };
        for (size_t c = 0; word.len && c < CATEGORIES; c++)
            hits[c] += listed(categories[c].words, word);
        at += at < text.len;
    }
}

/* 0, a half, three quarters, ...: nothing is ever certain. */
static bool write_score(struct buf *out, unsigned hits)
{
    unsigned parts = hits < 10 ? 1u << hits : 1u << 10;
    return buf_printf(out, "%.7f", (double)(parts - 1) / parts);
}

static bool write_map(struct buf *out, const char *key, const unsigned *hits,
                      bool (*value)(struct buf *out, unsigned hits))
{
    bool ok = buf_printf(out, "\"%s\":{", key);
    for (size_t c = 0; ok && c < CATEGORIES; c++)
        ok = buf_printf(out, "%s\"%s\":", c ? "," : "", categories[c].name) && value(out, hits[c]);
    return ok && buf_text(out, "}");
}

static bool write_flag(struct buf *out, unsigned hits)
{
    return buf_text(out, hits ? "true" : "false");
}

static bool write_types(struct buf *out, unsigned hits)
{
    (void)hits;
    return buf_text(out, "[\"text\"]");
}

static bool write_result(struct buf *out, const unsigned *hits)
{
    bool flagged = false;
    for (size_t c = 0; c < CATEGORIES; c++)
        flagged = flagged || hits[c];
    return buf_printf(out, "{\"flagged\":%s,", flagged ? "true" : "false") &&
           write_map(out, "categories", hits, write_flag) && buf_text(out, ",") &&
           write_map(out, "category_scores", hits, write_score) && buf_text(out, ",") &&
           write_map(out, "category_applied_input_types", hits, write_types) && buf_text(out, "}");
}

struct reading {
    struct buf *out;
    struct fault *fault;
    int64_t tokens;
    unsigned results;
};

static void read_text(struct reading *r, const json_t *text, unsigned hits[static CATEGORIES])
{
    struct span s = json_span(text);
    r->tokens += pieces_count(s);
    count_words(s, hits);
}

static bool end_result(struct reading *r, const unsigned *hits)
{
    return ((r->results++ == 0 || buf_text(r->out, ",")) && write_result(r->out, hits)) ||
           fault_no_memory(r->fault);
}

/* Parts of one message: they are judged together. */
static bool read_parts(struct reading *r, json_t *parts)
{
    unsigned hits[CATEGORIES] = { 0 };
    size_t i;
    json_t *part;
    json_array_foreach (parts, i, part) {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text))
            return fault_set(r->fault, "input[%zu]: only text is looked at here", i);
        read_text(r, text, hits);
    }
    return end_result(r, hits);
}

static bool read_texts(struct reading *r, json_t *input)
{
    size_t i;
    json_t *text;
    json_array_foreach (input, i, text) {
        unsigned hits[CATEGORIES] = { 0 };
        if (!json_is_string(text))
            return fault_set(r->fault, "input[%zu] must be a string, as the others are", i);
        read_text(r, text, hits);
        if (!end_result(r, hits))
            return false;
    }
    return true;
}

static bool read_input(struct reading *r, json_t *input)
{
    unsigned hits[CATEGORIES] = { 0 };
    if (json_is_string(input)) {
        read_text(r, input, hits);
        return end_result(r, hits);
    }
    if (!json_is_array(input) || json_array_size(input) < 1 ||
        json_array_size(input) > MODERATION_INPUTS_MAX)
        return fault_set(r->fault, "input must be a string or an array of 1 to %d elements",
                         MODERATION_INPUTS_MAX);
    return json_is_object(json_array_get(input, 0)) ? read_parts(r, input) : read_texts(r, input);
}

bool moderation_answer(struct span body, int64_t request_id, const char *model_name,
                       struct buf *out, int64_t *ret_tokens, struct fault *fault)
{
    json_t *tree = json_body(body, fault);
    struct reading r = { .out = out, .fault = fault };
    bool ok = tree != NULL;
    if (ok && !(buf_printf(out, "{\"id\":\"modr-%lld\",\"model\":", (long long)request_id) &&
                json_text(out, model_name) && buf_text(out, ",\"results\":[")))
        ok = fault_no_memory(fault);
    ok = ok && read_input(&r, json_object_get(tree, "input"));
    if (ok && !buf_text(out, "],\"note\":\"found by a short list of words, not by a model\"}"))
        ok = fault_no_memory(fault);
    *ret_tokens = r.tokens;
    json_decref(tree);
    return ok;
}
