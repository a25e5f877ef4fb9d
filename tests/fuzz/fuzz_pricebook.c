/* tests/fuzz/fuzz_pricebook.c -- whatever stands in a price book: a line is refused or is written
 * again as the same one; and what a bill comes to is never more than its hold. */
#include "base/arena.h"
#include "base/buf.h"
#include "billing/price.h"
#include "billing/pricebook.h"
#include "conf/price_lint.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 64 << 20, TEXT_BYTES_MAX = 1 << 16 };

static bool same_item(const struct price_item *a, const struct price_item *b)
{
    struct buf x, y;
    buf_init(&x, TEXT_BYTES_MAX);
    buf_init(&y, TEXT_BYTES_MAX);
    bool written = price_item_write(&x, a) && price_item_write(&y, b);
    bool same = written && strcmp(x.at, y.at) == 0;
    buf_free(&x);
    buf_free(&y);
    return same;
}

static void check_again(const struct pricebook_line *line)
{
    struct buf b;
    buf_init(&b, TEXT_BYTES_MAX);
    bool fits = buf_printf(&b, "m %s ", meter_name(line->item.meter)) &&
                price_item_write(&b, &line->item) && buf_text(&b, "\n");
    assert(fits);
    const char *at = b.at;
    struct pricebook_line again = { .number = 0 };
    bool bad, read = pricebook_next(&at, &again, &bad);
    assert(read && same_item(&line->item, &again.item));
    buf_free(&b);
}

static void check_meter(const struct price_sheet *s, unsigned m)
{
    const struct price_item *items[PRICE_ITEMS_MAX];
    unsigned count = 0;
    for (unsigned at = s->first[m]; at < s->first[m + 1] && count < PRICE_ITEMS_MAX; at++)
        items[count++] = &s->items[at];
    struct price_flaw flaw = { .item = 0 };
    bool good = count == 0 || price_items_check(items, count, 1 << 20, &flaw);
    assert(good || (flaw.text[0] && (flaw.item < count || flaw.item == PRICE_FLAW_ALL)));
}

/* Small quantities, so that large prices are within range, too. */
static void check_bill(const struct price_sheet *s, uint8_t seed)
{
    struct usage u = { .present = 0 };
    struct price_facts facts = { .accepted_us = (int64_t)seed * 3600000000, .dim = { { "", 0 } } };
    struct price_list list = { .sheet = s, .facts = &facts };
    for (unsigned m = 0; m < METER_COUNT; m++) {
        if (s->first[m] < s->first[m + 1])
            list.priced |= UINT32_C(1) << m;
        if (m != METER_REQUESTS)
            usage_set(&u, (enum meter)m, (seed * (m + 7u)) % 1009);
    }
    usage_set(&u, METER_REQUESTS, 1);
    const struct price_bound bound = { usage_sum(&u, METERS_TOKENS_IN),
                                       usage_sum(&u, METERS_TOKENS_OUT),
                                       u.qty[METER_IMAGES],
                                       u.qty[METER_TENSOR_ELEMENTS],
                                       u.qty[METER_COMPUTE_MS],
                                       u.qty[METER_CHARACTERS],
                                       u.qty[METER_AUDIO_MS],
                                       u.qty[METER_VIDEO_MS] };
    money_t hold;
    struct price_bill bill;
    if (price_upper_bound(&list, &bound, &hold) != STATUS_OK)
        return;
    enum status status = price_rate(&list, &u, &bound, &bill);
    assert(status == STATUS_OK && !bill.clamped && bill.amount.atoms <= hold.atoms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > TEXT_BYTES_MAX / 4)
        return 0;
    char *text = malloc(size);
    struct arena *a = arena_new(ARENA_BYTES);
    assert(text && a);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct pricebook_line line = { .number = 0 };
    const char *at = text;
    bool bad;
    while (pricebook_next(&at, &line, &bad))
        check_again(&line);
    const struct price_sheet *s;
    if (pricebook_sheet(text, "m", a, &s) == STATUS_OK) {
        for (unsigned m = 0; m < METER_COUNT; m++)
            check_meter(s, m);
        check_bill(s, data[0]);
    }
    arena_free(a);
    free(text);
    return 0;
}
