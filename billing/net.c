/* billing/net.c -- see net.h. */
#include "billing/net.h"
#include "base/ratio.h"
#include <string.h>

enum status net_line(money_t exact, int digits, enum net_rounding rounding, struct net_line *ret)
{
    if (digits < 0 || digits > MONEY_ATOM_EXP)
        return STATUS_BAD_FIELD;
    int64_t unit = money_minor_atoms(digits), minor, back;
    bool fits = rounding == NET_HALF_EVEN
                    ? ratio_half_even(exact.atoms, 1, unit, &minor) == STATUS_OK
                    : money_to_minor(exact, digits, &minor);
    if (!fits || __builtin_mul_overflow(minor, unit, &back))
        return STATUS_BILLING_OVERFLOW;
    *ret = (struct net_line){ minor, back - exact.atoms };
    return STATUS_OK;
}

/* ---- taxes --------------------------------------------------------------------------------- */

static const struct tax_kind kinds[] = {
    { "S", false, "" },
    { "AA", false, "reduced rate" },
    { "Z", true, "zero rated" },
    { "E", true, "exempt from tax" },
    { "AE", true, "reverse charge" },
    { "K", true, "intra-community supply, exempt from tax" },
    { "G", true, "export, exempt from tax" },
    { "O", true, "not subject to tax" },
    { "L", false, "Canary Islands general indirect tax" },
    { "M", false, "tax for production, services and importation in Ceuta and Melilla" },
    { "B", false, "split payment" },
};

const struct tax_kind *tax_kind_find(const char *category)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].category, category) == 0)
            return &kinds[i];
    return NULL;
}

static int compare(const struct tax_group *g, const struct tax_line *l)
{
    int by_category = strcmp(g->category, l->category);
    if (by_category)
        return by_category;
    return (g->basis_points > l->basis_points) - (g->basis_points < l->basis_points);
}

/* The group of a line, made at its place when it is new; NULL: there are too many. */
static struct tax_group *group_of(const struct tax_line *l, struct tax_group *groups,
                                  unsigned *count)
{
    unsigned at = 0;
    while (at < *count && compare(&groups[at], l) < 0)
        at++;
    if (at < *count && compare(&groups[at], l) == 0)
        return &groups[at];
    if (*count == TAX_GROUPS_MAX)
        return NULL;
    memmove(&groups[at + 1], &groups[at], (*count - at) * sizeof *groups);
    groups[at] = (struct tax_group){ .category = l->category, .basis_points = l->basis_points };
    ++*count;
    return &groups[at];
}

enum status tax_groups(const struct tax_line *lines, size_t count,
                       struct tax_group groups[static TAX_GROUPS_MAX], unsigned *ret_count)
{
    struct tax_group made[TAX_GROUPS_MAX];
    unsigned used = 0;
    for (size_t i = 0; i < count; i++) {
        bool rate = lines[i].basis_points >= 0 && lines[i].basis_points <= 10000;
        struct tax_group *g = rate ? group_of(&lines[i], made, &used) : NULL;
        if (!g)
            return STATUS_BAD_FIELD;
        if (__builtin_add_overflow(g->net_minor, lines[i].net_minor, &g->net_minor))
            return STATUS_BILLING_OVERFLOW;
    }
    for (unsigned i = 0; i < used; i++) {
        enum status s =
            ratio_half_up(made[i].net_minor, made[i].basis_points, 10000, &made[i].tax_minor);
        if (s)
            return s;
    }
    memcpy(groups, made, used * sizeof *made);
    *ret_count = used;
    return STATUS_OK;
}
