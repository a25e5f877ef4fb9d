/* cli/count.c -- tokens: of a text as the gateway counts them, and where it counts otherwise. */
#include "base/bpe.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include <errno.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 30, SLICE_BYTES = 1 << 20 };

static enum exit_code complain(const char *what, const char *about)
{
    fprintf(stderr, "maasgate: %s '%s'\n", what, about);
    return EXIT_REFUSED;
}

/* ---- of a text ---- */

static bool read_text(const char *path, struct buf *ret)
{
    char bytes[65536];
    bool typed = strcmp(path, "-") == 0, fits = true;
    FILE *f = typed ? stdin : fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "maasgate: %s: %s\n", path, strerror(errno));
        return false;
    }
    for (size_t n; fits && (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        fits = buf_add(ret, bytes, n);
    bool failed = ferror(f);
    if (!typed)
        fclose(f);
    if (failed || !fits)
        fprintf(stderr, "maasgate: %s: %s\n", path, failed ? "cannot be read" : "is too large");
    return fits && !failed;
}

static const struct catalog_tokenizer *tokenizer_of(const struct catalog *c, const char *model,
                                                    const char *name)
{
    static const struct catalog_scope everywhere = { .whole = true };
    const struct catalog_model *m =
        model ? catalog_find(c, &everywhere, (struct span){ model, strlen(model) }) : NULL;
    if (model && !m)
        complain("there is no model", model);
    else if (model && !m->tokenizer)
        complain("no tokenizer is configured for the model", model);
    if (model)
        return m ? m->tokenizer : NULL;
    for (size_t i = 0; i < c->tokenizer_count; i++)
        if (strcmp(c->tokenizers[i].name, name) == 0)
            return &c->tokenizers[i];
    complain("there is no tokenizer", name);
    return NULL;
}

static enum exit_code count(const struct bpe *b, struct span text)
{
    struct bpe_run *r = bpe_run_new(b);
    enum bpe_step step = r ? BPE_MORE : BPE_FAILED;
    if (r)
        bpe_run_text(r, text);
    while (step == BPE_MORE)
        step = bpe_run_step(r, SLICE_BYTES);
    if (step == BPE_DONE)
        printf("%llu\n", (unsigned long long)bpe_run_tokens(r));
    bpe_run_free(r);
    if (step == BPE_DONE)
        return EXIT_OK;
    fputs(
        "maasgate: the text cannot be counted: it has a word beyond a megabyte, or its pattern takes "
        "too long\n",
        stderr);
    return EXIT_REFUSED;
}

static enum exit_code count_file(const struct bpe *b, const char *path)
{
    AUTO(buf_free) struct buf text;
    AUTO(buf_free) struct buf repaired;
    buf_init(&text, TEXT_BYTES_MAX);
    buf_init(&repaired, (size_t)3 * TEXT_BYTES_MAX);
    if (!read_text(path, &text))
        return EXIT_REFUSED;
    if (utf8_valid(buf_span(&text)))
        return count(b, buf_span(&text));
    fprintf(stderr, "maasgate: %s is not all UTF-8: what is not counts as U+FFFD\n", path);
    return utf8_repair(buf_span(&text), &repaired) ? count(b, buf_span(&repaired)) : EXIT_REFUSED;
}

enum exit_code run_count(const struct session *s, json_t *args)
{
    const char *config = json_string_value(json_object_get(args, "config"));
    const char *model = json_string_value(json_object_get(args, "model"));
    const char *name = json_string_value(json_object_get(args, "tokenizer"));
    char err[CONF_ERROR_BYTES];
    struct conf *conf;
    (void)s;
    if (!model == !name) {
        fputs("maasgate: give --model or --tokenizer; see maasgate count --help\n", stderr);
        return EXIT_USAGE;
    }
    if (conf_load(config ? config : CONFIG_DEFAULT, &conf, err) != STATUS_OK) {
        fprintf(stderr, "maasgate: %s\n", err);
        return EXIT_REFUSED;
    }
    const struct catalog_tokenizer *t = tokenizer_of(conf->catalog, model, name);
    enum exit_code code = t ? count_file(t->bpe, text_of(args, "file")) : EXIT_REFUSED;
    conf_free(conf);
    return code;
}

/* ---- of requests ---- */

/* "105/98": reported and counted; "-" for what is not known. */
static json_t *pair_of(json_t *side)
{
    char reported[24] = "-", counted[24] = "-";
    json_t *r = json_object_get(side, "reported"), *c = json_object_get(side, "counted");
    if (json_is_integer(r))
        snprintf(reported, sizeof reported, "%lld", (long long)json_integer_value(r));
    if (json_is_integer(c))
        snprintf(counted, sizeof counted, "%lld", (long long)json_integer_value(c));
    return json_sprintf("%s/%s", reported, counted);
}

enum exit_code show_recounts(json_t *result)
{
    static const struct column columns[] = {
        { "REQUEST", "request", false, NULL },
        { "SETTLED", "settled_at", false, NULL },
        { "PROJECT", "project", false, NULL },
        { "MODEL", "model", false, NULL },
        { "BACKEND", "backend", false, NULL },
        { "OUTCOME", "outcome", false, NULL },
        { "IN", "in", true, NULL },
        { "OUT", "out", true, NULL },
        { 0 },
    };
    json_t *rows = json_object_get(result, "data"), *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        json_object_set_new(row, "in", pair_of(json_object_get(row, "input")));
        json_object_set_new(row, "out", pair_of(json_object_get(row, "output")));
    }
    table_print(rows, columns);
    printf("\n%zu requests; IN and OUT: tokens as reported / as counted\n", json_array_size(rows));
    if (json_is_true(json_object_get(result, "has_more")))
        puts("there are more rows: --limit raises how many are shown");
    return EXIT_OK;
}
