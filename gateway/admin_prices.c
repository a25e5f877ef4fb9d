/* gateway/admin_prices.c -- see admin_prices.h.
 *
 * A price book comes as the text of its file.  It is read on the main thread, because that knows the
 * models that it is about; what is then made of it runs where the command says.
 */
#include "gateway/admin_prices.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/decimal.h"
#include "billing/pricebook.h"
#include "billing/pricebook_diff.h"
#include "billing/publication.h"
#include "billing/simulate.h"
#include "conf/book.h"
#include "conf/price_lint.h"
#include "gateway/admin_spec.h"
#include <stddef.h>
#include <stdlib.h>

enum { PRICE_BYTES_MAX = 4096 };
enum { TEXT_MAX = 200, REPORT_LINES = 100, REPORT_BYTES_MAX = 1 << 20 };
enum { SIMULATE_DEADLINE_MS = 10 * 60 * 1000 };

enum status admin_read_book(struct admin_job *job, const char *file, const char *text,
                            struct catalog **ret)
{
    char err[CONF_ERROR_BYTES] = "";
    struct catalog *models = job->daemon->conf->catalog;
    enum status s =
        book_read(file ? file : "book", (struct span){ text, strlen(text) }, models, ret, err);
    return s == STATUS_BAD_FIELD ? admin_refuse(job, s, "", "%s", err) : s;
}

/* ---- lint ---------------------------------------------------------------------------------- */

/* The lines of a text. */
static json_t *lines_of(const char *text)
{
    json_t *list = json_array();
    while (list && text && *text) {
        size_t len = strcspn(text, "\n");
        json_array_append_new(list, json_stringn(text, len));
        text += len + (text[len] == '\n');
    }
    return list;
}

static size_t priced_meters(const struct catalog *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->model_count; i++)
        count += (size_t)__builtin_popcount(c->models[i].priced);
    return count;
}

enum status run_price_lint(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    char sha256[DIGEST_HEX_BYTES];
    AUTO(buf_free) struct buf report;
    buf_init(&report, REPORT_BYTES_MAX);
    enum status s = admin_read_book(job, job->args.file, job->args.book, &job->books[0]);
    const struct catalog *c = job->books[0];
    if (!s && !prices_report(c, REPORT_LINES, &report))
        s = STATUS_NO_MEMORY;
    return s ? s
             : admin_answered(job, json_pack("{s:s, s:I, s:I, s:s, s:o}", "price_book",
                                             c->price_book, "models", (json_int_t)c->model_count,
                                             "prices", (json_int_t)priced_meters(c), "sha256",
                                             digest_hex(c->price_sha256, DIGEST_BYTES, sha256),
                                             "report", lines_of(report.at)));
}

/* ---- diff ---------------------------------------------------------------------------------- */

/* What only the main thread has: a file, read, or the book in force. */
static enum status have_book(struct admin_job *job, unsigned at, const char *name, const char *text)
{
    if (text)
        return admin_read_book(job, name, text, &job->books[at]);
    if (strcmp(name, "current") == 0)
        job->books[at] = catalog_ref((struct catalog *)(uintptr_t)daemon_catalog(job->daemon));
    return STATUS_OK;
}

/* "7" is a version, "draft-3" what somebody proposed; false: neither. */
static bool stored_name(const char *name, bool *ret_draft, int64_t *ret_id)
{
    char *end;
    *ret_draft = strncmp(name, "draft-", 6) == 0;
    const char *digits = name + (*ret_draft ? 6 : 0);
    *ret_id = strtoll(digits, &end, 10);
    return *digits >= '1' && *digits <= '9' && *end == '\0' && *ret_id < INT64_MAX;
}

/* The canonical text of a book that have_book has, or the store; free() it. */
static enum status text_of(struct admin_job *job, struct db *db, unsigned at, const char *name,
                           char **ret)
{
    bool draft;
    int64_t id;
    if (job->books[at]) {
        *ret = strdup(job->books[at]->price_text);
        return *ret ? STATUS_OK : STATUS_NO_MEMORY;
    }
    enum status s =
        stored_name(name, &draft, &id) ? publication_text(db, draft, id, ret) : STATUS_NOT_FOUND;
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "",
                            "there is no price book '%s': expected current, the number of a "
                            "version, draft-N or a file",
                            name);
    return s;
}

