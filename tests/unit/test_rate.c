/* tests/unit/test_rate.c -- prices as lines of a book, and what usage comes to: the vectors of
 * the billing rules, then the edges of each kind.  Random books are tests/flow/test_rate_oracle.py. */
#include "base/arena.h"
#include "billing/pricebook.h"
#include "billing/rate.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define M INT64_C(1000000)
#define U MONEY_ATOMS_PER_UNIT

static struct arena *arena;

static void setup(void)
{
    arena = arena_new(1 << 20);
    ck_assert_ptr_nonnull(arena);
}

static void teardown(void)
{
    arena_free(arena);
}

static const struct price_sheet *sheet_of(const char *book)
{
    const struct price_sheet *s = NULL;
    ck_assert_msg(pricebook_sheet(book, "m", arena, &s) == STATUS_OK, "%s", book);
    return s;
}

static const struct price_item *item_of(const char *text)
{
    char book[512];
    snprintf(book, sizeof book, "m images %s\n", text);
    const struct price_sheet *s = sheet_of(book);
    return &s->items[s->first[METER_IMAGES]];
}

/* ---- one item ------------------------------------------------------------------------------ */

#define GRADUATED                                                          \
    "graduated 10000000:20000000000/1000000,50000000:15000000000/1000000," \
    "*:10000000000/1000000"
#define VOLUME \
    "volume 10000000:20000000000/1000000,50000000:15000000000/1000000,*:10000000000/1000000"
#define PACKAGE "package 20000000000/1000000"

static const struct {
    const char *label, *item;
    int64_t before, qty, atoms;
} item_cases[] = {
    { "V3b", "312500000/1000000", 0, 3, 938 },
    { "V5 by the minute", "60000000/60000", 0, 61400, 61400000 },
    { "V7 in one go", GRADUATED, 0, 62345678, 923456780000 },
    { "V7 first tier", GRADUATED, 0, 10 * M, 20 * U },
    { "V7 second tier only", GRADUATED, 10 * M, 40 * M, 60 * U },
    { "V7 across an end", GRADUATED, 10 * M - 1, 2, 35000 },
    { "V7 last tier", GRADUATED, 60 * M, 1, 10000 },
    { "V7v at the dearest price", VOLUME, 0, 62345678, INT64_C(62345678) * 20000 },
    { "V7v whatever came before", VOLUME, 70 * M, 1, 20000 },
    { "V7p nothing", PACKAGE, 0, 0, 0 },
    { "V7p one", PACKAGE, 0, 1, 2 * U },
    { "V7p a whole package", PACKAGE, 0, M, 2 * U },
    { "V7p and one more", PACKAGE, 0, M + 1, 4 * U },
    { "V7p within the begun one", PACKAGE, 600000, 400000, 0 },
    { "V7p progressive", PACKAGE, 600000, 800000, 2 * U },
    { "flat", "flat 7/request", 3, 5, 7 },
    { "flat of nothing", "flat 7/request", 0, 0, 0 },
    { "flat, the first of a period", "flat 7/period", 0, 5, 7 },
    { "flat, a later one", "flat 7/period", 1, 5, 0 },
    { "included", "included 10", 0, 10, 0 },
};

START_TEST(test_item)
{
    money_t got;
    enum status s =
        rate_item(item_of(item_cases[_i].item), item_cases[_i].before, item_cases[_i].qty, &got);
    ck_assert_msg(s == STATUS_OK && got.atoms == item_cases[_i].atoms, "%s: %" PRId64,
                  item_cases[_i].label, got.atoms);
}
END_TEST

