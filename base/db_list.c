/* base/db_list.c -- see db_list.h. */
#include "base/db_list.h"
#include "base/cleanup.h"

enum status db_list(struct db *db, struct db_stmt *s, db_list_row *row, const void *arg,
                    json_t **ret)
{
    AUTO(json_decref_ptr) json_t *list = json_array();
    enum db_row step;
    bool ok = list;
    while ((step = db_step(s)) == DB_ROW && ok)
        ok = json_array_append_new(list, row(s, arg)) == 0;
    enum status status = step == DB_FAILED ? db_status(db) : ok ? STATUS_OK : STATUS_NO_MEMORY;
    db_reset(s);
    if (!status)
        *ret = TAKE(list);
    return status;
}

json_t *db_list_text(struct db_stmt *s, const void *arg)
{
    (void)arg;
    return json_string(db_col_text(s, 0, NULL));
}
