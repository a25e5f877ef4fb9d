/* tests/unit/test_price.c -- the vectors of the billing rules (R1-R3), and that no
 * bill is ever larger than its bound. */
#include "billing/price.h"
#include <check.h>

/* Prices per million tokens, in atoms: 2.50 -> 25,000,000,000. */
#define PER_M(atoms)     \
    {                    \
        (atoms), 1000000 \
    }

static const struct {
    const char *label;
    struct price price;
    uint64_t qty;
    int64_t atoms;
} rate_cases[] = {
    { "V1 in", PER_M(25000000000), 1234, 30850000 },
    { "V1 out", PER_M(100000000000), 567, 56700000 },
    { "V2 uncached", PER_M(30000000000), 21, 630000 },
    { "V2 cached", PER_M(3000000000), 10318, 30954000 },
    { "V2 out", PER_M(150000000000), 60, 9000000 },
    { "V3 one", PER_M(25000000), 1, 25 },
    { "V3 seven", PER_M(25000000), 7, 175 },
    { "V3b 312.5", PER_M(312500000), 1, 312 },
    { "V3b 625", PER_M(312500000), 2, 625 },
    { "V3b 937.5", PER_M(312500000), 3, 938 },
    { "V3b 1562.5", PER_M(312500000), 5, 1562 },
    { "V4 two images", { 1200000000, 1 }, 2, 2400000000 },
    { "V5 audio", { 60000000, 60000 }, 61400, 61400000 },
    { "V5b characters", PER_M(150000000000), 4097, 614550000 },
    { "V14 batch", PER_M(12500000000), 1000001, 12500012500 },
    { "V16 in", PER_M(1400000000), 5369, 7516600 },
    { "V16 out", PER_M(2800000000), 13615, 38122000 },
    { "V18", PER_M(25000000000), 123456789, 3086419725000 },
};

START_TEST(test_rate)
{
    money_t m;
    ck_assert_msg(money_rate(rate_cases[_i].qty, rate_cases[_i].price, &m), "%s",
                  rate_cases[_i].label);
    ck_assert_msg(m.atoms == rate_cases[_i].atoms, "%s: %lld", rate_cases[_i].label,
                  (long long)m.atoms);
}
END_TEST

struct model {
    uint32_t priced;
    struct price price[METER_COUNT];
};

static struct model model_of(const enum meter *meters, const struct price *prices, unsigned count)
{
    struct model m = { 0 };
    for (unsigned i = 0; i < count; i++) {
        m.priced |= UINT32_C(1) << meters[i];
        m.price[meters[i]] = prices[i];
    }
    return m;
}

static struct model chat(int64_t in, int64_t cached, int64_t out)
{
    const enum meter meters[] = { METER_INPUT_UNCACHED, METER_INPUT_CACHED, METER_OUTPUT_TEXT };
    const struct price prices[] = { PER_M(in), PER_M(cached), PER_M(out) };
    return model_of(meters, prices, 3);
}

static struct price_list list_of(const struct model *m)
{
    return (struct price_list){ .priced = m->priced, .price = m->price };
}

static struct price_bill rate(const struct model *m, const struct usage *u,
                              const struct price_bound *b)
{
    struct price_list list = list_of(m);
    struct price_bill bill;
    ck_assert_int_eq(price_rate(&list, u, b, &bill), STATUS_OK);
    return bill;
}

static const struct price_bound wide = {
    .input_tokens_max = 1000000,
    .output_tokens_max = 1000000,
    .images_max = 100,
    .tensor_elements_max = 1000000,
    .compute_ms_max = 1000000,
    .characters_max = 1000000,
    .audio_ms_max = 1000000,
};

START_TEST(test_v1_and_v2)
{
    struct model m = chat(25000000000, 25000000000, 100000000000);
    struct usage u = { 0 };
    usage_set(&u, METER_INPUT_UNCACHED, 1234);
    usage_set(&u, METER_OUTPUT_TEXT, 567);
    struct price_bill b = rate(&m, &u, &wide);
    ck_assert_int_eq(b.amount.atoms, 87550000);
    ck_assert_uint_eq(b.count, 2);

    m = chat(30000000000, 3000000000, 150000000000);
    u = (struct usage){ 0 };
    usage_set(&u, METER_INPUT_UNCACHED, 10339 - 10318); /* disjoint: the total would bill twice */
    usage_set(&u, METER_INPUT_CACHED, 10318);
    usage_set(&u, METER_OUTPUT_TEXT, 60);
    b = rate(&m, &u, &wide);
    ck_assert_int_eq(b.amount.atoms, 40584000);
    ck_assert(!b.unpriced && !b.clamped);
}
END_TEST

