/* tests/unit/test_protocol_page.c -- docs/worker-protocol.md says what the structures are, byte by byte. */
#include "backends/ring.h"
#include "backends/session.h"
#include "base/usage.h"
#include "conf/capability.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "gen/unit_suites.h"

static char *page;

static void setup(void)
{
    FILE *f = fopen("docs/worker-protocol.md", "r");
    ck_assert_msg(f != NULL, "docs/worker-protocol.md is missing");
    page = calloc(1, 1 << 18);
    ck_assert_uint_gt(fread(page, 1, (1 << 18) - 1, f), 1000);
    fclose(f);
}

static void teardown(void)
{
    free(page);
}

/* ---- structures ---- */

#define FIELD(section, type, name)                                                    \
    {                                                                                 \
        section, #name, offsetof(struct type, name), sizeof(((struct type *)0)->name) \
    }

static const struct {
    const char *section, *name; /* section: what its table comes after */
    size_t offset, size;
} fields[] = {
    FIELD("Every frame is a head", wire_head, len),
    FIELD("Every frame is a head", wire_head, type),
    FIELD("Every frame is a head", wire_head, flags),
    FIELD("Every frame is a head", wire_head, slot),
    FIELD("Every frame is a head", wire_head, gen),
    FIELD("sends **HELLO**", wire_hello, magic),
    FIELD("sends **HELLO**", wire_hello, version_min),
    FIELD("sends **HELLO**", wire_hello, version_max),
    FIELD("sends **HELLO**", wire_hello, max_inflight),
    FIELD("sends **HELLO**", wire_hello, pid),
    FIELD("sends **HELLO**", wire_hello, name),
    FIELD("answers **ACCEPT**", wire_accept, magic),
    FIELD("answers **ACCEPT**", wire_accept, version),
    FIELD("answers **ACCEPT**", wire_accept, flags),
    FIELD("answers **ACCEPT**", wire_accept, session),
    FIELD("answers **ACCEPT**", wire_accept, slots),
    FIELD("answers **ACCEPT**", wire_accept, credit_bytes),
    FIELD("answers **ACCEPT**", wire_accept, frame_max),
    FIELD("answers **ACCEPT**", wire_accept, ring_bytes_g),
    FIELD("answers **ACCEPT**", wire_accept, ring_bytes_w),
    FIELD("answers **ACCEPT**", wire_accept, reserved),
    FIELD("**REQUEST**: these", wire_request, rid),
    FIELD("**REQUEST**: these", wire_request, body_len),
    FIELD("**REQUEST**: these", wire_request, capability),
    FIELD("**REQUEST**: these", wire_request, max_out),
    FIELD("**REQUEST**: these", wire_request, deadline_ms),
    FIELD("**REQUEST**: these", wire_request, model_len),
    FIELD("**REQUEST**: these", wire_request, public_model_len),
    FIELD("**DATA**: four counters", wire_data, input_tokens),
    FIELD("**DATA**: four counters", wire_data, input_cached_tokens),
    FIELD("**DATA**: four counters", wire_data, output_tokens),
    FIELD("**DATA**: four counters", wire_data, output_reasoning_tokens),
    FIELD("**FINAL** ends", wire_final, code),
    FIELD("**FINAL** ends", wire_final, present),
    FIELD("## Formats", wire_format, header_len),
    FIELD("## Formats", wire_format, content_type_len),
    FIELD("## Formats", wire_format, reserved),
    FIELD("then the ring. The page", ring_side, magic),
    FIELD("then the ring. The page", ring_side, version),
    FIELD("then the ring. The page", ring_side, session),
    FIELD("then the ring. The page", ring_side, tail),
    FIELD("then the ring. The page", ring_side, head),
    FIELD("then the ring. The page", ring_side, armed),
};

START_TEST(each_field_stands_where_the_page_says)
{
    char row[128];
    const char *section = strstr(page, fields[_i].section);
    ck_assert_msg(section != NULL, "no section '%s'", fields[_i].section);
    const char *table = strstr(section, "\n|");
    snprintf(row, sizeof row, "\n| %zu | %zu | `%s`", fields[_i].offset, fields[_i].size,
             fields[_i].name);
    const char *at = strstr(table, row);
    ck_assert_msg(at != NULL && at < strstr(table, "\n\n"), "%s: not in its table:%s",
                  fields[_i].section, row);
}
END_TEST

/* ---- types, flags, capabilities ---- */

static const struct {
    const char *name;
    unsigned value;
    bool flag; /* in the table of flags, where the name comes first */
} rows[] = {
#define TYPE(name)                \
    {                             \
#name, WIRE_##name, false \
    }
    TYPE(PAD),  TYPE(HELLO),  TYPE(ACCEPT),      TYPE(READY),  TYPE(REQUEST), TYPE(BODY),
    TYPE(DATA), TYPE(FINAL),  TYPE(CANCEL),      TYPE(CREDIT), TYPE(PING),    TYPE(PONG),
#define FLAG(name)                                        \
    {                                                     \
#name, (unsigned)__builtin_ctz(WIRE_##name), true \
    }
    FLAG(LAST), FLAG(STREAM), FLAG(USAGE_EVENT), FLAG(USAGE),  FLAG(MORE),    FLAG(FORMAT),
};

