/* billing/payout.c -- see payout.h. */
#include "billing/payout.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/money.h"
#include "billing/decimal.h"
#include "billing/document_inside.h"
#include "billing/organization.h"
#include "billing/period.h"
#include "billing/posting.h"
#include "billing/report.h"
#include "billing/share.h"
#include <string.h>

enum { PARTNERS_MAX = 16 };

/* The newest rule of each partner for a model, the more exact pattern first. */
static const char sql_rules[] =
    "SELECT r.partner, r.basis_points FROM share_rule r WHERE r.from_us <= ?2"
    " AND (r.model = ?1 OR (r.model LIKE '%/' AND substr(?1, 1, length(r.model)) = r.model))"
    " AND NOT EXISTS (SELECT 1 FROM share_rule n WHERE n.partner = r.partner AND n.from_us <= ?2"
    "  AND (n.model = ?1 OR (n.model LIKE '%/' AND substr(?1, 1, length(n.model)) = n.model))"
    "  AND (length(n.model), n.from_us, n.id) > (length(r.model), r.from_us, r.id))"
    " AND r.basis_points > 0 ORDER BY r.partner";
static const char sql_add_rule[] =
    "INSERT INTO share_rule (model, partner, basis_points, from_us) VALUES (?1,?2,?3,?4)";
static const char sql_list_rules[] =
    "SELECT r.model, o.slug, r.basis_points, r.from_us FROM share_rule r JOIN organization o"
    " ON o.id = r.partner WHERE r.from_us <= ?1 AND r.basis_points > 0 AND NOT EXISTS"
    " (SELECT 1 FROM share_rule n WHERE n.model = r.model AND n.partner = r.partner"
    "  AND n.from_us <= ?1 AND (n.from_us, n.id) > (r.from_us, r.id)) ORDER BY 1, 2";
static const char sql_add_share[] = "INSERT INTO share VALUES (?1,?2,?3,?4,?5,?6)";
static const char sql_held[] =
    "SELECT s.partner, s.basis_points, s.net_minor, s.amount_minor + coalesce((SELECT"
    "  sum(b.amount_minor) FROM share b JOIN document d ON d.number = b.document WHERE"
    "  d.refers_to = ?1 AND b.line = ?2 AND b.partner = s.partner), 0)"
    " FROM share s WHERE s.document = ?1 AND s.line = ?2 ORDER BY s.partner";
static const char sql_lines[] =
    "SELECT s.document, s.line, s.net_minor, s.basis_points, s.amount_minor, json_extract(i.body,"
    "  '$.lines[' || (s.line - 1) || '].model') FROM share s JOIN document d ON d.number = s.document"
    " JOIN document i ON i.number = coalesce(d.refers_to, d.number)"
    " WHERE s.partner = ?1 AND d.issued_us >= ?2 AND d.issued_us < ?3 ORDER BY d.issued_us, 1, 2";
static const char sql_open[] = "SELECT -posted_atoms FROM account_balance WHERE account = ?1";

struct party {
    int64_t partner, basis_points, net_minor, held;
};

/* ---- rules --------------------------------------------------------------------------------- */

static enum status read_parties(struct db *db, struct db_stmt *s, int columns,
                                struct party parties[static PARTNERS_MAX], unsigned *ret_count)
{
    enum db_row row = DB_DONE;
    *ret_count = 0;
    while (*ret_count < PARTNERS_MAX && (row = db_step(s)) == DB_ROW) {
        struct party *p = &parties[(*ret_count)++];
        *p = (struct party){ db_col_int(s, 0), db_col_int(s, 1), columns > 2 ? db_col_int(s, 2) : 0,
                             columns > 2 ? db_col_int(s, 3) : 0 };
    }
    enum status status = row == DB_FAILED ? db_status(db)
                         : row == DB_ROW  ? STATUS_BAD_FIELD
                                          : STATUS_OK;
    db_reset(s);
    return status;
}

static enum status rules_of(struct db *db, const char *model, int64_t now_us,
                            struct party parties[static PARTNERS_MAX], unsigned *ret_count)
{
    struct db_stmt *s = db_prepare(db, sql_rules);
    if (!s)
        return db_status(db);
    db_text(s, 1, model, -1);
    db_int(s, 2, now_us);
    return read_parties(db, s, 2, parties, ret_count);
}

static int64_t given_away(const struct party *parties, unsigned count)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += parties[i].basis_points;
    return sum;
}

