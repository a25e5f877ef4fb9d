/* gateway/admin_prices.c -- see admin_prices.h.
 *
 * A price book comes as the text of its file.  It is read on the main thread, because that knows the
 * models that it is about; what is then made of it runs where the command says.
 */
#include "gateway/admin_prices.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/organization.h"
#include "billing/decimal.h"
#include "billing/pricebook.h"
#include "billing/pricebook_diff.h"
#include "billing/pricebook_layer.h"
#include "billing/publication.h"
#include "billing/simulate.h"
#include "conf/book.h"
#include "conf/price_lint.h"
#include "gateway/admin_money.h"
#include "gateway/admin_spec.h"
#include "gateway/pricing.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRICE_BYTES_MAX = 4096, BOOK_NAME_BYTES = 80 };
enum { TEXT_MAX = 200, REPORT_LINES = 100, REPORT_BYTES_MAX = 1 << 20 };
enum { SIMULATE_DEADLINE_MS = 10 * 60 * 1000 };

void admin_take_list(struct admin_job *job, int64_t us)
{
    catalog_unref(job->list);
    job->list = catalog_ref((struct catalog *)(uintptr_t)daemon_list_at(job->daemon, us));
}

static void take_list_of_now(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    admin_take_list(job, env->wall_us(env->arg));
}

enum status admin_read_book(struct admin_job *job, const char *file, const char *text,
                            struct catalog **ret)
{
    char err[CONF_ERROR_BYTES] = "";
    struct catalog *models = job->daemon->conf->catalog;
    const char *name = file ? file : "book";
    struct span book = { text, strlen(text) };
    enum status s = job->args.owner ? book_read_own(name, book, job->list, ret, err)
                                    : book_read(name, book, models, ret, err);
    return s == STATUS_BAD_FIELD ? admin_refuse(job, s, "", "%s", err) : s;
}

enum status admin_layer(struct admin_job *job, const struct catalog *own, struct catalog **ret)
{
    const struct own_book book = { own->price_book, own->price_text, own->price_sha256 };
    enum status s = pricing_layered(job->list, &book, ret);
    return s == STATUS_CONFLICT
               ? admin_refuse(job, s, "",
                              "on the list, a request could have more than %d lines on its bill",
                              PRICE_LINES_MAX)
               : s;
}

