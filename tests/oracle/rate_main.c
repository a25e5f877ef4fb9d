/* tests/oracle/rate_main.c -- the evaluator behind a pipe, for the oracle in rate.py: a
 * question a line on stdin, an answer a line on stdout, fields with a space between them.
 *
 *   B BYTES                          the text of a price book follows       -> ok
 *   R MODEL ACCEPTED_US SIZE QUALITY TIER QTYS BEFORES                      -> a bill
 *       "-" is no word; QTYS: METER=N,..; BEFORES: METER/ITEM=N,..; "-" none
 *       meter/item/qty/before/atoms/list,.. UNPRICED HOLD ("-": none)
 *   C MODEL METER ITEM BEFORE QTY TOTAL CHARGED                             -> qty/atoms,.. TOTAL
 *   L MODEL METER CONTEXT_END                                               -> ok, or the flaw
 *   Y FILE                           a configuration                        -> BYTES, then its book
 *
 * A question that cannot be answered is answered `error STATUS`.  Beside what is asked, each bill
 * is made through both doors, and must be the same and within the hold.
 */
#include "base/arena.h"
#include "base/cleanup.h"
#include "billing/price.h"
#include "billing/pricebook.h"
#include "billing/rate.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "conf/price_lint.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 8192, ARENA_BYTES = 16 << 20, FIELDS_MAX = 12, ITEMS = METER_COUNT * 32 };

static char *book;
static struct arena *arena; /* of the sheet that was asked for last */
static char sheet_model[256];
static const struct price_sheet *sheet;

static const char *failure(enum status s)
{
    static char text[64];
    snprintf(text, sizeof text, "error %s", status_info(s)->name);
    return text;
}

static const struct price_sheet *sheet_of(const char *model)
{
    if (sheet && strcmp(sheet_model, model) == 0)
        return sheet;
    arena_free(arena);
    arena = arena_new(ARENA_BYTES);
    snprintf(sheet_model, sizeof sheet_model, "%s", model);
    enum status s = arena ? pricebook_sheet(book, model, arena, &sheet) : STATUS_NO_MEMORY;
    if (s)
        sheet = NULL;
    return sheet;
}

static int64_t number(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    assert(end > text && (*end == '\0' || *end == ',' || *end == '='));
    return n;
}

static struct span word(const char *text)
{
    return strcmp(text, "-") == 0 ? (struct span){ "", 0 } : (struct span){ text, strlen(text) };
}

/* ---- questions ----------------------------------------------------------------------------- */

static void read_book(char **f)
{
    size_t len = (size_t)number(f[1]);
    free(book);
    book = malloc(len + 1);
    size_t got = book ? fread(book, 1, len, stdin) : 0;
    assert(book && got == len);
    book[len] = '\0';
    sheet = NULL;
    puts("ok");
}

static enum meter meter_of(const char *text, size_t len)
{
    char name[64];
    assert(len < sizeof name);
    memcpy(name, text, len);
    name[len] = '\0';
    enum meter m = meter_find(name);
    assert(m != METER_COUNT);
    return m;
}

static void read_usage(char *text, struct usage *u)
{
    for (char *at = strtok_r(text, ",", &text); at && strcmp(at, "-");
         at = strtok_r(NULL, ",", &text)) {
        char *equals = strchr(at, '=');
        usage_set(u, meter_of(at, (size_t)(equals - at)), (uint64_t)number(equals + 1));
    }
}

static void read_before(char *text, const struct price_sheet *s, int64_t before[static ITEMS])
{
    for (char *at = strtok_r(text, ",", &text); at && strcmp(at, "-");
         at = strtok_r(NULL, ",", &text)) {
        char *slash = strchr(at, '/'), *equals = strchr(at, '=');
        enum meter m = meter_of(at, (size_t)(slash - at));
        before[s->first[m] + number(slash + 1)] = number(equals + 1);
    }
}

/* As tight as can be: what was used. */
static struct price_bound bound_of(const struct usage *u)
{
    return (struct price_bound){
        .input_tokens_max = usage_sum(u, METERS_TOKENS_IN),
        .output_tokens_max = usage_sum(u, METERS_TOKENS_OUT),
        .images_max = usage_sum(u, METER_BIT(IMAGES)),
        .tensor_elements_max = usage_sum(u, METER_BIT(TENSOR_ELEMENTS)),
        .compute_ms_max = usage_sum(u, METER_BIT(COMPUTE_MS)),
        .characters_max = usage_sum(u, METER_BIT(CHARACTERS)),
        .audio_ms_max = usage_sum(u, METER_BIT(AUDIO_MS)),
        .video_ms_max = usage_sum(u, METER_BIT(VIDEO_MS)),
    };
}

/* The gateway's door must say the same of a request that is the first of its period. */
static void check_bill(const struct price_list *p, const struct usage *u,
                       const struct price_bound *b, const struct rate_line *lines, unsigned count)
{
    struct price_bill bill;
    enum status s = price_rate(p, u, b, &bill);
    assert(s == STATUS_OK && bill.count == count && !bill.clamped);
    for (unsigned i = 0; i < count; i++)
        assert(bill.lines[i].meter == lines[i].meter && bill.lines[i].item == lines[i].item &&
               bill.lines[i].qty == (uint64_t)lines[i].qty &&
               bill.lines[i].amount.atoms == lines[i].amount.atoms);
}

