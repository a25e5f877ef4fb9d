/* conf/tokenizers.c -- the `tokenizers:` map: rank files are read with the configuration that
 * names them, and models share what became of them. */
#include "base/bpe.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/draft.h"
#include <stdlib.h>

enum { TOKENIZERS_MAX = 64, OVERHEAD_MAX = 1000, TOLERANCE_MAX = 100000 };

#define AT(field)               offsetof(struct catalog_tokenizer, field)
#define PATTERN_BAR(NAME, name) "|" name

/* clang-format off */
const struct conf_key tokenizer_keys[] = {
    { "rank_file", read_path, AT(rank_file), "an absolute path", 1, 4095, true,
      "the tokens and their ranks, as tiktoken has them: a line a token, base64, a space, the rank" },
    { "pattern", read_text, AT(pattern), &(BPE_PATTERNS(PATTERN_BAR))[1], 1, 64, false,
      "how texts are cut into words: as this encoding of tiktoken does" },
    { "pattern_regex", read_text, AT(pattern_regex), "a regular expression", 1, BPE_PATTERN_BYTES_MAX,
      false, "the same as an expression of PCRE2, with its classes of Unicode; in place of `pattern`" },
    { "message_tokens", read_count, AT(message_tokens), "a number", 0, OVERHEAD_MAX, false,
      "chat: tokens that the model's template puts around each message, its role included; 4 when "
      "not given" },
    { "request_tokens", read_count, AT(request_tokens), "a number", 0, OVERHEAD_MAX, false,
      "chat: tokens that it puts around all of them; 3 when not given" },
    { "tolerance_basis_points", read_count, AT(tolerance_basis_points), "a number", 0, 10000, false,
      "by how much a backend's number may differ from the gateway's, in hundredths of a percent of "
      "it; 200 (2 %) when not given" },
    { "tolerance_tokens", read_count, AT(tolerance_tokens), "a number", 0, TOLERANCE_MAX, false,
      "the same in tokens; the larger of the two counts; 8 when not given" },
    { "hold", read_choice, AT(hold), "bytes|count", 0, 0, false,
      "what is held for a request's input: a token for each byte (when not given), or the "
      "gateway's count and the tolerance, which takes the time of counting before the work begins; "
      "what cannot be counted, and a model with fallback_to_parent, is held for by bytes" },
    { .key = NULL }
};
/* clang-format on */

static enum status read_ranks(struct conf_reader *r, const struct yaml_node *n,
                              struct catalog_tokenizer *t)
{
    const struct yaml_node *file = yaml_get(n, "rank_file");
    AUTO(conf_file_wipe) struct conf_file f = { 0 };
    char err[BPE_ERROR_BYTES];
    uint8_t digest[DIGEST_BYTES];
    enum status s = conf_file(r, file, BPE_FILE_BYTES_MAX, false, &f);
    if (s)
        return s;
    const struct span text = { f.at, f.len };
    s = bpe_new(text, t->pattern_regex[0] ? BPE_OWN : bpe_pattern_find(t->pattern),
                t->pattern_regex, &t->bpe, err);
    if (s)
        return conf_fail(r, file, "'%.200s' is no rank file: %s", t->rank_file, err);
    digest_sha256(f.at, f.len, digest);
    memcpy(t->digest, digest, sizeof t->digest);
    return STATUS_OK;
}

static enum status check_pattern(struct conf_reader *r, const struct yaml_node *n,
                                 const struct catalog_tokenizer *t)
{
    char err[BPE_ERROR_BYTES];
    if (!t->pattern[0] == !t->pattern_regex[0])
        return conf_fail(r, n, "needs 'pattern' or 'pattern_regex', and not both");
    if (t->pattern[0] && bpe_pattern_find(t->pattern) == BPE_OWN)
        return conf_fail(r, yaml_get(n, "pattern"), "'%.60s' is not one of %s", t->pattern,
                         &(BPE_PATTERNS(PATTERN_BAR))[1]);
    if (t->pattern_regex[0] && bpe_check_pattern(t->pattern_regex, err) != STATUS_OK)
        return conf_fail(r, yaml_get(n, "pattern_regex"), "%s", err);
    return STATUS_OK;
}

static enum status read_entry(struct conf_reader *r, const struct yaml_node *n,
                              struct catalog_tokenizer *t)
{
    if (!value_segment(n->key, strlen(n->key)))
        return conf_fail_key(r, n, "'%.80s' is not a name; expected [a-z0-9][a-z0-9._-]{0,62}",
                             n->key);
    *t = (struct catalog_tokenizer){ .pattern = "",
                                     .pattern_regex = "",
                                     .message_tokens = 4,
                                     .request_tokens = 3,
                                     .tolerance_basis_points = 200,
                                     .tolerance_tokens = 8 };
    t->name = arena_strdup(r->keep, n->key);
    if (!t->name)
        return conf_no_memory(r);
    enum status s = conf_walk(r, n, tokenizer_keys, t);
    if (!s)
        s = check_pattern(r, n, t);
    return s ? s : read_ranks(r, n, t);
}

READER(read_tokenizers)
{
    (void)k;
    struct catalog *c = field;
    enum status s = conf_want(r, value, YAML_MAP);
    if (s)
        return s;
    if (value->count > TOKENIZERS_MAX)
        return conf_fail(r, value, "has %zu tokenizers; at most %d", value->count, TOKENIZERS_MAX);
    struct catalog_tokenizer *all = arena_alloc(r->keep, (value->count + 1) * sizeof *all);
    if (!all)
        return conf_no_memory(r);
    c->tokenizers = all; /* from now on they are freed with it */
    for (const struct yaml_node *n = value->first; !s && n; n = n->next)
        s = read_entry(r, n, &all[c->tokenizer_count++]);
    r->tokenizers = c->tokenizers;
    r->tokenizer_count = c->tokenizer_count;
    return s;
}

READER(read_tokenizer)
{
    (void)k;
    const char *name;
    enum status s = conf_text(r, value, &name);
    if (s)
        return s;
    for (size_t i = 0; i < r->tokenizer_count; i++)
        if (!strcmp(r->tokenizers[i].name, name)) {
            *(const struct catalog_tokenizer **)field = &r->tokenizers[i];
            return STATUS_OK;
        }
    return conf_fail(r, value, "there is no tokenizer '%.80s'", name);
}

enum status tokenizers_used(struct conf_reader *r, const struct yaml_node *map,
                            const struct catalog *c)
{
    for (const struct yaml_node *n = map ? map->first : NULL; n; n = n->next) {
        bool used = false;
        for (size_t i = 0; i < c->model_count && !used; i++)
            used = c->models[i].tokenizer && !strcmp(c->models[i].tokenizer->name, n->key);
        if (!used)
            return conf_fail_key(r, n, "the tokenizer '%s' has no effect: no model names it",
                                 n->key);
    }
    return STATUS_OK;
}
