/* tests/unit/test_price_item.c -- prices as the configuration says them: each way in which they
 * can be wrong, what becomes of them, hours of the week, and the check of a book. */
#include "base/cleanup.h"
#include "base/buf.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "conf/price_lint.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdio.h>

#define HEAD(capabilities)                                                         \
    "backends:\n  w: {transport: shm, address: /run/w.sock}\nmodels:\n  base/x:\n" \
    "    capabilities: [" capabilities "]\n    routes: [{backend: w, model: m}]\n" \
    "    price:\n      requests: 0\n"
#define IMAGES(price) HEAD("images") "      images: " price "\n"
#define CHAT(price)                                                                   \
    "backends:\n  w: {transport: shm, address: /run/w.sock}\nmodels:\n  base/x:\n"    \
    "    capabilities: [chat]\n    context_length: 1000\n"                            \
    "    routes: [{backend: w, model: m}]\n    price:\n      output_text_tokens: 0\n" \
    "      input_uncached_tokens: " price "\n"

static struct conf *parse(const char *text, char err[static CONF_ERROR_BYTES])
{
    struct conf *c = NULL;
    err[0] = '\0';
    enum status s = conf_parse("t.yaml", text, strlen(text), &c, err);
    ck_assert((s == STATUS_OK) == (c != NULL));
    return c;
}

/* ---- what is refused ----------------------------------------------------------------------- */

#define AT_IMAGES "models.base/x.price.images"
#define AT_INPUT  "models.base/x.price.input_uncached_tokens"

