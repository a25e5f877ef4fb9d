/* billing/statement.c -- see statement.h. */
#include "billing/statement.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/split.h"
#include "base/usage.h"
#include "billing/decimal.h"
#include "billing/document.h"
#include <stdlib.h>
#include <string.h>

enum { NAMES_BYTES_MAX = 64 << 20, CENTRES_MAX = 10000 };

static const char sql_period[] =
    "SELECT p.id, p.starts_us, p.ends_us, d.type, d.organization FROM document d"
    " LEFT JOIN billing_period p ON p.id = d.period WHERE d.number = ?1";
/* Those that are not assigned come first: "" is theirs. */
static const char sql_centres[] = "SELECT '' UNION SELECT cost_centre FROM project"
                                  " WHERE organization = ?1 ORDER BY 1";
static const char sql_used[] =
    "SELECT n.name, r.meter, r.price_version, r.item, p.cost_centre, sum(r.qty), sum(r.atoms),"
    " sum(r.covered_atoms) FROM usage_rollup r JOIN name n ON n.id = r.model"
    " JOIN project p ON p.id = r.project"
    " WHERE r.hour_us >= ?1 - 3600000000 AND r.hour_us < ?2 AND r.period = ?3"
    " GROUP BY 1, 2, 3, 4, 5";

struct used { /* of one line by one cost centre */
    const char *model;
    int64_t meter, version, item;
    size_t centre;
    int64_t qty, atoms, covered;
};

struct centre {
    const char *name;
    json_t *lines; /* owned */
    int64_t exact, net, tax, group_net[TAX_GROUPS_MAX];
};

struct work {
    struct arena *arena;
    const json_t *document;
    int digits;
    int64_t period, from_us, to_us, organization;
    struct centre *centres;
    size_t count;
    struct used *used;
    size_t used_count, used_room;
    int64_t *weight, *part; /* count of each */
};

static void work_clear(struct work *w)
{
    for (size_t i = 0; i < w->count; i++)
        json_decref(w->centres[i].lines);
    free(w->used);
    free(w->centres);
    arena_free(w->arena);
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum status read_period(struct db *db, const char *number, struct work *w)
{
    struct db_stmt *s = db_prepare(db, sql_period);
    if (!s)
        return db_status(db);
    db_text(s, 1, number, -1);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db)
                         : row == DB_DONE ? STATUS_NOT_FOUND
                                          : STATUS_OK;
    if (row == DB_ROW) {
        w->period = db_col_int(s, 0);
        w->from_us = db_col_int(s, 1);
        w->to_us = db_col_int(s, 2);
        w->organization = db_col_int(s, 4);
        if (db_col_int(s, 3) != DOCUMENT_INVOICE)
            status = STATUS_BAD_FIELD;
    }
    db_reset(s);
    return status;
}