enum status prepare_price_diff(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    enum status s = have_book(job, 0, a->a, a->a_book);
    return s ? s : have_book(job, 1, a->b, a->b_book);
}

enum status run_price_diff(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    AUTO(free_ptr) char *from = NULL;
    AUTO(free_ptr) char *to = NULL;
    json_t *rows = NULL;
    enum status s = text_of(job, db, 0, a->a, &from);
    if (!s)
        s = text_of(job, db, 1, a->b, &to);
    if (!s)
        s = pricebook_diff(from, to, &rows);
    return s ? s
             : admin_answered(
                   job, json_pack("{s:s, s:s, s:o}", "before", a->a, "after", a->b, "data", rows));
}

/* ---- show ---------------------------------------------------------------------------------- */

enum status prepare_price_show(struct admin_job *job)
{
    return have_book(job, 0, job->args.version, NULL);
}

static json_t *price_rows(const char *text)
{
    struct pricebook_line line = { .number = 0 };
    json_t *rows = json_array();
    bool bad = false;
    while (rows && pricebook_next(&text, &line, &bad)) {
        AUTO(buf_free) struct buf price;
        buf_init(&price, PRICE_BYTES_MAX);
        if (!decimal_item(&price, &line.item))
            break;
        json_array_append_new(rows,
                              json_pack("{s:s%, s:s, s:s}", "model", line.model.at, line.model.len,
                                        "meter", meter_name(line.item.meter), "price", price.at));
    }
    return rows;
}

enum status run_price_show(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    uint8_t sha256[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    AUTO(free_ptr) char *text = NULL;
    enum status s = text_of(job, db, 0, job->args.version, &text);
    if (s)
        return s;
    digest_sha256(text, strlen(text), sha256);
    return admin_answered(job, json_pack("{s:s, s:s, s:s, s:o}", "shown", job->args.version,
                                         "sha256", digest_hex(sha256, sizeof sha256, hex), "text",
                                         text, "data", price_rows(text)));
}

/* ---- simulate ------------------------------------------------------------------------------ */

enum status prepare_simulate(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    if (!report_month(a->month, &job->from_us, &job->to_us))
        return admin_refuse(job, STATUS_BAD_FIELD, "month", "'%s' is not a month such as 2026-11",
                            a->month);
    return admin_read_book(job, a->file, a->book, &job->books[0]);
}

enum status run_price_simulate(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    db_deadline(db, SIMULATE_DEADLINE_MS); /* it reads every settlement of the month */
    enum status s = simulate_month(db, job->books[0], a->month, a->organization, &job->result);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "organization", "there is no organization '%s'",
                            a->organization);
    if (s == STATUS_CONFLICT)
        return admin_refuse(job, s, "month", "the requests of %s are in an archive", a->month);
    return s;
}

/* ---- arguments ----------------------------------------------------------------------------- */

const struct json_spec admin_lint_args[] = { TEXT(book, true, BOOK_BYTES_MAX),
                                             TEXT(file, false, TEXT_MAX), END };
const struct json_spec admin_diff_args[] = {
    TEXT(a, true, TEXT_MAX),
    TEXT(b, true, TEXT_MAX),
    TEXT(a_book, false, BOOK_BYTES_MAX),
    TEXT(b_book, false, BOOK_BYTES_MAX),
    END,
};
const struct json_spec admin_price_show_args[] = { TEXT(version, true, TEXT_MAX), END };
const struct json_spec admin_simulate_args[] = {
    TEXT(book, true, BOOK_BYTES_MAX),
    TEXT(month, true, TEXT_MAX),
    TEXT(file, false, TEXT_MAX),
    TEXT(organization, false, TEXT_MAX),
    END,
};