START_TEST(test_item_refuses_what_is_too_much)
{
    money_t got = { 42 };
    ck_assert_int_eq(rate_item(item_of("9000000000000000000/1"), 0, 2, &got),
                     STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(rate_item(item_of(PACKAGE), INT64_MAX, 1, &got), STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(rate_item(item_of("package 9000000000000000000/1"), 0, 2, &got),
                     STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(rate_item(item_of("graduated 1:9000000000000000000/1,*:1/1"), 0, 2, &got),
                     STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(got.atoms, 42);
}
END_TEST

START_TEST(test_list_price)
{
    money_t got;
    ck_assert_int_eq(rate_list(item_of("unit 20000/1 list=25000/1"), 0, 3, &got), STATUS_OK);
    ck_assert_int_eq(got.atoms, 75000);
    ck_assert_int_eq(rate_list(item_of("20000/1"), 0, 3, &got), STATUS_OK);
    ck_assert_int_eq(got.atoms, 60000);
}
END_TEST

/* ---- the close of a period ----------------------------------------------------------------- */

static const struct {
    const char *label, *item;
    struct rate_period period;
    int64_t total;
    const char *lines; /* units @ atoms */
} close_cases[] = {
    { "V7 nothing differs",
      GRADUATED,
      { 0, 62345678, 62345678, { 923456780000 } },
      923456780000,
      "" },
    { "V7 charged by the first tier",
      GRADUATED,
      { 0, 62345678, 62345678, { 1246913560000 } },
      923456780000,
      "-62345678@-1246913560000 10000000@200000000000 40000000@600000000000 "
      "12345678@123456780000 " },
    { "V7 tiers go on (R5)",
      GRADUATED,
      { 10 * M, 5 * M, 15 * M, { 100000000000 } },
      75000000000,
      "-5000000@-100000000000 5000000@75000000000 " },
    { "V7v", VOLUME, { 0, 62345678, 62345678, { 0 } }, 623456780000, "62345678@623456780000 " },
    { "V7v at an end", VOLUME, { 0, 10 * M, 10 * M, { 200000000000 } }, 200000000000, "" },
    { "V7v one above it",
      VOLUME,
      { 0, 10 * M + 1, 10 * M + 1, { 200000020000 } },
      150000015000,
      "-10000001@-200000020000 10000001@150000015000 " },
    { "V7v of two versions",
      VOLUME,
      { 4 * M, 8 * M, 12 * M, { 160000000000 } },
      120000000000,
      "-8000000@-160000000000 8000000@120000000000 " },
    { "V7p",
      PACKAGE,
      { 0, 1400000, 1400000, { 20000000000 } },
      40000000000,
      "-1400000@-20000000000 2@40000000000 " },
    { "V7p within a begun one", PACKAGE, { 600000, 400000, M, { 0 } }, 0, "" },
    { "V17",
      "volume 15:100000000000/1,*:50000000000/1",
      { 0, 16, 16, { 1500000000000 } },
      800000000000,
      "-16@-1500000000000 16@800000000000 " },
    { "flat", "flat 7/period", { 0, 5, 5, { 7 } }, 7, "" },
    { "flat, not charged yet", "flat 7/period", { 0, 5, 5, { 0 } }, 7, "1@7 " },
    { "flat, of an earlier version", "flat 7/period", { 1, 5, 6, { 0 } }, 0, "" },
    { "unused", "flat 7/period", { 0, 0, 0, { 0 } }, 0, "" },
    { "unit", "3/1", { 0, 5, 5, { 15 } }, 15, "" },
    { "included", "included 5", { 0, 5, 5, { 0 } }, 0, "" },
};

START_TEST(test_close)
{
    struct rate_close_line lines[RATE_CLOSE_LINES_MAX];
    unsigned count;
    money_t total;
    char text[512] = "";
    ck_assert_int_eq(
        rate_close(item_of(close_cases[_i].item), &close_cases[_i].period, lines, &count, &total),
        STATUS_OK);
    int64_t sum = close_cases[_i].period.charged.atoms;
    for (unsigned i = 0; i < count; i++) {
        sum += lines[i].amount.atoms;
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%" PRId64 "@%" PRId64 " ",
                 lines[i].reversal ? "-" : "", lines[i].qty, lines[i].amount.atoms);
    }
    ck_assert_msg(total.atoms == close_cases[_i].total, "%s: %" PRId64, close_cases[_i].label,
                  total.atoms);
    ck_assert_str_eq(text, close_cases[_i].lines);
    ck_assert_int_eq(sum, total.atoms);
}
END_TEST

/* V17 as the rule tells it: fifteen were charged at 10, the sixteenth makes all of them cost 5. */
START_TEST(test_v17_net)
{
    struct rate_close_line lines[RATE_CLOSE_LINES_MAX];
    unsigned count;
    money_t total;
    const struct rate_period p = { 0, 16, 16, { 150 * U } };
    ck_assert_int_eq(
        rate_close(item_of("volume 15:100000000000/1,*:50000000000/1"), &p, lines, &count, &total),
        STATUS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(lines[0].amount.atoms, -150 * U);
    ck_assert_int_eq(lines[1].amount.atoms, 80 * U);
    ck_assert_int_eq(lines[0].amount.atoms + lines[1].amount.atoms, -70 * U);
}
END_TEST

/* ---- a request ----------------------------------------------------------------------------- */

static const char bands[] =
    "m input_uncached_tokens unit 25000000000/1000000 context=0..32768\n"
    "m input_uncached_tokens unit 40000000000/1000000 context=32769..131072\n"
    "m output_text_tokens unit 100000000000/1000000 context=0..32768\n"
    "m output_text_tokens unit 160000000000/1000000 context=32769..131072\n";

static const char many[] =
    "m images unit 400000000/1\n"
    "m images unit 800000000/1 size=1024x1024\n"
    "m images unit 1200000000/1 size=1024x1792 quality=hd\n"
    "m images unit 600000000/1 size=1024x1792\n"
    "m output_text_tokens included 1000\n"
    "m output_text_tokens unit 5/1 time=UTC/Mon,Tue,Wed,Thu,Fri/01:00-04:00,06:00-10:00\n"
    "m output_text_tokens unit 2/1\n"
    "m requests flat 9/request\n";

struct asked {
    const char *label, *book;
    int64_t in, out, images;
    const char *size, *quality;
    int64_t accepted_us;
    int64_t amount; /* -1: something has no price */
};

/* Wednesday 1970-01-07 at 00:00. */
#define WEDNESDAY (6 * INT64_C(86400000000))
#define HOUR      INT64_C(3600000000)

static const struct asked asked[] = {
    { "V6 at the end of a band", bands, 32768, 1000, 0, "", "", 0, 919200000 },
    { "V6 one token more", bands, 32769, 1000, 0, "", "", 0, 1470760000 },
    { "V6 beyond all bands", bands, 131073, 1000, 0, "", "", 0, -1 },
    { "V4 by size and quality", many, 0, 0, 2, "1024x1792", "hd", 0, 2400000000 },
    { "V4 by size alone", many, 0, 0, 2, "1024x1792", "low", 0, 1200000000 },
    { "V4 another size", many, 0, 0, 2, "1x1", "hd", 0, 800000000 },
    { "V4 no size", many, 0, 0, 2, "", "", 0, 800000000 },
    { "included, then the price", many, 0, 1003, 0, "", "", WEDNESDAY, 6 },
    { "all of it included", many, 0, 1000, 0, "", "", WEDNESDAY + HOUR, 0 },
    { "peak", many, 0, 1003, 0, "", "", WEDNESDAY + HOUR, 15 },
    { "the last of the peak", many, 0, 1003, 0, "", "", WEDNESDAY + 4 * HOUR - 1, 15 },
    { "after the peak", many, 0, 1003, 0, "", "", WEDNESDAY + 4 * HOUR, 6 },
    { "the second peak", many, 0, 1003, 0, "", "", WEDNESDAY + 9 * HOUR, 15 },
    { "no peak on Saturday", many, 0, 1003, 0, "", "", WEDNESDAY + (3 * 24 + 2) * HOUR, 6 },
};

static struct span word(const char *text)
{
    return (struct span){ text, strlen(text) };
}

START_TEST(test_request)
{
    const struct asked *a = &asked[_i];
    const struct price_sheet *s = sheet_of(a->book);
    uint64_t qty[METER_COUNT] = { [METER_INPUT_UNCACHED] = (uint64_t)a->in,
                                  [METER_OUTPUT_TEXT] = (uint64_t)a->out,
                                  [METER_IMAGES] = (uint64_t)a->images };
    const struct price_facts facts = { .context = a->in,
                                       .accepted_us = a->accepted_us,
                                       .dim = { word(a->size), word(a->quality),
                                                SPAN("standard") } };
    const struct rate_request r = {
        METER_BIT(INPUT_UNCACHED) | METER_BIT(OUTPUT_TEXT) | METER_BIT(IMAGES), qty, &facts, NULL
    };
    struct rate_line lines[PRICE_LINES_MAX];
    unsigned count;
    uint32_t unpriced;
    int64_t sum = 0, units = 0;
    ck_assert_int_eq(rate_request(s, &r, lines, &count, &unpriced), STATUS_OK);
    for (unsigned i = 0; i < count; i++) {
        sum += lines[i].amount.atoms;
        units += lines[i].qty;
    }
    ck_assert_msg((unpriced != 0) == (a->amount < 0), "%s", a->label);
    if (unpriced)
        return;
    ck_assert_msg(sum == a->amount, "%s: %" PRId64, a->label, sum);
    ck_assert_int_eq(units, a->in + a->out + a->images);
}
END_TEST

/* What the period used before decides what is still free and which tier it is. */
START_TEST(test_request_after_others)
{
    const struct price_sheet *s = sheet_of("m characters included 100\n"
                                           "m characters graduated 10:3/1,*:2/1\n");
    const int64_t before[] = { 95, 8 };
    uint64_t qty[METER_COUNT] = { [METER_CHARACTERS] = 10 };
    const struct price_facts facts = { .context = 0 };
    const struct rate_request r = { METER_BIT(CHARACTERS), qty, &facts, before };
    struct rate_line lines[PRICE_LINES_MAX];
    unsigned count;
    uint32_t unpriced;
    ck_assert_int_eq(rate_request(s, &r, lines, &count, &unpriced), STATUS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(lines[0].item == 0 && lines[0].qty == 5 && lines[0].before == 95);
    ck_assert_int_eq(lines[0].amount.atoms, 0);
    ck_assert(lines[1].item == 1 && lines[1].qty == 5 && lines[1].before == 8);
    ck_assert_int_eq(lines[1].amount.atoms, 2 * 3 + 3 * 2);
}
END_TEST

/* ---- the most of it ------------------------------------------------------------------------ */

static const struct {
    const char *label, *book;
    uint32_t meters;
    uint64_t qty;
    int64_t context_max, atoms;
} most_cases[] = {
    { "the band within reach", bands, METER_BIT(INPUT_UNCACHED), 32768, 32768, 819200000 },
    { "the dearer band", bands, METER_BIT(INPUT_UNCACHED), 32769, 32769, 1310760000 },
    { "output by the input's band", bands, METER_BIT(OUTPUT_TEXT), 1000, 40000, 160000000 },
    { "alone, exactly", "m images package 20/8\n", METER_BIT(IMAGES), 9, 0, 40 },
    { "nothing is free for certain", "m images included 9\nm images unit 7/1\n", METER_BIT(IMAGES),
      9, 0, 63 },
    { "the dearest tier", "m images graduated 5:3/1,9:7/1,*:2/1\n", METER_BIT(IMAGES), 10, 0, 70 },
    { "half an atom a tier", "m images graduated 5:1/3,*:1/7\n", METER_BIT(IMAGES), 10, 0, 4 },
    { "a tier of volume", "m images volume 5:3/1,*:2/1\n", METER_BIT(IMAGES), 10, 0, 30 },
    { "flat", "m images flat 5/period\n", METER_BIT(IMAGES), 10, 0, 5 },
    { "nothing", "m images flat 5/request\n", METER_BIT(IMAGES), 0, 0, 0 },
    { "two meters share", "m output_reasoning_tokens 5/1\nm output_text_tokens 3/1\n",
      METERS_TOKENS_OUT, 10, 0, 50 },
    { "and flat amounts add up",
      "m output_reasoning_tokens flat 5/request\n"
      "m output_text_tokens 3/1\n",
      METERS_TOKENS_OUT, 10, 0, 35 },
};

START_TEST(test_most)
{
    const struct price_facts facts = { .dim[PRICE_DIM_TIER] = SPAN("standard") };
    money_t got;
    ck_assert_int_eq(rate_most(sheet_of(most_cases[_i].book), most_cases[_i].meters,
                               most_cases[_i].qty, &facts, most_cases[_i].context_max, &got),
                     STATUS_OK);
    ck_assert_msg(got.atoms == most_cases[_i].atoms, "%s: %" PRId64, most_cases[_i].label,
                  got.atoms);
}
END_TEST

START_TEST(test_most_refuses_what_is_too_much)
{
    const struct price_facts facts = { .context = 0 };
    money_t got = { 42 };
    ck_assert_int_eq(
        rate_most(sheet_of("m images 1/1\n"), METER_BIT(IMAGES), UINT64_MAX, &facts, 0, &got),
        STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(rate_most(sheet_of("m images graduated 1:9000000000000000000/1,*:1/1\n"),
                               METER_BIT(IMAGES), 2, &facts, 0, &got),
                     STATUS_BILLING_OVERFLOW);
    ck_assert_int_eq(got.atoms, 42);
}
END_TEST

/* ---- a book's text ------------------------------------------------------------------------- */

static const struct {
    const char *text;
    bool good;
} lines[] = {
    { "5/1", true },
    { "unit 5/1", true },
    { "unit 5/1 list=6/1 context=0..9 size=a quality=b service_tier=flex time=UTC/Mon/00:00-24:00",
      true },
    { "unit 5/1 context=9..", true },
    { "included 5", true },
    { "flat 5/request", true },
    { "volume 5:1/1,*:2/1", true },
    { "", false },
    { "unit", false },
    { "unit ", false },
    { "05/1", false },
    { "5/0", false },
    { "-5/1", false },
    { "5/1/1", false },
    { "5", false },
    { "9000000000000000001/1", false },
    { "5/9223372036854775808", false },
    { "unit 5/1 ", false },
    { "unit  5/1", false },
    { "unit 5/1 colour=red", false },
    { "unit 5/1 size=", false },
    { "unit 5/1 size=a size=b", false },
    { "unit 5/1 size=123456789012345678901234567890123", false },
    { "unit 5/1 context=9..8", false },
    { "unit 5/1 context=9.8", false },
    { "unit 5/1 context=9", false },
    { "unit 5/1 context=..9", false },
    { "unit 5/1 list=1", false },
    { "unit 5/1 time=UTC", false },
    { "unit 5/1 time=CET/Mon/00:00-24:00", false },
    { "flat 5/day", false },
    { "flat 5", false },
    { "included 0", false },
    { "included x", false },
    { "volume 5:1/1", false },
    { "volume *:1/1,5:2/1", false },
    { "volume 5:1/1,5:2/1,*:1/1", false },
    { "volume 0:1/1,*:1/1", false },
    { "volume 5:1,*:1/1", false },
    { "volume 5:1/1,*:1/1,", false },
    { "volume ,*:1/1", false },
    { "unit 5/1 time=UTC/Mon,/00:00-24:00", false },
    { "unit 5/1 time=UTC/Mon/00:00-24:00,", false },
    { "volume 1:1/1,2:1/1,3:1/1,4:1/1,5:1/1,6:1/1,7:1/1,8:1/1,9:1/1,10:1/1,11:1/1,12:1/1,13:1/1,"
      "14:1/1,15:1/1,16:1/1,*:1/1",
      false },
    { "gift 5/1", false },
};

/* What is read and written again is the same text. */
START_TEST(test_line_of_a_book)
{
    char book[512];
    snprintf(book, sizeof book, "m images %s\n", lines[_i].text);
    const char *at = book;
    struct pricebook_line line = { .number = 0 };
    bool bad, got = pricebook_next(&at, &line, &bad);
    ck_assert_msg(got == lines[_i].good && bad == !got, "%s", lines[_i].text);
    if (!got || !strncmp(lines[_i].text, "unit 5/1", strlen(lines[_i].text)))
        return;
    struct buf b;
    buf_init(&b, 1024);
    ck_assert(price_item_write(&b, &line.item));
    ck_assert_str_eq(b.at, lines[_i].text);
    buf_free(&b);
}
END_TEST

START_TEST(test_sheet_of_a_book)
{
    static const char book[] = "currency USD book b\n"
                               "l images 1/1\n"
                               "m images unit 2/1 size=a\n"
                               "m images unit 3/1 size=b\n"
                               "m characters 4/1\n"
                               "n images 5/1\n";
    struct pricebook_line line;
    const struct price_sheet *s = sheet_of(book);
    ck_assert_uint_eq(s->first[METER_COUNT], 3);
    ck_assert_uint_eq(s->first[METER_IMAGES + 1] - s->first[METER_IMAGES], 2);
    ck_assert_uint_eq(s->dims, 1u << PRICE_DIM_SIZE);
    ck_assert_int_eq(pricebook_sheet(book, "x", arena, &s), STATUS_NOT_FOUND);
    ck_assert_int_eq(pricebook_sheet("m images 1/0\n", "m", arena, &s), STATUS_BAD_FIELD);
    ck_assert(pricebook_find(book, "m", METER_IMAGES, 1, &line));
    ck_assert_int_eq(line.item.price.atoms, 3);
    ck_assert(!pricebook_find(book, "m", METER_IMAGES, 2, &line));
    ck_assert(!pricebook_find(book, "m", METER_REQUESTS, 0, &line));
    ck_assert(pricebook_find(book, "n", METER_IMAGES, 0, &line));
}
END_TEST

Suite *rate_suite(void)
{
    Suite *s = suite_create("rate");
    TCase *t = tcase_create("rate");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_item, 0, sizeof item_cases / sizeof *item_cases);
    tcase_add_test(t, test_item_refuses_what_is_too_much);
    tcase_add_test(t, test_list_price);
    tcase_add_loop_test(t, test_close, 0, sizeof close_cases / sizeof *close_cases);
    tcase_add_test(t, test_v17_net);
    tcase_add_loop_test(t, test_request, 0, sizeof asked / sizeof *asked);
    tcase_add_test(t, test_request_after_others);
    tcase_add_loop_test(t, test_most, 0, sizeof most_cases / sizeof *most_cases);
    tcase_add_test(t, test_most_refuses_what_is_too_much);
    tcase_add_loop_test(t, test_line_of_a_book, 0, sizeof lines / sizeof *lines);
    tcase_add_test(t, test_sheet_of_a_book);
    suite_add_tcase(s, t);
    return s;
}