START_TEST(test_v4_delivered_images)
{
    struct model m =
        model_of((enum meter[]){ METER_IMAGES }, (struct price[]){ { 1200000000, 1 } }, 1);
    struct usage u = { 0 };
    usage_set(&u, METER_IMAGES, 2);
    ck_assert_int_eq(rate(&m, &u, &(struct price_bound){ .images_max = 3 }).amount.atoms,
                     2400000000);
}
END_TEST

/* Each meter that stands alone: bound, price and quantity; one more than the bound is clamped. */
START_TEST(test_meters_with_a_bound_of_their_own)
{
    static const enum meter meters[] = { METER_IMAGES, METER_COMPUTE_MS, METER_TENSOR_ELEMENTS,
                                         METER_CHARACTERS, METER_AUDIO_MS };
    const struct price_bound bounds[] = { { .images_max = 7 },
                                          { .compute_ms_max = 7 },
                                          { .tensor_elements_max = 7 },
                                          { .characters_max = 7 },
                                          { .audio_ms_max = 7 } };
    for (size_t i = 0; i < sizeof meters / sizeof *meters; i++) {
        struct model m = model_of(&meters[i], (struct price[]){ { 1000, 1 } }, 1);
        struct price_list list = list_of(&m);
        money_t hold;
        ck_assert_int_eq(price_upper_bound(&list, &bounds[i], &hold), STATUS_OK);
        ck_assert_int_eq(hold.atoms, 7000);
        for (uint64_t qty = 7; qty < 9; qty++) {
            struct usage u = { 0 };
            usage_set(&u, meters[i], qty);
            struct price_bill b = rate(&m, &u, &bounds[i]);
            ck_assert_int_eq(b.amount.atoms, 7000);
            ck_assert_int_eq(b.clamped, qty > 7);
        }
    }
}
END_TEST

START_TEST(test_v15_hold_and_capture)
{
    struct model m = chat(25000000000, 25000000000, 100000000000);
    struct price_list list = list_of(&m);
    struct price_bound bound = { .input_tokens_max = 4000, .output_tokens_max = 2000 };
    money_t hold;
    ck_assert_int_eq(price_upper_bound(&list, &bound, &hold), STATUS_OK);
    ck_assert_int_eq(hold.atoms, 300000000);
    struct usage u = { 0 };
    usage_set(&u, METER_INPUT_UNCACHED, 812);
    usage_set(&u, METER_OUTPUT_TEXT, 640);
    ck_assert_int_eq(rate(&m, &u, &bound).amount.atoms, 84300000);
}
END_TEST

START_TEST(test_zero_is_a_value_and_absent_is_no_line)
{
    struct model m = chat(25000000000, 25000000000, 100000000000);
    struct usage u = { 0 };
    usage_set(&u, METER_INPUT_UNCACHED, 10);
    usage_set(&u, METER_OUTPUT_TEXT, 0);
    struct price_bill b = rate(&m, &u, &wide);
    ck_assert_uint_eq(b.count, 1);
    ck_assert_int_eq(b.amount.atoms, 250000);
}
END_TEST

START_TEST(test_unpriced_is_billed_nothing_and_said)
{
    struct model m = chat(25000000000, 25000000000, 100000000000);
    struct usage u = { 0 };
    usage_set(&u, METER_OUTPUT_REASONING, 10);
    struct price_bill b = rate(&m, &u, &wide);
    ck_assert_int_eq(b.amount.atoms, 0);
    ck_assert(b.unpriced);
    ck_assert_uint_eq(b.count, 0);
}
END_TEST

START_TEST(test_a_backend_cannot_bill_beyond_the_hold)
{
    struct model m = chat(25000000000, 5000000000, 100000000000);
    struct price_list list = list_of(&m);
    struct price_bound bound = { .input_tokens_max = 100, .output_tokens_max = 10 };
    money_t hold;
    ck_assert_int_eq(price_upper_bound(&list, &bound, &hold), STATUS_OK);
    struct usage u = { 0 };
    for (unsigned i = 0; i < METER_COUNT; i++)
        usage_set(&u, (enum meter)i, UINT64_MAX);
    struct price_bill b = rate(&m, &u, &bound);
    ck_assert(b.clamped && b.unpriced);
    ck_assert_int_le(b.amount.atoms, hold.atoms);
}
END_TEST

