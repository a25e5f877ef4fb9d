/* gateway/admin_prices.c -- see admin_prices.h.
 *
 * A price book comes as the text of its file.  It is read on the main thread, because that knows the
 * models that it is about; what is then made of it runs where the command says.
 */
#include "gateway/admin_prices.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/pricebook_diff.h"
#include "billing/simulate.h"
#include "conf/book.h"
#include "conf/price_lint.h"
#include <stddef.h>

enum { TEXT_MAX = 200, REPORT_LINES = 100, REPORT_BYTES_MAX = 1 << 20 };
enum { SIMULATE_DEADLINE_MS = 10 * 60 * 1000 };

static enum status read_book(struct admin_job *job, const char *file, const char *text,
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
    enum status s = read_book(job, job->args.file, job->args.book, &job->books[0]);
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

/* A file's text, or the book in force. */
static enum status find_book(struct admin_job *job, unsigned at, const char *name, const char *text,
                             const struct catalog **ret)
{
    enum status s = STATUS_OK;
    if (text)
        s = read_book(job, name, text, &job->books[at]);
    else if (strcmp(name, "current") != 0)
        return admin_refuse(job, STATUS_NOT_FOUND, at ? "b" : "a",
                            "'%s' is neither 'current' nor a file", name);
    *ret = text ? job->books[at] : job->daemon->conf->catalog;
    return s;
}

enum status run_price_diff(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    const struct admin_args *a = &job->args;
    const struct catalog *from = NULL, *to = NULL;
    json_t *rows = NULL;
    enum status s = find_book(job, 0, a->a, a->a_book, &from);
    if (!s)
        s = find_book(job, 1, a->b, a->b_book, &to);
    if (!s)
        s = pricebook_diff(from->price_text, to->price_text, &rows);
    return s ? s
             : admin_answered(job, json_pack("{s:s, s:s, s:o}", "before", from->price_book, "after",
                                             to->price_book, "data", rows));
}

/* ---- simulate ------------------------------------------------------------------------------ */

enum status prepare_simulate(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    if (!report_month(a->month, &job->from_us, &job->to_us))
        return admin_refuse(job, STATUS_BAD_FIELD, "month", "'%s' is not a month such as 2026-11",
                            a->month);
    return read_book(job, a->file, a->book, &job->books[0]);
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

#define TEXT(field, required, most)                                              \
    {                                                                            \
#field, WANT_TEXT, required, offsetof(struct admin_args, field), 1, most \
    }
#define END \
    {       \
        0   \
    }

const struct json_spec admin_lint_args[] = { TEXT(book, true, BOOK_BYTES_MAX),
                                             TEXT(file, false, TEXT_MAX), END };
const struct json_spec admin_diff_args[] = {
    TEXT(a, true, TEXT_MAX),
    TEXT(b, true, TEXT_MAX),
    TEXT(a_book, false, BOOK_BYTES_MAX),
    TEXT(b_book, false, BOOK_BYTES_MAX),
    END,
};
const struct json_spec admin_simulate_args[] = {
    TEXT(book, true, BOOK_BYTES_MAX),
    TEXT(month, true, TEXT_MAX),
    TEXT(file, false, TEXT_MAX),
    TEXT(organization, false, TEXT_MAX),
    END,
};