/* clang-format off */
static const struct {
    const char *label, *text, *error;
} bad[] = {
    { "empty list", IMAGES("[]"), "t.yaml:9:7: " AT_IMAGES ": has 0 prices; expected 1 to 32" },
    { "not a map", IMAGES("[0.1]"),
      "t.yaml:9:16: " AT_IMAGES "[0]: expected a map of keys, not a single value" },
    { "no kind", IMAGES("{size: a}"),
      "t.yaml:9:7: " AT_IMAGES ": names 0 kinds of price; expected one of unit, graduated, volume, "
      "package, flat, included" },
    { "two kinds", IMAGES("{unit: 1, package: 2/5}"),
      "t.yaml:9:7: " AT_IMAGES ": names 2 kinds of price; expected one of unit, graduated, volume, "
      "package, flat, included" },
    { "a kind misspelt", IMAGES("{unt: 1}"),
      "t.yaml:9:16: " AT_IMAGES ": unknown key 'unt'; did you mean 'unit'?" },
    { "not a price", IMAGES("{unit: cheap}"),
      "t.yaml:9:22: " AT_IMAGES ".unit: 'cheap' is not a price such as 0.40/1M" },
    { "flat of what", IMAGES("{flat: 1}"),
      "t.yaml:9:7: " AT_IMAGES ": 'flat' needs 'per'; expected request or period" },
    { "flat not an amount", IMAGES("{flat: 1/2, per: request}"),
      "t.yaml:9:22: " AT_IMAGES ".flat: '1/2' is not an amount such as 0.01" },
    { "per of a unit", IMAGES("{unit: 1, per: request}"),
      "t.yaml:9:25: " AT_IMAGES ": 'per' has no effect: the price is not 'flat'" },
    { "per day", IMAGES("{flat: 1, per: day}"),
      "t.yaml:9:30: " AT_IMAGES ".per: 'day' is not one of request|period" },
    { "32K", CHAT("{unit: 1, context_max: 32K}"),
      "t.yaml:10:53: " AT_INPUT ".context_max: '32K' may mean a power of ten or of two: write the "
      "number out" },
    { "32M", CHAT("{unit: 1, context_min: 32M}"),
      "t.yaml:10:53: " AT_INPUT ".context_min: '32M' may mean a power of ten or of two: write the "
      "number out" },
    { "not a number", CHAT("{unit: 1, context_max: many}"),
      "t.yaml:10:53: " AT_INPUT ".context_max: 'many' is not a whole number, written out, of at "
      "least 0" },
    { "band upside down", CHAT("{unit: 1, context_min: 9, context_max: 8}"),
      "t.yaml:10:7: " AT_INPUT ": context_min is above context_max" },
    { "band beyond the context", CHAT("[{unit: 1, context_max: 1000}, {unit: 2, context_min: 1001}]"),
      "t.yaml:10:84: " AT_INPUT "[1].context_min: has no effect: the model's context_length is "
      "1000" },
    { "bands overlap", CHAT("[{unit: 1, context_max: 500}, {unit: 2, context_min: 500}]"),
      "t.yaml:10:60: " AT_INPUT "[1]: this and another price hold for a request of 500 input "
      "tokens" },
    { "bands leave a hole", CHAT("[{unit: 1, context_max: 500}, {unit: 2, context_min: 502}]"),
      "t.yaml:10:7: " AT_INPUT ": no price holds for a request of 501 input tokens" },
    { "bands end early", CHAT("[{unit: 1, context_max: 999}]"),
      "t.yaml:10:7: " AT_INPUT ": no price holds for a request of 1000 input tokens" },
    { "no other size", IMAGES("[{unit: 1, size: a}]"),
      "t.yaml:9:7: " AT_IMAGES ": no price holds for a request of another size, 0 input tokens" },
    { "two dimensions cross", IMAGES("[{unit: 1}, {unit: 2, size: a}, {unit: 3, quality: hd}]"),
      "t.yaml:9:27: " AT_IMAGES "[1]: this and another price hold for a request of size a, quality "
      "hd, 0 input tokens" },
    { "the same twice", IMAGES("[{unit: 1}, {unit: 2}]"),
      "t.yaml:9:27: " AT_IMAGES "[1]: this and another price hold for a request of 0 input tokens" },
    { "hours overlap", IMAGES("[{unit: 1}, {unit: 2, time: UTC Mon 01:00-04:00}, "
                              "{unit: 3, time: UTC Mon-Fri 03:00-05:00}]"),
      "t.yaml:9:65: " AT_IMAGES "[2]: this and another price hold for a request of 0 input tokens, "
      "Mon 03:00 UTC" },
    { "not a time", IMAGES("{unit: 1, time: Mon 01:00-04:00}"),
      "t.yaml:9:31: " AT_IMAGES ".time: 'Mon 01:00-04:00': a band of time begins with UTC: other "
      "zones have hours that come twice" },
    { "a size with spaces", IMAGES("{unit: 1, size: very large}"),
      "t.yaml:9:31: " AT_IMAGES ".size: 'very large' is not a word of [a-z0-9x._-], at most 32" },
    { "an unknown tier", CHAT("[{unit: 1}, {unit: 2, service_tier: gold}]"),
      "t.yaml:10:66: " AT_INPUT "[1].service_tier: 'gold' is not one of "
      "standard|flex|priority|batch|provisioned" },
    { "a size without images", CHAT("[{unit: 1}, {unit: 2, size: a}]"),
      "t.yaml:10:52: " AT_INPUT "[1]: 'size' has no effect: the model has no images" },
    { "a tier of images", IMAGES("[{unit: 1}, {unit: 2, service_tier: flex}]"),
      "t.yaml:9:37: " AT_IMAGES "[1]: 'service_tier' has no effect: only text has service tiers" },
    { "batch is not served", CHAT("[{unit: 2}, {unit: 1, service_tier: batch}]"),
      "t.yaml:10:42: " AT_INPUT "[1]: has no effect: requests of service_tier batch are not served "
      "yet" },
    { "one tier", IMAGES("{volume: [{unit: 1}]}"),
      "t.yaml:9:16: " AT_IMAGES ".volume: has 1 tiers; expected 2 to 16" },
    { "tiers descend", IMAGES("{volume: [{up_to: 9, unit: 1}, {up_to: 8, unit: 1}, {unit: 2}]}"),
      "t.yaml:9:7: " AT_IMAGES ": the tiers do not ascend" },
    { "tiers end", IMAGES("{volume: [{up_to: 8, unit: 1}, {up_to: 9, unit: 1}]}"),
      "t.yaml:9:7: " AT_IMAGES ": the last tier has an end: leave out its 'up_to'" },
    { "two open tiers", IMAGES("{volume: [{unit: 1}, {unit: 1}]}"),
      "t.yaml:9:7: " AT_IMAGES ": only the last tier may leave out 'up_to'" },
    { "a tier without a price", IMAGES("{graduated: [{up_to: 8}, {unit: 1}]}"),
      "t.yaml:9:28: " AT_IMAGES ".graduated[0]: 'unit' is missing; expected a price such as "
      "0.40/1M" },
    { "a tier of 10M", IMAGES("{graduated: [{up_to: 10M, unit: 1}, {unit: 1}]}"),
      "t.yaml:9:36: " AT_IMAGES ".graduated[0].up_to: '10M' may mean a power of ten or of two: "
      "write the number out" },
    { "included and nothing after", IMAGES("{included: 5}"),
      "t.yaml:9:7: " AT_IMAGES ": no price holds for a request of 0 input tokens" },
    { "included for some", IMAGES("[{included: 5, size: a}, {unit: 1}]"),
      "t.yaml:9:16: " AT_IMAGES "[0]: 'included' stands alone: it is for every request of the "
      "meter" },
    { "included twice", IMAGES("[{included: 5}, {included: 6}, {unit: 1}]"),
      "t.yaml:9:31: " AT_IMAGES "[1]: a meter has one 'included'" },
    { "flat tokens", CHAT("{flat: 2, per: request}"),
      "t.yaml:10:7: " AT_INPUT ": 'input_cached_tokens' is not told what to cost: a price like "
      "this of 'input_uncached_tokens' is not copied to it; give it its own" },
};
/* clang-format on */