enum status payout_rule(struct db *db, const char *model, const char *partner, int64_t basis_points,
                        int64_t now_us)
{
    int64_t id;
    struct party parties[PARTNERS_MAX];
    unsigned count;
    enum status s = organization_find(db, partner, &id);
    struct db_stmt *add = s ? NULL : db_prepare(db, sql_add_rule);
    if (!add)
        return s ? s : db_status(db);
    db_text(add, 1, model, -1);
    db_int(add, 2, id);
    db_int(add, 3, basis_points);
    db_int(add, 4, now_us);
    s = db_run(add);
    if (!s)
        s = rules_of(db, model, now_us, parties, &count);
    if (!s && given_away(parties, count) > SHARE_WHOLE_BASIS_POINTS)
        s = STATUS_BAD_FIELD;
    return s;
}

static json_t *listed_rule(struct db_stmt *s, const void *arg)
{
    (void)arg;
    char from[PERIOD_TEXT_BYTES];
    return json_pack("{s:s, s:s, s:I, s:s}", "model", db_col_text(s, 0, NULL), "partner",
                     db_col_text(s, 1, NULL), "basis_points", (json_int_t)db_col_int(s, 2), "from",
                     period_instant_text(db_col_int(s, 3), from));
}

enum status payout_rules(struct db *db, int64_t now_us, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_list_rules);
    db_int(s, 1, now_us);
    return db_list(db, s, listed_rule, NULL, ret);
}

/* ---- giving and taking back ---------------------------------------------------------------- */

static enum status write_share(struct db *db, const char *document, int64_t line,
                               const struct party *p, int64_t net_minor, int64_t minor, int digits,
                               int64_t now_us)
{
    if (minor == 0)
        return STATUS_OK;
    struct db_stmt *s = db_prepare(db, sql_add_share);
    if (!s)
        return db_status(db);
    db_text(s, 1, document, -1);
    db_int(s, 2, line);
    db_int(s, 3, p->partner);
    db_int(s, 4, p->basis_points);
    db_int(s, 5, net_minor);
    db_int(s, 6, minor);
    const struct transfer owed = { .kind = "share",
                                   .ref = document,
                                   .organization = p->partner,
                                   .debit = ACCOUNT_PARTNER_SHARE,
                                   .credit = ACCOUNT_PARTNER_PAYABLE,
                                   .atoms = minor * money_minor_atoms(digits) };
    enum status status = db_run(s);
    return status ? status : posting_transfer(db, &owed, now_us);
}

struct sharing {
    struct db *db;
    const char *number;
    int digits;
    int64_t now_us;
};

static bool read_net(const struct sharing *w, const json_t *line, int64_t *ret)
{
    const char *net = json_string_value(json_object_get(line, "net"));
    return net && decimal_parse_minor(net, w->digits, ret);
}

static enum status share_line(const struct sharing *w, const json_t *line)
{
    const char *model = json_string_value(json_object_get(line, "model"));
    struct party parties[PARTNERS_MAX];
    int64_t points[PARTNERS_MAX + 1], part[PARTNERS_MAX + 1], net = 0;
    unsigned count;
    if (!model || document_is_reversed(line))
        return STATUS_OK; /* a charge is nobody's model */
    enum status s = rules_of(w->db, model, w->now_us, parties, &count);
    if (s || !count)
        return s;
    if (!read_net(w, line, &net))
        return STATUS_INTERNAL;
    for (unsigned i = 0; i < count; i++)
        points[i] = parties[i].basis_points;
    points[count] = SHARE_WHOLE_BASIS_POINTS - given_away(parties, count); /* the house's */
    s = share_split(net, points, count + 1, part);
    for (unsigned i = 0; i < count && !s; i++)
        s = write_share(w->db, w->number, json_integer_value(json_object_get(line, "line")),
                        &parties[i], net, part[i], w->digits, w->now_us);
    return s;
}

