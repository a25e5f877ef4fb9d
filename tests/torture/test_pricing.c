/* tests/torture/test_pricing.c -- an organization's book, from its file to its catalog, with each
 * allocation failing in turn: NO_MEMORY, nothing half made, nothing leaked. */
#include "base/db.h"
#include "base/digest.h"
#include "conf/book.h"
#include "gateway/pricing.h"
#include "tests/helpers/books_fixture.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/torture_suites.h"

static const char models[] =
    "listen: 127.0.0.1:1\nseller_name: A\nprice_book: p\n"
    "backends:\n  w: {transport: shm, address: /run/w.sock}\n"
    "models:\n  base/a:\n    capabilities: [chat]\n    routes: [{backend: w, model: a}]\n"
    "    price: {input_uncached_tokens: 1/1M, output_text_tokens: [{unit: 2}, {unit: 1, service_tier: flex}]}\n";
static const char own_file[] =
    "price_book: own\nmodels: {base/a: {output_text_tokens: {unit: 1}, input_cached_tokens: 0}}";
static struct conf *conf;
static struct fixture f;

static void setup(void)
{
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_msg(conf_parse("t.yaml", models, sizeof models - 1, &conf, err) == STATUS_OK, "%s",
                  err);
    fixture_init(&f);
    ck_assert_int_eq(fixture_project(&f, "acme", 1, "total"), 1);
    fixture_close(&f);
}

static void teardown(void)
{
    conf_free(conf);
    fixture_open(&f);
    fixture_free(&f);
}

START_TEST(test_a_file)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct catalog *own = NULL, *c = NULL;
        char err[CONF_ERROR_BYTES] = "";
        enum status s = book_read_own("own.yaml", (struct span){ own_file, sizeof own_file - 1 },
                                      conf->catalog, &own, err);
        const struct own_book book = { own ? own->price_book : "", own ? own->price_text : "",
                                       own ? own->price_sha256 : NULL };
        if (!s)
            s = pricing_layered(conf->catalog, &book, &c);
        fault_arm(0);
        ck_assert_int_eq(s, fault_fired() ? STATUS_NO_MEMORY : STATUS_OK);
        ck_assert(!c == (s != STATUS_OK));
        catalog_unref(own);
        catalog_unref(c);
    }
}
END_TEST

static void publish(struct db *db, struct book_owner owner, const char *text, int64_t from)
{
    uint8_t sha256[DIGEST_BYTES];
    char err[256];
    int64_t id;
    json_t *done = NULL;
    digest_sha256(text, strlen(text), sha256);
    const struct proposal_new p = { owner, "b", "USD", text, sha256, from, 1, "uid:0" };
    ck_assert_int_eq(publication_propose(db, &p, 1, &id, err), STATUS_OK);
    ck_assert_int_eq(publication_approve(db, id, "uid:7", 1, 1, &done, err), STATUS_OK);
    json_decref(done);
}

/* SQLite does without some of what it asks for, so a failed allocation may still end well. */
START_TEST(test_terms)
{
    static const char list[] = "currency USD book b\nbase/a output_text_tokens 5/1\n";
    static const char own[] = "currency USD book b\nbase/a output_text_tokens 4/1\n";
    char path[128], err[256] = "";
    struct db *db = NULL;
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    publish(db, (struct book_owner){ BOOK_LIST, 0 }, list, 10);
    publish(db, (struct book_owner){ BOOK_CONTRACT, 1 }, own, 20);
    for (unsigned nth = 0; fault_next(&nth);) {
        struct publication_terms t = { .own = NULL };
        struct pricing *p = NULL;
        enum status s = publication_terms(db, 5, &t, err);
        if (!s)
            s = pricing_new(conf->catalog, &t, &p);
        publication_terms_free(&t);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || (fault_fired() && s == STATUS_NO_MEMORY), "%s",
                      status_info(s)->name);
        ck_assert(!p == (s != STATUS_OK));
        pricing_free(p);
    }
    db_close(db);
}
END_TEST

Suite *pricing_suite(void)
{
    Suite *s = suite_create("pricing");
    TCase *t = tcase_create("pricing");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_file);
    tcase_add_test(t, test_terms);
    suite_add_tcase(s, t);
    return s;
}