START_TEST(test_bad)
{
    char err[CONF_ERROR_BYTES];
    ck_assert_msg(!parse(bad[_i].text, err), "%s", bad[_i].label);
    ck_assert_str_eq(err, bad[_i].error);
}
END_TEST

/* ---- what becomes of them ------------------------------------------------------------------ */

static const struct {
    const char *label, *text, *book;
} good[] = {
    { "a list of one plain price is that price", IMAGES("[{unit: 0.10}]"),
      "base/x images 1000000000/1\nbase/x requests 0/1\n" },
    { "sizes in the order of the book",
      IMAGES("[{unit: 0.12, size: 1024x1792, quality: hd}, {unit: 0.04}, "
             "{unit: 0.08, size: 1024x1792}]"),
      "base/x images 400000000/1\nbase/x images unit 800000000/1 size=1024x1792\n"
      "base/x images unit 1200000000/1 size=1024x1792 quality=hd\nbase/x requests 0/1\n" },
    { "hours, days by name",
      IMAGES("[{unit: 2}, {unit: 1, time: \"UTC Mon-Wed 01:00-04:00,06:00-10:00\"}]"),
      "base/x images 20000000000/1\n"
      "base/x images unit 10000000000/1 time=UTC/Mon,Tue,Wed/01:00-04:00,06:00-10:00\n" },
    { "list", IMAGES("{unit: 0.10, list: 0.12}"),
      "base/x images unit 1000000000/1 list=1200000000/1\n" },
    { "flat", IMAGES("{flat: 0.10, per: request}"), "base/x images flat 1000000000/request\n" },
    { "by the period", IMAGES("[{included: 5}, {graduated: [{up_to: 8, unit: 2}, {unit: 1}]}]"),
      "base/x images included 5\n"
      "base/x images graduated 8:20000000000/1,*:10000000000/1\n" },
    { "by volume", IMAGES("{volume: [{up_to: 8, unit: 2}, {unit: 1}]}"),
      "base/x images volume 8:20000000000/1,*:10000000000/1\n" },
    { "a package", IMAGES("{package: 2.00/1M}"), "base/x images package 20000000000/1000000\n" },
    { "flat by the period", IMAGES("{flat: 2, per: period}"),
      "base/x images flat 20000000000/period\n" },
    { "a meter that is not named has the prices of its base",
      CHAT("[{unit: 1, context_max: 500}, {unit: 2, context_min: 501}]"),
      "base/x input_audio_tokens unit 10000000000/1 context=0..500\n"
      "base/x input_audio_tokens unit 20000000000/1 context=501..\n" },
};

