/* tests/sim/founding.c -- who buys in the simulated world, and from whom: world_inside.h. */
#include "auth/keys.h"
#include "base/db.h"
#include "billing/contract.h"
#include "billing/organization.h"
#include "billing/seller.h"
#include "tests/sim/world_inside.h"
#include <assert.h>
#include <stdio.h>

#define CREDIT    INT64_C(3000000)
#define BUDGET    INT64_C(10000000)
#define UNLIMITED INT64_C(9000000000000000000)
#define LIST      INT64_C(25000) /* atoms for a token */

/* Either purse and either budget of what is resold can run out in the middle. */
const struct world_buyer_terms world_buyers[WORLD_BUYERS] = {
    [PAYG] = { "payg", "{}", 0, -1, BUDGET, 0, 1 },
    [ON_CREDIT] = { "on-credit", "{}", 0, CREDIT, UNLIMITED, 0, 1 },
    [SUBSCRIBER] = { "subscriber", "{\"fee\":\"1.00\",\"included\":\"0.01\"}", 0, -1, UNLIMITED, 0,
                     1 },
    [OWN_BOOK] = { "own-book", "{\"minimum\":\"2.00\"}", 0, -1, UNLIMITED, 0, 1 },
    [RESELLER] = { "shop", "{}", 0, 10 * CREDIT, UNLIMITED, 0, 6 },
    [BRANCH] = { "branch", "{}", 1 + RESELLER, -1, BUDGET, UNLIMITED, 1 },
    [CORNER] = { "corner", "{}", 1 + RESELLER, CREDIT, UNLIMITED, BUDGET, 4 },
};

const struct book_owner world_books[WORLD_BOOKS] = {
    { BOOK_LIST, 0 },
    { BOOK_CONTRACT, 1 + OWN_BOOK },
    { BOOK_CONTRACT, 1 + RESELLER },
    { BOOK_RESALE, 1 + RESELLER },
};

const struct seller world_house = { .name = "S",
                                    .address = "",
                                    .tax_id = "",
                                    .series = "SIM",
                                    .tax_basis_points = 600,
                                    .minor_digits = 2 };

static void know_project(int64_t id, const char *slug, int64_t organization, int64_t budget)
{
    assert(0 < id && id < PROJECTS_MAX);
    world.projects[id] = (struct project){
        .slug = slug, .organization = organization, .limit = budget, .limit_maybe = budget
    };
}

static enum status make_organization(struct db *db, const struct world_buyer_terms *b,
                                     int64_t expected)
{
    const struct organization_new o = {
        b->slug, b->slug, "", "", "", "", "", b->reseller,
    };
    json_t *plan = json_loads(b->plan, 0, NULL);
    const struct contract_change c = { .starts_us = world.now_us,
                                       .credit_atoms = b->credit,
                                       .plan = plan };
    int64_t id;
    enum status s = organization_create(db, &o, world.now_us, &id);
    assert(s || id == expected);
    if (!s)
        s = contract_change(db, id, &c, world.now_us, world.err);
    json_decref(plan);
    return s;
}

/* The reseller's, which came with the customer's. */
static enum status find_twin(struct db *db, enum world_buyer b, int64_t project)
{
    static char slugs[WORLD_BUYERS][24];
    int64_t twin, reseller = world_buyers[b].reseller, budget = world_buyers[b].twin_budget;
    struct db_stmt *s = db_prepare(db, "SELECT wholesale FROM project WHERE id = ?1");
    db_int(s, 1, project);
    enum status status = db_first_int(db, s, &twin);
    if (status)
        return status;
    snprintf(slugs[b], sizeof slugs[b], "%s:%s", world_buyers[reseller - 1].slug,
             world_buyers[b].slug);
    know_project(twin, slugs[b], reseller, budget);
    world.seats[b][0] = twin;
    world.seats[b][1] = project;
    return project_set_budget(db, slugs[b], budget, "total");
}

static enum status make_buyer(struct db *db, enum world_buyer b)
{
    const struct world_buyer_terms *t = &world_buyers[b];
    const struct project_new p = { .organization = world_organization(b),
                                   .slug = t->slug,
                                   .display_name = t->slug,
                                   .budget_atoms = t->budget,
                                   .budget_period = "total",
                                   .cost_centre = "" };
    int64_t id;
    enum status s = make_organization(db, t, p.organization);
    if (!s)
        s = project_create(db, &p, world.now_us, &id);
    if (s)
        return s;
    know_project(id, t->slug, p.organization, t->budget);
    world.seats[b][0] = id;
    return t->reseller ? find_twin(db, b, id) : STATUS_OK;
}

/* The list holds from the first day; who has a book of their own gets it in the days after. */
static enum status publish_books(struct db *db)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < WORLD_BOOKS && !s; i++) {
        bool list = world_books[i].kind == BOOK_LIST;
        int64_t from_us = WORLD_START + ((int64_t)i - list) * WORLD_DAY;
        s = prices_publish(db, world_books[i], LIST - 2000 * (int64_t)i, from_us,
                           WORLD_START - 2 * list * WORLD_DAY);
    }
    return s;
}

enum status world_found(struct db *db)
{
    static const struct seller_change shop = { .series = "SHOP", .tax_basis_points = 900 };
    int64_t model;
    enum status s = db_run(db_prepare(db, "INSERT INTO meta VALUES (1, 'USD', 0)"));
    if (!s)
        s = ledger_name_id(db, "base/chat", &model);
    for (unsigned i = 0; i < WORLD_BUYERS && !s; i++)
        s = make_buyer(db, (enum world_buyer)i);
    if (!s)
        s = seller_set(db, world_organization(RESELLER), &shop, &world_house, world.now_us,
                       world.err);
    return s ? s : publish_books(db);
}
