/* billing/bill.h -- what stands on a settled request: the lines of its bill, and what each call to a
 * backend cost. */
#ifndef MAAS_BILL_H
#define MAAS_BILL_H
#include "base/money.h"
#include "base/usage.h"
#include "billing/names.h"
#include "conf/price_item.h"

struct bill_line {
    enum meter meter;
    uint16_t item; /* which price of the meter (conf/price_item.h); 0 of a plain one */
    uint64_t qty;
    money_t amount;
    int64_t before; /* units that the period had used of that item; 0 of a kind without periods */
};
/* {"context":19 digits,"size":"..","quality":"..","service_tier":".."} */
enum {
    BILL_LINES_MAX = PRICE_LINES_MAX,
    FACTS_TEXT_BYTES = 96 + PRICE_DIMS * PRICE_WORD_BYTES_MAX
};

struct ledger_attempt {              /* a call to a backend of which a cost is known */
    int64_t backend, model, version; /* row ids; model: of "@BACKEND/NAME" */
    enum evidence basis;
    money_t cost, wasted; /* wasted: of the cost, for what no customer pays */
    struct bill_line lines[BILL_LINES_MAX];
    unsigned line_count;
    const char *facts; /* as in ledger_settle */
};

struct resale_hold { /* of a reseller's customer, beside the reseller's hold (resale.h) */
    int64_t project, price_version;
    money_t hold;
};
#endif