/* Prices that are no whole atoms, split in every way: the sum of the rounded lines
 * stays within the bound. */
START_TEST(test_rounded_lines_stay_within_the_bound)
{
    static const int64_t atoms[] = { 1, 3, 312500000, 500000, 1500001, 999999 };
    const enum meter in[] = { METER_INPUT_UNCACHED, METER_INPUT_CACHED, METER_INPUT_CACHE_WRITE };
    for (unsigned i = 0; i < 216; i++) {
        const struct price prices[] = { PER_M(atoms[i % 6]), PER_M(atoms[i / 6 % 6]),
                                        PER_M(atoms[i / 36]) };
        struct model m = model_of(in, prices, 3);
        struct price_list list = list_of(&m);
        for (uint64_t total = 0; total < 12; total++) {
            struct price_bound bound = { .input_tokens_max = total };
            money_t hold = { 0 };
            enum status s = price_upper_bound(&list, &bound, &hold);
            ck_assert(s == STATUS_OK || (total == 0 && s == STATUS_MODEL_NOT_PRICED));
            for (uint64_t a = 0; a <= total; a++)
                for (uint64_t b = 0; a + b <= total; b++) {
                    struct usage u = { 0 };
                    usage_set(&u, in[0], a);
                    usage_set(&u, in[1], b);
                    usage_set(&u, in[2], total - a - b);
                    ck_assert_int_le(rate(&m, &u, &bound).amount.atoms, hold.atoms);
                }
        }
    }
}
END_TEST

/* A meter in no group could never be charged, and one in two could be charged twice its bound. */
START_TEST(test_each_meter_has_one_bound)
{
    enum meter m = (enum meter)_i;
    struct model model = model_of(&m, &(struct price){ 3, 1 }, 1);
    struct price_list list = list_of(&model);
    struct price_bound bound = { 10, 10, 10, 10, 10, 10, 10, 10 };
    uint64_t most = m == METER_REQUESTS ? 1 : 10;
    money_t hold;
    ck_assert_int_eq(price_upper_bound(&list, &bound, &hold), STATUS_OK);
    ck_assert_int_eq(hold.atoms, 3 * (int64_t)most);
    struct usage u = { 0 };
    usage_set(&u, m, 11);
    struct price_bill b = rate(&model, &u, &bound);
    ck_assert(b.clamped && !b.unpriced);
    ck_assert_uint_eq(b.lines[0].qty, most);
    ck_assert_int_eq(b.amount.atoms, hold.atoms);
}
END_TEST

START_TEST(test_overflow_and_no_price_are_refused_before_the_backend)
{
    struct model m = chat(MONEY_ATOMS_MAX, MONEY_ATOMS_MAX, MONEY_ATOMS_MAX);
    struct price_list list = list_of(&m);
    struct price_bound bound = { .input_tokens_max = UINT64_MAX };
    money_t hold = { 42 };
    ck_assert_int_eq(price_upper_bound(&list, &bound, &hold), STATUS_BILLING_OVERFLOW);
    bound = (struct price_bound){ .images_max = 1 };
    ck_assert_int_eq(price_upper_bound(&list, &bound, &hold), STATUS_MODEL_NOT_PRICED);
    ck_assert_int_eq(hold.atoms, 42); /* a failure leaves its output as it was */
}
END_TEST

Suite *price_suite(void);
Suite *price_suite(void)
{
    Suite *s = suite_create("price");
    TCase *t = tcase_create("price");
    tcase_add_loop_test(t, test_rate, 0, sizeof rate_cases / sizeof rate_cases[0]);
    tcase_add_test(t, test_v1_and_v2);
    tcase_add_test(t, test_v4_delivered_images);
    tcase_add_test(t, test_meters_with_a_bound_of_their_own);
    tcase_add_test(t, test_v15_hold_and_capture);
    tcase_add_test(t, test_zero_is_a_value_and_absent_is_no_line);
    tcase_add_test(t, test_unpriced_is_billed_nothing_and_said);
    tcase_add_test(t, test_a_backend_cannot_bill_beyond_the_hold);
    tcase_add_test(t, test_rounded_lines_stay_within_the_bound);
    tcase_add_loop_test(t, test_each_meter_has_one_bound, 0, METER_COUNT);
    tcase_add_test(t, test_overflow_and_no_price_are_refused_before_the_backend);
    suite_add_tcase(s, t);
    return s;
}