START_TEST(each_type_and_flag_has_its_number)
{
    char row[64];
    if (rows[_i].flag)
        snprintf(row, sizeof row, "\n| %s | %u | ", rows[_i].name, rows[_i].value);
    else
        snprintf(row, sizeof row, "\n| %u | %s | ", rows[_i].value, rows[_i].name);
    ck_assert_msg(strstr(page, row) != NULL, "not on the page:%s", row);
}
END_TEST

START_TEST(each_capability_has_its_bit)
{
    const char *row = strstr(page, "| `capability` |"), *name;
    ck_assert_ptr_nonnull(row);
    for (unsigned bit = 0; (name = capability_name(bit)); bit++) {
        char text[64];
        snprintf(text, sizeof text, "%u %s", 1u << bit,
                 strcmp(name, "infer") == 0 ? "tensors" : name);
        const char *at = strstr(row, text);
        ck_assert_msg(at != NULL && at < strchr(row, '\n'), "'%s' is not among the capabilities",
                      text);
    }
}
END_TEST

/* ---- numbers in sentences ---- */

static const char *const meters[] = {
    [METER_INPUT_UNCACHED] = "input",
    [METER_INPUT_CACHED] = "input from cache",
    [METER_INPUT_CACHE_WRITE] = "input written to cache",
    [METER_OUTPUT_TEXT] = "output",
    [METER_OUTPUT_REASONING] = "reasoning",
    [METER_IMAGES] = "images",
    [METER_CHARACTERS] = "characters",
    [METER_AUDIO_MS] = "ms of audio",
    [METER_COMPUTE_MS] = "ms of compute",
    [METER_TENSOR_ELEMENTS] = "tensor elements",
};

START_TEST(each_meter_has_its_place)
{
    char text[64];
    const char *qty = strstr(page, "\n`qty`:");
    ck_assert_ptr_nonnull(qty);
    for (unsigned m = 1; m < sizeof meters / sizeof *meters; m++) {
        snprintf(text, sizeof text, "%u %s", m, meters[m]);
        const char *at = strstr(qty, text);
        ck_assert_msg(at != NULL && at < strchr(qty + 1, '\n'), "qty: '%s' is not there", text);
    }
}
END_TEST

static void number(const char *before, unsigned value, const char *behind)
{
    char digits[16], text[160];
    int n = value < 1000 ? snprintf(digits, sizeof digits, "%u", value)
                         : snprintf(digits, sizeof digits, "%u,%03u", value / 1000, value % 1000);
    ck_assert_int_gt(n, 0);
    snprintf(text, sizeof text, "%s%s%s", before, digits, behind);
    ck_assert_msg(strstr(page, text) != NULL, "the page does not say: %s", text);
}

START_TEST(the_limits_are_these)
{
    number("Every frame is a head of ", sizeof(struct wire_head), " bytes");
    number("`len` <= `frame_max` (", WIRE_FRAME_MAX, ")");
    number("`credit_bytes` (", WIRE_CREDIT_BYTES, ")");
    number("| 1 | HELLO | worker | ", sizeof(struct wire_hello), " bytes");
    number("| 2 | ACCEPT | gateway | ", sizeof(struct wire_accept), " bytes");
    number("| 4 | REQUEST | gateway | ", sizeof(struct wire_request), " bytes");
    number("| 6 | DATA | worker | ", sizeof(struct wire_data), " bytes");
    number("| 7 | FINAL | worker | ", sizeof(struct wire_final),
           " bytes, then a message of at most 200");
    number("| 9 | CREDIT | gateway | ", sizeof(struct wire_credit), " bytes");
    number("Both have a page of ", RING_SIDE_BYTES, " bytes");
    ck_assert_int_eq(WIRE_SLOTS_MAX, 4096);
    ck_assert_ptr_nonnull(strstr(page, "in this session, 1..4096"));
    number("within ", SESSION_CANCEL_GRACE_MS, " ms it still reaches the bill");
    number("after ", SESSION_SUSPECT_MS / 1000, " seconds gets no new requests");
    number("for ", SESSION_HOPELESS_MS / 1000, " seconds while no request waits");
    ck_assert_int_eq(SESSION_EVENT_BYTES_MAX, 1 << 20);
    ck_assert_ptr_nonnull(strstr(page, "may have 1 MiB in all"));
    ck_assert_int_eq(SESSION_BACKOFF_MIN_MS, 50);
    ck_assert_int_eq(SESSION_BACKOFF_MAX_MS, 2000);
    ck_assert_ptr_nonnull(strstr(page, "connects again after 50 ms to 2 s"));
    ck_assert_ptr_nonnull(strstr(page, "0x5341414d"));
}
END_TEST

Suite *protocol_page_suite(void)
{
    Suite *s = suite_create("protocol_page");
    TCase *t = tcase_create("protocol_page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, each_field_stands_where_the_page_says, 0,
                        sizeof fields / sizeof *fields);
    tcase_add_loop_test(t, each_type_and_flag_has_its_number, 0, sizeof rows / sizeof *rows);
    tcase_add_test(t, each_capability_has_its_bit);
    tcase_add_test(t, each_meter_has_its_place);
    tcase_add_test(t, the_limits_are_these);
    suite_add_tcase(s, t);
    return s;
}