/* What all parties still hold of the line, the house last: it holds what is not a partner's. */
static enum status return_line(const struct sharing *w, const char *invoice, const json_t *line)
{
    int64_t number = json_integer_value(json_object_get(line, "invoice_line")), credit = 0;
    struct party parties[PARTNERS_MAX];
    int64_t held[PARTNERS_MAX + 1], part[PARTNERS_MAX + 1], before = 0, others = 0;
    unsigned count;
    struct db_stmt *find = db_prepare(w->db, sql_held);
    if (!find)
        return db_status(w->db);
    db_text(find, 1, invoice, -1);
    db_int(find, 2, number);
    enum status s = read_parties(w->db, find, 4, parties, &count);
    if (s || !count)
        return s;
    if (!read_net(w, line, &credit))
        return STATUS_INTERNAL;
    s = document_credited(w->db, invoice, number, &before);
    before -= credit; /* this note is among them */
    for (unsigned i = 0; i < count; i++)
        others += held[i] = parties[i].held;
    held[count] = parties[0].net_minor - before - others;
    if (!s)
        s = share_return(credit, held, count + 1, part);
    for (unsigned i = 0; i < count && !s; i++)
        s = write_share(w->db, w->number, number, &parties[i], credit, -part[i], w->digits,
                        w->now_us);
    return s;
}

static enum status each_line(struct db *db, const json_t *document, int64_t now_us)
{
    const struct sharing w = {
        .db = db,
        .number = json_string_value(json_object_get(document, "number")),
        .digits = (int)json_integer_value(json_object_get(document, "minor_digits")),
        .now_us = now_us,
    };
    const char *invoice = json_string_value(json_object_get(document, "refers_to"));
    size_t i;
    json_t *line;
    json_array_foreach (json_object_get(document, "lines"), i, line) {
        enum status s = invoice ? return_line(&w, invoice, line) : share_line(&w, line);
        if (s)
            return s;
    }
    return STATUS_OK;
}

enum status payout_share(struct db *db, const json_t *invoice, int64_t now_us)
{
    return each_line(db, invoice, now_us);
}

enum status payout_return(struct db *db, const json_t *note, int64_t now_us)
{
    return each_line(db, note, now_us);
}

/* ---- the statement ------------------------------------------------------------------------- */

/* A number that may be negative, "-12.34". */
static char *signed_minor(int64_t minor, int digits, char buf[static DECIMAL_TEXT_BYTES])
{
    buf[0] = '-';
    decimal_minor(minor < 0 ? -minor : minor, digits, minor < 0 ? buf + 1 : buf);
    return buf;
}

static json_t *statement_line(struct db_stmt *s, int digits)
{
    char net[DECIMAL_TEXT_BYTES], amount[DECIMAL_TEXT_BYTES + 1];
    return json_pack("{s:s, s:I, s:s?, s:s, s:I, s:s}", "document", db_col_text(s, 0, NULL), "line",
                     (json_int_t)db_col_int(s, 1), "model", db_col_text(s, 5, NULL), "net",
                     decimal_minor(db_col_int(s, 2), digits, net), "basis_points",
                     (json_int_t)db_col_int(s, 3), "amount",
                     signed_minor(db_col_int(s, 4), digits, amount));
}

static enum status open_amount(struct db *db, int64_t partner, char text[static MONEY_TEXT_BYTES])
{
    struct db_stmt *s = db_prepare(db, sql_open);
    if (!s)
        return db_status(db);
    db_int(s, 1, account_id(partner, ACCOUNT_PARTNER_PAYABLE));
    int64_t atoms;
    enum status status = db_first_int(db, s, &atoms);
    money_text((money_t){ atoms }, 2, text);
    return status;
}

enum status payout_statement(struct db *db, const char *partner, const char *month,
                             int minor_digits, json_t **ret)
{
    int64_t id, from_us, to_us, total = 0;
    char open[MONEY_TEXT_BYTES], sum[DECIMAL_TEXT_BYTES + 1];
    AUTO(json_decref_ptr) json_t *lines = json_array();
    enum status status = organization_find(db, partner, &id);
    if (!status && !report_month(month, &from_us, &to_us))
        status = STATUS_BAD_FIELD;
    if (!status)
        status = open_amount(db, id, open);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql_lines);
    if (!s)
        return status ? status : db_status(db);
    db_int(s, 1, id);
    db_int(s, 2, from_us);
    db_int(s, 3, to_us);
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW) {
        total += db_col_int(s, 4);
        json_array_append_new(lines, statement_line(s, minor_digits));
    }
    status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    if (status)
        return status;
    *ret = json_pack("{s:s, s:s, s:s, s:O, s:s, s:s}", "object", "payout_statement", "partner",
                     partner, "month", month, "lines", lines, "total",
                     signed_minor(total, minor_digits, sum), "open", open);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}