enum status admin_find_owner(struct admin_job *job, struct db *db, struct book_owner *ret)
{
    const char *slug = job->args.owner;
    bool resold = false;
    *ret = (struct book_owner){ BOOK_LIST, 0 };
    if (!slug && job->args.resale)
        return admin_refuse(job, STATUS_MISSING_FIELD, "owner", "whose customers? --for RESELLER");
    if (!slug)
        return STATUS_OK;
    ret->kind = job->args.resale ? BOOK_RESALE : BOOK_CONTRACT;
    enum status s = admin_find_organization(job, db, slug, &ret->organization);
    if (!s)
        s = organization_is_customer(db, ret->organization, &resold);
    if (!s && resold)
        return admin_refuse(job, STATUS_BAD_FIELD, "owner",
                            "'%s' buys from a reseller: its prices are in that one's book "
                            "(--for RESELLER --resale)",
                            slug);
    return s;
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

static void count_prices(const struct catalog *c, json_int_t *ret_models, json_int_t *ret_prices)
{
    *ret_models = *ret_prices = 0;
    for (size_t i = 0; i < c->model_count; i++) {
        *ret_models += c->models[i].priced != 0;
        *ret_prices += __builtin_popcount(c->models[i].priced);
    }
}

/* Of an organization's book, the whole of what it would pay. */
static enum status read_to_rate(struct admin_job *job)
{
    take_list_of_now(job);
    enum status s = admin_read_book(job, job->args.file, job->args.book, &job->books[0]);
    if (!s && job->args.owner)
        s = admin_layer(job, job->books[0], &job->books[1]);
    return s;
}

static const struct catalog *to_rate(const struct admin_job *job)
{
    return job->books[1] ? job->books[1] : job->books[0];
}

enum status prepare_price_lint(struct admin_job *job)
{
    return read_to_rate(job);
}

enum status run_price_lint(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    char sha256[DIGEST_HEX_BYTES];
    struct book_owner owner;
    json_int_t models, prices;
    const struct catalog *c = job->books[0];
    AUTO(buf_free) struct buf report;
    buf_init(&report, REPORT_BYTES_MAX);
    enum status s = admin_find_owner(job, db, &owner);
    if (!s && !prices_report(to_rate(job), REPORT_LINES, &report))
        s = STATUS_NO_MEMORY;
    if (s)
        return s;
    count_prices(c, &models, &prices);
    return admin_answered(job, json_pack("{s:s, s:I, s:I, s:s, s:o}", "price_book", c->price_book,
                                         "models", models, "prices", prices, "sha256",
                                         digest_hex(c->price_sha256, DIGEST_BYTES, sha256),
                                         "report", lines_of(report.at)));
}

/* ---- diff ---------------------------------------------------------------------------------- */

/* What only the main thread has: a file, read, or the list in force.  Of an organization `current` is
 * what it pays: in the store. */
static enum status have_book(struct admin_job *job, unsigned at, const char *name, const char *text)
{
    if (text)
        return admin_read_book(job, name, text, &job->books[at]);
    if (strcmp(name, "list") == 0 || (strcmp(name, "current") == 0 && !job->args.owner))
        job->books[at] = catalog_ref(job->list);
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

/* "currency USD book NAME\n...": the name, in `ret`. */
static const char *name_in(const char *text, char ret[static BOOK_NAME_BYTES])
{
    const char *at = strstr(text, " book ");
    snprintf(ret, BOOK_NAME_BYTES, "%.*s", at ? (int)strcspn(at + 6, "\n") : 0, at ? at + 6 : "");
    return ret;
}

/* An organization's own text on the list; takes it. */
static enum status put_on_list(struct admin_job *job, char *own, char **ret)
{
    AUTO(buf_free) struct buf b;
    AUTO(free_ptr) char *text = own;
    uint8_t sha256[DIGEST_BYTES];
    char name[BOOK_NAME_BYTES];
    const struct layer_of below = { job->list->price_text, job->list->price_sha256 },
                          above = { text, sha256 };
    buf_init(&b, LAYER_BYTES_MAX);
    digest_sha256(text, strlen(text), sha256);
    enum status s = pricebook_layer(job->list->currency, name_in(text, name), &below, &above, &b);
    if (!s)
        *ret = buf_take(&b, NULL);
    return s;
}

/* What the organization of the arguments pays now. */
static enum status current_text(struct admin_job *job, struct db *db, int64_t now_us, char **ret)
{
    struct book_owner owner;
    struct publication_terms t = { .own = NULL };
    enum status s = admin_find_owner(job, db, &owner);
    if (!s)
        s = publication_own_books(db, owner, now_us, &t);
    char *own = !s && t.own_count ? strdup(t.own[0].terms.term[0].text) : NULL;
    if (!s && !t.own_count)
        *ret = strdup(job->list->price_text);
    else if (!s)
        s = own ? put_on_list(job, own, ret) : STATUS_NO_MEMORY;
    publication_terms_free(&t);
    return s ? s : *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status stored_text(struct admin_job *job, struct db *db, const char *name, char **ret,
                               bool *ret_own)
{
    bool draft;
    int64_t id;
    enum status s = stored_name(name, &draft, &id) ? publication_text(db, draft, id, ret, ret_own)
                                                   : STATUS_NOT_FOUND;
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "",
                            "there is no price book '%s': expected current, list, the number of a "
                            "version, draft-N or a file",
                            name);
    return s;
}

/* The canonical text of a book that have_book has, or the store; free() it.  `whole`: of an
 * organization's own book all that it would pay, else what the book itself says. */
static enum status text_of(struct admin_job *job, struct db *db, int64_t now_us, unsigned at,
                           const char *name, bool whole, char **ret)
{
    const struct catalog *c = job->books[at];
    bool own = job->args.owner && c && c != job->list;
    if (!c && strcmp(name, "current") == 0)
        return current_text(job, db, now_us, ret);
    enum status s = STATUS_OK;
    if (c)
        s = (*ret = strdup(c->price_text)) ? STATUS_OK : STATUS_NO_MEMORY;
    else
        s = stored_text(job, db, name, ret, &own);
    return s || !own || !whole ? s : put_on_list(job, *ret, ret);
}

enum status prepare_price_diff(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    take_list_of_now(job);
    enum status s = have_book(job, 0, a->a, a->a_book);
    return s ? s : have_book(job, 1, a->b, a->b_book);
}

enum status run_price_diff(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    AUTO(free_ptr) char *from = NULL;
    AUTO(free_ptr) char *to = NULL;
    struct book_owner owner;
    json_t *rows = NULL;
    enum status s = admin_find_owner(job, db, &owner);
    if (!s)
        s = text_of(job, db, now_us, 0, a->a, true, &from);
    if (!s)
        s = text_of(job, db, now_us, 1, a->b, true, &to);
    if (!s)
        s = pricebook_diff(from, to, &rows);
    return s ? s
             : admin_answered(
                   job, json_pack("{s:s, s:s, s:o}", "before", a->a, "after", a->b, "data", rows));
}

/* ---- show ---------------------------------------------------------------------------------- */

enum status prepare_price_show(struct admin_job *job)
{
    take_list_of_now(job);
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
    uint8_t sha256[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    AUTO(free_ptr) char *text = NULL;
    enum status s = text_of(job, db, now_us, 0, job->args.version, false, &text);
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
    if (a->owner && a->organization)
        return admin_refuse(job, STATUS_BAD_FIELD, "organization",
                            "the book of one organization is for its own requests alone");
    return read_to_rate(job);
}

static void free_books(struct simulate_books *b)
{
    for (size_t i = 0; i < b->own_count; i++)
        catalog_unref((struct catalog *)(uintptr_t)b->own[i].book);
    free(b->own);
}

/* A list is rated with the books that organizations have now on it: that is what they would pay. */
static enum status add_own_books(struct db *db, int64_t now_us, struct catalog *list,
                                 struct simulate_books *b)
{
    struct publication_terms t = { .own = NULL };
    enum status s = publication_own_books(db, (struct book_owner){ BOOK_CONTRACT, 0 }, now_us, &t);
    if (!s && t.own_count && !(b->own = calloc(t.own_count, sizeof *b->own)))
        s = STATUS_NO_MEMORY;
    for (size_t i = 0; i < t.own_count && !s; i++) {
        const struct publication_term *term = &t.own[i].terms.term[0];
        const struct own_book own = { term->book, term->text, term->sha256 };
        struct catalog *c = NULL;
        s = pricing_layered(list, &own, &c);
        if (!s)
            b->own[b->own_count++] = (struct simulate_own){ t.own[i].owner.organization, c };
    }
    publication_terms_free(&t);
    return s;
}

enum status run_price_simulate(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    const char *organization = a->owner ? a->owner : a->organization;
    AUTO(free_books) struct simulate_books books = { .book = to_rate(job) };
    db_deadline(db, SIMULATE_DEADLINE_MS); /* it reads every settlement of the month */
    enum status s = a->owner ? STATUS_OK : add_own_books(db, now_us, job->books[0], &books);
    if (!s)
        s = simulate_month(db, &books, a->month, organization, &job->result);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "organization", "there is no organization '%s'", organization);
    if (s == STATUS_CONFLICT)
        return admin_refuse(job, s, "month", "the requests of %s are in an archive", a->month);
    return s;
}

/* ---- arguments ----------------------------------------------------------------------------- */

const struct json_spec admin_lint_args[] = { TEXT(book, true, BOOK_BYTES_MAX),
                                             TEXT(file, false, TEXT_MAX),
                                             TEXT(owner, false, TEXT_MAX), END };
const struct json_spec admin_diff_args[] = {
    TEXT(a, true, TEXT_MAX),
    TEXT(b, true, TEXT_MAX),
    TEXT(a_book, false, BOOK_BYTES_MAX),
    TEXT(b_book, false, BOOK_BYTES_MAX),
    TEXT(owner, false, TEXT_MAX),
    FLAG(resale),
    END,
};
const struct json_spec admin_price_show_args[] = { TEXT(version, true, TEXT_MAX),
                                                   TEXT(owner, false, TEXT_MAX), FLAG(resale),
                                                   END };
const struct json_spec admin_simulate_args[] = {
    TEXT(book, true, BOOK_BYTES_MAX),    TEXT(month, true, TEXT_MAX),  TEXT(file, false, TEXT_MAX),
    TEXT(organization, false, TEXT_MAX), TEXT(owner, false, TEXT_MAX), END,
};