/* What a line would have come to at list; -1: more than money can hold. */
static int64_t list_of(const struct price_sheet *s, const struct rate_line *l)
{
    money_t list;
    const struct price_item *i = &s->items[s->first[l->meter] + l->item];
    return rate_list(i, l->before, l->qty, &list) == STATUS_OK ? list.atoms : -1;
}

static void print_bill(const struct price_sheet *s, const struct rate_line *lines, unsigned count,
                       uint32_t unpriced, const money_t *hold)
{
    for (unsigned i = 0; i < count; i++)
        printf("%s%s/%u/%" PRId64 "/%" PRId64 "/%" PRId64 "/%" PRId64, i ? "," : "",
               meter_name(lines[i].meter), lines[i].item, lines[i].qty, lines[i].before,
               lines[i].amount.atoms, list_of(s, &lines[i]));
    printf("%s ", count ? "" : "-");
    const char *comma = "";
    for (uint32_t left = unpriced; left; left &= left - 1, comma = ",")
        printf("%s%s", comma, meter_name((enum meter)__builtin_ctz(left)));
    printf("%s ", unpriced ? "" : "-");
    if (hold)
        printf("%" PRId64 "\n", hold->atoms);
    else
        puts("-");
}

static void rate(char **f)
{
    const struct price_sheet *s = sheet_of(f[1]);
    struct price_facts facts = { .accepted_us = number(f[2]),
                                 .dim = { word(f[3]), word(f[4]), word(f[5]) } };
    struct usage u = { .present = 0 };
    static int64_t before[ITEMS];
    memset(before, 0, sizeof before);
    bool first = strcmp(f[7], "-") == 0;
    read_usage(f[6], &u);
    read_before(f[7], s, before);
    uint32_t priced = 0, unpriced, missing = 0;
    for (unsigned m = 0; m < METER_COUNT; m++) {
        if (s->first[m] < s->first[m + 1])
            priced |= UINT32_C(1) << m;
        else if (usage_has(&u, (enum meter)m) && u.qty[m])
            missing |= UINT32_C(1) << m;
    }
    facts.context = (int64_t)usage_sum(&u, METERS_TOKENS_IN);
    struct rate_request r = { u.present & priced, u.qty, &facts, before };
    struct rate_line lines[PRICE_LINES_MAX];
    unsigned count;
    enum status status = rate_request(s, &r, lines, &count, &unpriced);
    if (status) {
        puts(failure(status));
        return;
    }
    struct price_list list = { .priced = priced, .sheet = s, .facts = &facts };
    struct price_bound bound = bound_of(&u);
    money_t hold;
    status = price_upper_bound(&list, &bound, &hold);
    if (first && status == STATUS_OK)
        check_bill(&list, &u, &bound, lines, count);
    print_bill(s, lines, count, unpriced | missing, status ? NULL : &hold);
}

static void close_period(char **f)
{
    const struct price_sheet *s = sheet_of(f[1]);
    const struct price_item *i = &s->items[s->first[meter_of(f[2], strlen(f[2]))] + number(f[3])];
    struct rate_period p = { number(f[4]), number(f[5]), number(f[6]), { number(f[7]) } };
    struct rate_close_line lines[RATE_CLOSE_LINES_MAX];
    unsigned count;
    money_t total;
    enum status status = rate_close(i, &p, lines, &count, &total);
    if (status) {
        puts(failure(status));
        return;
    }
    for (unsigned k = 0; k < count; k++) {
        assert(lines[k].reversal == (lines[k].amount.atoms < 0));
        printf("%s%" PRId64 "/%" PRId64, k ? "," : "", lines[k].qty, lines[k].amount.atoms);
    }
    printf("%s %" PRId64 "\n", count ? "" : "-", total.atoms);
}

static void lint(char **f)
{
    const struct price_sheet *s = sheet_of(f[1]);
    enum meter m = meter_of(f[2], strlen(f[2]));
    const struct price_item *items[PRICE_ITEMS_MAX];
    unsigned count = 0;
    for (unsigned at = s->first[m]; at < s->first[m + 1]; at++)
        items[count++] = &s->items[at];
    struct price_flaw flaw;
    puts(price_items_check(items, count, number(f[3]), &flaw) ? "ok" : flaw.text);
}

static void print_book(char **f)
{
    struct conf *conf = NULL;
    char err[CONF_ERROR_BYTES];
    if (conf_load(f[1], &conf, err) != STATUS_OK) {
        printf("error %s\n", err);
        return;
    }
    printf("%zu\n%s", strlen(conf->catalog->price_text), conf->catalog->price_text);
    conf_free(conf);
}

static const struct {
    char letter;
    int fields;
    void (*answer)(char **fields);
} questions[] = { { 'B', 2, read_book },
                  { 'R', 8, rate },
                  { 'C', 8, close_period },
                  { 'L', 4, lint },
                  { 'Y', 2, print_book } };

int main(void)
{
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        char *field[FIELDS_MAX] = { NULL }, *rest = line;
        int count = 0;
        while (count < FIELDS_MAX && (field[count] = strtok_r(NULL, " \n", &rest)))
            count++;
        bool answered = false;
        for (size_t i = 0; i < sizeof questions / sizeof *questions && count; i++)
            if (questions[i].letter == *field[0] && questions[i].fields == count) {
                questions[i].answer(field);
                answered = true;
            }
        assert(answered);
    }
    arena_free(arena);
    free(book);
    return EXIT_SUCCESS;
}