/* The text is in the book, and what is printed of it is read as the same book. */
START_TEST(test_good)
{
    char err[CONF_ERROR_BYTES];
    struct conf *c = parse(good[_i].text, err);
    ck_assert_msg(c != NULL, "%s: %s", good[_i].label, err);
    ck_assert_msg(strstr(c->catalog->price_text, good[_i].book), "%s:\n%s", good[_i].label,
                  c->catalog->price_text);
    AUTO(free_ptr) char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    conf_print(c, out);
    fclose(out);
    struct conf *again = parse(printed, err);
    ck_assert_msg(again != NULL, "%s\n%s", err, printed);
    ck_assert_str_eq(again->catalog->price_text, c->catalog->price_text);
    conf_free(again);
    conf_free(c);
}
END_TEST

START_TEST(test_order_in_the_file_means_nothing)
{
    char err[CONF_ERROR_BYTES];
    struct conf *a = parse(IMAGES("[{unit: 1}, {unit: 2, size: a}, {unit: 3, size: b}]"), err);
    struct conf *b = parse(IMAGES("[{unit: 3, size: b}, {unit: 1}, {unit: 2, size: a}]"), err);
    ck_assert_str_eq(a->catalog->price_text, b->catalog->price_text);
    ck_assert_mem_eq(a->catalog->price_sha256, b->catalog->price_sha256, 32);
    conf_free(a);
    conf_free(b);
}
END_TEST

START_TEST(test_a_child_has_its_parents_sheet)
{
    char err[CONF_ERROR_BYTES];
    struct conf *c =
        parse("backends:\n  w: {transport: shm, address: /run/w.sock}\nmodels:\n  base/x:\n"
              "    capabilities: [chat, images]\n    routes: [{backend: w, model: m}]\n    price:\n"
              "      images: [{unit: 1}, {unit: 2, size: a}]\n      input_uncached_tokens: 1\n"
              "      output_text_tokens: 2\n"
              "  base/y: {parent: base/x}\n  base/z: {parent: base/x, capabilities: [chat]}\n",
              err);
    ck_assert_msg(c != NULL, "%s", err);
    const struct catalog_model *x = &c->catalog->models[0], *y = x + 1, *z = x + 2;
    ck_assert(x->sheet && y->sheet && z->sheet);
    ck_assert_uint_eq(x->sheet->first[METER_COUNT], y->sheet->first[METER_COUNT]);
    ck_assert(!model_priced(z, METER_IMAGES));
    ck_assert_uint_eq(z->sheet->dims, 0);
    ck_assert_uint_lt(z->sheet->first[METER_COUNT], y->sheet->first[METER_COUNT]);
    ck_assert_int_eq(
        price_select(z->sheet, METER_OUTPUT_TEXT, &(struct price_facts){ 0 })->price.atoms,
        2 * MONEY_ATOMS_PER_UNIT);
    conf_free(c);
}
END_TEST

/* ---- hours --------------------------------------------------------------------------------- */

static const struct {
    const char *text, *again; /* NULL: it is refused */
} hours[] = {
    { "UTC Mon-Fri 01:00-04:00", "UTC Mon,Tue,Wed,Thu,Fri 01:00-04:00" },
    { "UTC Sat,Sun 00:00-24:00", "UTC Sat,Sun 00:00-24:00" },
    { "UTC Sun,Mon 01:00-02:00", "UTC Mon,Sun 01:00-02:00" },
    { "UTC Mon 00:00-01:00,02:30-03:00,04:00-05:00,23:00-24:00",
      "UTC Mon 00:00-01:00,02:30-03:00,04:00-05:00,23:00-24:00" },
    { "", NULL },
    { "Mon 01:00-04:00", NULL },
    { "CET Mon 01:00-04:00", NULL },
    { "UTC", NULL },
    { "UTC Mon", NULL },
    { "UTC 01:00-04:00", NULL },
    { "UTC Monday 01:00-04:00", NULL },
    { "UTC Fri-Mon 01:00-04:00", NULL },
    { "UTC Mon,Mon 01:00-04:00", NULL },
    { "UTC Mon-Wed,Tue 01:00-04:00", NULL },
    { "UTC Mon 1:00-4:00", NULL },
    { "UTC Mon 01:00", NULL },
    { "UTC Mon 01:00-24:01", NULL },
    { "UTC Mon 01:60-02:00", NULL },
    { "UTC Mon 04:00-01:00", NULL },
    { "UTC Mon 01:00-01:00", NULL },
    { "UTC Mon 01:00-02:00,02:00-03:00", NULL },
    { "UTC Mon 03:00-04:00,01:00-02:00", NULL },
    { "UTC Mon 00:00-01:00,02:00-03:00,04:00-05:00,06:00-07:00,08:00-09:00", NULL },
    { "UTC Mon 01:00-04:00 ", NULL },
    { "UTC  Mon 01:00-04:00", NULL },
};