static enum status add_centre(struct work *w, const char *name)
{
    if (w->count == CENTRES_MAX)
        return STATUS_TOO_LARGE_FOR_LIMIT;
    struct centre *grown = realloc(w->centres, (w->count + 1) * sizeof *grown);
    if (!grown)
        return STATUS_NO_MEMORY;
    w->centres = grown;
    struct centre *c = &grown[w->count++];
    *c = (struct centre){ .name = arena_strdup(w->arena, name), .lines = json_array() };
    return c->name && c->lines ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_centres(struct db *db, struct work *w)
{
    struct db_stmt *s = db_prepare(db, sql_centres);
    if (!s)
        return db_status(db);
    db_int(s, 1, w->organization);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_centre(w, db_col_text(s, 0, NULL));
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    if (status)
        return status;
    w->weight = arena_alloc(w->arena, w->count * sizeof *w->weight);
    w->part = arena_alloc(w->arena, w->count * sizeof *w->part);
    return w->weight && w->part ? STATUS_OK : STATUS_NO_MEMORY;
}

static size_t centre_of(const struct work *w, const char *name)
{
    size_t i = 0;
    while (i + 1 < w->count && strcmp(w->centres[i].name, name) != 0)
        i++;
    return i;
}

static enum status add_used(struct work *w, struct db_stmt *s)
{
    if (w->used_count == w->used_room) {
        size_t room = w->used_room ? w->used_room * 2 : 64;
        struct used *grown = realloc(w->used, room * sizeof *grown);
        if (!grown)
            return STATUS_NO_MEMORY;
        w->used = grown;
        w->used_room = room;
    }
    struct used *u = &w->used[w->used_count++];
    *u = (struct used){ arena_strdup(w->arena, db_col_text(s, 0, NULL)),
                        db_col_int(s, 1),
                        db_col_int(s, 2),
                        db_col_int(s, 3),
                        centre_of(w, db_col_text(s, 4, NULL)),
                        db_col_int(s, 5),
                        db_col_int(s, 6),
                        db_col_int(s, 7) };
    return u->model ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_used(struct db *db, struct work *w)
{
    struct db_stmt *s = db_prepare(db, sql_used);
    if (!s)
        return db_status(db);
    db_int(s, 1, w->from_us);
    db_int(s, 2, w->to_us);
    db_int(s, 3, w->period);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_used(w, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

/* ---- dividing ------------------------------------------------------------------------------ */

/* When nobody has used anything of it, it is nobody's in particular. */
static enum status divide(struct work *w, int64_t whole)
{
    bool any = false;
    for (size_t i = 0; i < w->count; i++) {
        any = any || w->weight[i] > 0;
        w->part[i] = 0;
    }
    if (any)
        return split_whole(whole, w->weight, w->count, w->part);
    w->part[0] = whole;
    return STATUS_OK;
}

static bool is_of(const struct used *u, const json_t *line)
{
    const json_t *version = json_object_get(line, "price_version");
    const char *model = json_string_value(json_object_get(line, "model"));
    const char *meter = json_string_value(json_object_get(line, "meter"));
    return model && meter && strcmp(u->model, model) == 0 &&
           u->meter == (int64_t)meter_find(meter) &&
           (!version || (json_integer_value(version) == u->version &&
                         json_integer_value(json_object_get(line, "item")) == u->item));
}

/* What each owes of the line is its weight; the whole of it must be what the line says. */
static enum status weigh(struct work *w, const json_t *line, struct used *sums, int64_t *ret_exact)
{
    const char *text = json_string_value(json_object_get(line, "exact"));
    const char *category = json_string_value(json_object_get(line, "category"));
    int64_t all = 0;
    memset(w->weight, 0, w->count * sizeof *w->weight);
    memset(sums, 0, w->count * sizeof *sums);
    if (!text || !category || !decimal_parse_minor(text, MONEY_ATOM_EXP, ret_exact))
        return STATUS_INTERNAL;
    for (size_t i = 0; i < w->used_count; i++) {
        const struct used *u = &w->used[i];
        if (!is_of(u, line))
            continue;
        w->weight[u->centre] += u->atoms - u->covered;
        sums[u->centre].qty += u->qty;
        sums[u->centre].covered += u->covered;
        all += u->atoms - u->covered;
    }
    return strcmp(category, "usage") == 0 && all != *ret_exact ? STATUS_INTERNAL : STATUS_OK;
}

static json_t *part_of(const struct work *w, const json_t *line, const struct used *sum,
                       int64_t exact, int64_t net)
{
    char exact_text[DECIMAL_TEXT_BYTES], net_text[DECIMAL_TEXT_BYTES], covered[DECIMAL_TEXT_BYTES];
    json_t *copy = json_copy((json_t *)(uintptr_t)line);
    AUTO(json_decref_ptr)
    json_t *own = json_pack("{s:s, s:s}", "exact", decimal_exact(exact, exact_text), "net",
                            decimal_minor(net, w->digits, net_text));
    if (json_object_get(line, "quantity"))
        json_object_set_new(own, "quantity", json_integer(sum->qty));
    if (json_object_get(line, "covered"))
        json_object_set_new(own, "covered", json_string(decimal_exact(sum->covered, covered)));
    if (copy && own && json_object_update(copy, own) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

static int group_of(const json_t *document, const json_t *line)
{
    const json_t *group;
    size_t i;
    json_array_foreach (json_object_get(document, "taxes"), i, group)
        if (json_equal(json_object_get(group, "category"), json_object_get(line, "tax_category")) &&
            json_equal(json_object_get(group, "basis_points"),
                       json_object_get(line, "tax_basis_points")))
            return i < TAX_GROUPS_MAX ? (int)i : -1;
    return -1;
}

static enum status divide_line(struct work *w, const json_t *line, struct used *sums,
                               int64_t *exact_part)
{
    const char *net_text = json_string_value(json_object_get(line, "net"));
    int group = group_of(w->document, line);
    int64_t exact, net;
    enum status s = weigh(w, line, sums, &exact);
    if (!s && (group < 0 || !net_text || !decimal_parse_minor(net_text, w->digits, &net)))
        s = STATUS_INTERNAL;
    if (!s)
        s = divide(w, exact);
    if (s)
        return s;
    memcpy(exact_part, w->part, w->count * sizeof *w->part);
    s = divide(w, net);
    for (size_t i = 0; i < w->count && !s; i++) {
        struct centre *c = &w->centres[i];
        c->exact += exact_part[i];
        c->net += w->part[i];
        c->group_net[group] += w->part[i];
        if (!exact_part[i] && !w->part[i] && !sums[i].qty)
            continue;
        if (json_array_append_new(c->lines, part_of(w, line, &sums[i], exact_part[i], w->part[i])))
            s = STATUS_NO_MEMORY;
    }
    return s;
}

/* By what each has of the group's net. */
static enum status divide_tax(struct work *w, size_t group, const json_t *of)
{
    const char *text = json_string_value(json_object_get(of, "tax"));
    int64_t tax;
    if (!text || !decimal_parse_minor(text, w->digits, &tax))
        return STATUS_INTERNAL;
    for (size_t i = 0; i < w->count; i++) {
        int64_t net = w->centres[i].group_net[group];
        w->weight[i] = net > 0 ? net : 0;
    }
    return divide(w, tax);
}

/* ---- printing ------------------------------------------------------------------------------ */

static json_t *totals_of(const struct work *w, const struct centre *c)
{
    char exact[DECIMAL_TEXT_BYTES], net[DECIMAL_TEXT_BYTES], tax[DECIMAL_TEXT_BYTES];
    char gross[DECIMAL_TEXT_BYTES], rounding[DECIMAL_TEXT_BYTES];
    int64_t unit = money_minor_atoms(w->digits);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "exact", decimal_exact(c->exact, exact),
                     "rounding", decimal_exact(c->net * unit - c->exact, rounding), "net",
                     decimal_minor(c->net, w->digits, net), "tax",
                     decimal_minor(c->tax, w->digits, tax), "gross",
                     decimal_minor(c->net + c->tax, w->digits, gross));
}

static json_t *statement_of(const struct work *w, const struct centre *c, json_t *taxes)
{
    static const char *const keys[] = { "number", "organization", "month",
                                        "period", "currency",     "minor_digits",
                                        "seller", "buyer",        "issue_date" };
    json_t *s = json_pack("{s:s, s:s, s:s, s:O, s:O, s:o}", "object", "statement", "status",
                          "issued", "cost_centre", c->name, "lines", c->lines, "taxes", taxes,
                          "totals", totals_of(w, c));
    for (size_t i = 0; s && i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(w->document, keys[i]))
            json_object_set(s, keys[i], json_object_get(w->document, keys[i]));
    return s;
}

static enum status add_tax(struct work *w, size_t group, const json_t *of, json_t *taxes)
{
    char net[DECIMAL_TEXT_BYTES], tax[DECIMAL_TEXT_BYTES];
    enum status s = divide_tax(w, group, of);
    for (size_t i = 0; i < w->count && !s; i++) {
        struct centre *c = &w->centres[i];
        c->tax += w->part[i];
        if (c->group_net[group] == 0 && w->part[i] == 0)
            continue;
        json_t *own =
            json_pack("{s:O, s:O, s:O*, s:s, s:s}", "category", json_object_get(of, "category"),
                      "basis_points", json_object_get(of, "basis_points"), "text",
                      json_object_get(of, "text"), "taxable",
                      decimal_minor(c->group_net[group], w->digits, net), "tax",
                      decimal_minor(w->part[i], w->digits, tax));
        if (json_array_append_new(json_array_get(taxes, i), own))
            s = STATUS_NO_MEMORY;
    }
    return s;
}

/* The parts are the whole, or somebody has tampered with the rows. */
static bool adds_up(const struct work *w)
{
    const json_t *totals = json_object_get(w->document, "totals");
    int64_t net = 0, tax = 0, whole_net, whole_tax;
    for (size_t i = 0; i < w->count; i++) {
        net += w->centres[i].net;
        tax += w->centres[i].tax;
    }
    const char *net_text = json_string_value(json_object_get(totals, "net"));
    const char *tax_text = json_string_value(json_object_get(totals, "tax"));
    return net_text && tax_text && decimal_parse_minor(net_text, w->digits, &whole_net) &&
           decimal_parse_minor(tax_text, w->digits, &whole_tax) && net == whole_net &&
           tax == whole_tax;
}

static enum status divide_all(struct work *w, json_t *taxes)
{
    struct used *sums = arena_alloc(w->arena, w->count * sizeof *sums);
    int64_t *exact = arena_alloc(w->arena, w->count * sizeof *exact);
    enum status s = sums && exact ? STATUS_OK : STATUS_NO_MEMORY;
    const json_t *line, *group;
    size_t i;
    json_array_foreach (json_object_get(w->document, "lines"), i, line)
        s = s ? s : divide_line(w, line, sums, exact);
    for (i = 0; i < w->count && !s; i++)
        if (json_array_append_new(taxes, json_array()))
            s = STATUS_NO_MEMORY;
    json_array_foreach (json_object_get(w->document, "taxes"), i, group)
        s = s ? s : add_tax(w, i, group, taxes);
    return s ? s : adds_up(w) ? STATUS_OK : STATUS_INTERNAL;
}

static enum status print_all(const struct work *w, const char *only, json_t *taxes, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *list = json_array();
    for (size_t i = 0; i < w->count; i++) {
        const struct centre *c = &w->centres[i];
        if (json_array_size(c->lines) == 0 || (only && strcmp(only, c->name) != 0))
            continue;
        if (json_array_append_new(list, statement_of(w, c, json_array_get(taxes, i))))
            return STATUS_NO_MEMORY;
    }
    if (only && json_array_size(list) == 0)
        return STATUS_NOT_FOUND;
    *ret = TAKE(list);
    return STATUS_OK;
}

enum status statement_list(struct db *db, const char *number, const char *cost_centre, json_t **ret)
{
    AUTO(work_clear) struct work w = { .arena = arena_new(NAMES_BYTES_MAX) };
    AUTO(json_decref_ptr) json_t *document = NULL;
    AUTO(json_decref_ptr) json_t *taxes = json_array();
    enum status s = w.arena && taxes ? read_period(db, number, &w) : STATUS_NO_MEMORY;
    if (!s)
        s = document_find(db, number, &document);
    w.document = document;
    w.digits = (int)json_integer_value(json_object_get(document, "minor_digits"));
    if (!s)
        s = read_centres(db, &w);
    if (!s)
        s = read_used(db, &w);
    if (!s)
        s = divide_all(&w, taxes);
    return s ? s : print_all(&w, cost_centre, taxes, ret);
}
