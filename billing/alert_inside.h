/* billing/alert_inside.h -- an alert as a row with its names, for alert_due.c and alert_list.c. */
#ifndef MAAS_ALERT_INSIDE_H
#define MAAS_ALERT_INSIDE_H
#include "billing/alert_due.h"

struct db_stmt;

#define ALERT_SELECT                                                                           \
    "SELECT a.id, a.type, o.slug, p.slug, a.threshold, a.limit_atoms, a.spent_atoms, a.at_us," \
    " CASE WHEN a.type NOT LIKE 'prepaid.%' AND a.round > 0 THEN a.round END"                  \
    " FROM alert a JOIN organization o ON o.id = a.organization"                               \
    " LEFT JOIN project p ON p.id = a.owner AND a.type LIKE 'budget.%'"

/* clang-format off */
enum {
    ALERT_ROW, ALERT_TYPE, ALERT_ORGANIZATION, ALERT_PROJECT, ALERT_THRESHOLD, ALERT_LIMIT,
    ALERT_SPENT, ALERT_AT, ALERT_PERIOD_START,
};
/* clang-format on */

char *alert_id_text(int64_t at_us, int64_t alert, char text[static ALERT_ID_BYTES]);
json_t *alert_percent_json(struct db_stmt *s);
#endif