START_TEST(test_hours)
{
    struct time_band b;
    char text[TIME_BAND_TEXT_BYTES];
    const char *wrong =
        time_band_read((struct span){ hours[_i].text, strlen(hours[_i].text) }, ' ', &b);
    ck_assert_msg((wrong == NULL) == (hours[_i].again != NULL), "%s: %s", hours[_i].text,
                  wrong ? wrong : "read");
    if (!wrong)
        ck_assert_str_eq(time_band_text(&b, ' ', text), hours[_i].again);
}
END_TEST

START_TEST(test_when_hours_hold)
{
    struct time_band b, always = { 0 };
    const char *wrong = time_band_read(SPAN("UTC Thu,Sun 06:30-24:00"), ' ', &b);
    ck_assert_ptr_null(wrong);
    const int64_t minute = 60000000, day = 1440 * minute; /* 1970 began on a Thursday */
    ck_assert(!time_band_holds(&b, 0));
    ck_assert(!time_band_holds(&b, 390 * minute - 1));
    ck_assert(time_band_holds(&b, 390 * minute));
    ck_assert(time_band_holds(&b, day - 1));
    ck_assert(!time_band_holds(&b, day));
    ck_assert(time_band_holds(&b, 3 * day + 400 * minute));
    ck_assert(time_band_holds(&b, 7 * day + 390 * minute));
    const int64_t thursday = INT64_C(1764201600000000); /* 2025-11-27 */
    ck_assert(!time_band_holds(&b, thursday - 1));
    ck_assert(time_band_holds(&b, thursday + 390 * minute));
    ck_assert(time_band_holds(&always, 0));
    char text[TIME_BAND_TEXT_BYTES];
    ck_assert_str_eq(time_band_text(&always, ' ', text), "");
}
END_TEST

/* ---- the report of a book ------------------------------------------------------------------ */

START_TEST(test_report)
{
    char err[CONF_ERROR_BYTES];
    AUTO(buf_free) struct buf b;
    buf_init(&b, 4096);
    struct conf *c = parse(IMAGES("[{unit: 0.01/3}, {unit: 0.02, list: 0.01, size: a}]"), err);
    ck_assert(prices_report(c->catalog, 10, &b));
    ck_assert_str_eq(
        b.at, "base/x images 100000000/3: a line may be up to 1/2 atom off its exact amount\n"
              "base/x images unit 200000000/1 list=100000000/1 size=a: it is above the list "
              "price\n");
    buf_clear(&b);
    ck_assert(prices_report(c->catalog, 1, &b));
    ck_assert_str_eq(strchr(b.at, '\n') + 1, "1 of 2 are shown\n");
    conf_free(c);
    buf_clear(&b);
    c = parse(IMAGES("0.01"), err);
    ck_assert(prices_report(c->catalog, 10, &b));
    ck_assert_uint_eq(b.len, 0);
    conf_free(c);
}
END_TEST

Suite *price_item_suite(void)
{
    Suite *s = suite_create("price_item");
    TCase *t = tcase_create("price_item");
    tcase_add_loop_test(t, test_bad, 0, sizeof bad / sizeof *bad);
    tcase_add_loop_test(t, test_good, 0, sizeof good / sizeof *good);
    tcase_add_test(t, test_order_in_the_file_means_nothing);
    tcase_add_test(t, test_a_child_has_its_parents_sheet);
    tcase_add_loop_test(t, test_hours, 0, sizeof hours / sizeof *hours);
    tcase_add_test(t, test_when_hours_hold);
    tcase_add_test(t, test_report);
    suite_add_tcase(s, t);
    return s;
}
