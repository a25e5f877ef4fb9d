/* tests/unit/test_layer.c -- the book of an organization on the list: its text, and which holds when. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/digest.h"
#include "billing/organization.h"
#include "billing/pricebook_layer.h"
#include "billing/publication.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gen/unit_suites.h"

#define HEAD "currency USD book "

static void check_layer(const char *list, const char *own, const char *expected)
{
    AUTO(buf_free) struct buf b;
    const uint8_t first[DIGEST_BYTES] = { 1 }, second[DIGEST_BYTES] = { 2 };
    const struct layer_of below = { list, first }, above = { own, second };
    buf_init(&b, LAYER_BYTES_MAX);
    ck_assert_int_eq(pricebook_layer("USD", "own", &below, &above, &b), STATUS_OK);
    const char *body = strchr(b.at, '\n') + 1;
    ck_assert_str_eq(body, expected);
    ck_assert_int_eq(strncmp(b.at, HEAD "own over 0100", 22), 0);
}

/* own, and what becomes of it on the list below. */
static const struct {
    const char *own, *expected;
} layers[] = {
    { "", "a/x images 5/1\na/x requests 10/1\nb requests 7/1\n" },
    { "a/x images 4/1\n", "a/x images unit 4/1 list=5/1\na/x requests 10/1\nb requests 7/1\n" },
    { "a/x images 5/1\n", "a/x images 5/1\na/x requests 10/1\nb requests 7/1\n" },
    { "a/x images 10/2\n", "a/x images 10/2\na/x requests 10/1\nb requests 7/1\n" },
    { "a/x characters 1/1\n",
      "a/x characters 1/1\na/x images 5/1\na/x requests 10/1\nb requests 7/1\n" },
    { "a requests 1/1\nc requests 2/1\n",
      "a requests 1/1\na/x images 5/1\na/x requests 10/1\nb requests 7/1\nc requests 2/1\n" },
    { "b requests flat 3/request\n",
      "a/x images 5/1\na/x requests 10/1\nb requests flat 3/request\n" },
    { "a/x images included 9\na/x images graduated 9:4/1,*:2/1\n",
      "a/x images included 9\na/x images graduated 9:4/1,*:2/1 list=5/1\na/x requests 10/1\n"
      "b requests 7/1\n" },
    { "a/x images 4/1\na/x images unit 3/1 size=big\n",
      "a/x images unit 4/1 list=5/1\na/x images unit 3/1 list=5/1 size=big\na/x requests 10/1\n"
      "b requests 7/1\n" },
};

START_TEST(test_what_differs)
{
    static const char list[] = HEAD "l\na/x images 5/1\na/x requests 10/1\nb requests 7/1\n";
    char own[400];
    snprintf(own, sizeof own, HEAD "own\n%s", layers[_i].own);
    check_layer(list, own, layers[_i].expected);
    ck_assert_int_eq(pricebook_says(own), *layers[_i].own != '\0');
}
END_TEST

/* The list's price of a unit is that of the same conditions; of none when there is no such. */
START_TEST(test_conditions)
{
    static const char list[] = HEAD "l\nm images unit 9/1\nm images unit 5/1 size=big\n"
                                    "m requests graduated 5:3/1,*:2/1\n";
    check_layer(list,
                HEAD "own\nm images 8/1\nm images unit 5/1 size=big\nm images unit 1/1 size=s\n",
                "m images unit 8/1 list=9/1\nm images unit 5/1 size=big\nm images unit 1/1 size=s\n"
                "m requests graduated 5:3/1,*:2/1\n");
    check_layer(list, HEAD "own\nm requests 1/1\n",
                "m images unit 9/1\nm images unit 5/1 size=big\nm requests 1/1\n");
}
END_TEST

START_TEST(test_no_book)
{
    AUTO(buf_free) struct buf b;
    const uint8_t sha256[DIGEST_BYTES] = { 0 };
    const struct layer_of good = { HEAD "l\nm images 5/1\n", sha256 },
                          bad = { HEAD "l\nm images five\n", sha256 };
    buf_init(&b, LAYER_BYTES_MAX);
    ck_assert_int_eq(pricebook_layer("USD", "x", &good, &bad, &b), STATUS_INTERNAL);
    ck_assert_int_eq(pricebook_layer("USD", "x", &bad, &good, &b), STATUS_INTERNAL);
}
END_TEST

/* ---- which holds when ---------------------------------------------------------------------- */

enum { NOTICE = 1000 };
static struct fixture f;
static struct db *db;
static char err[256];
static int64_t now = 1000000;

static void setup(void)
{
    char path[128];
    fixture_init(&f);
    ck_assert_int_eq(fixture_project(&f, "acme", 1000000000, "total"), 1);
    ck_assert_int_eq(fixture_project(&f, "zeta", 1000000000, "total"), 2);
    fixture_close(&f);
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
}

static void teardown(void)
{
    db_close(db);
    fixture_open(&f);
    fixture_free(&f);
}

static enum status publish(struct book_owner owner, const char *name, int64_t from,
                           const char *lines)
{
    char text[4000];
    uint8_t sha256[DIGEST_BYTES];
    int64_t id;
    json_t *done = NULL;
    int len = snprintf(text, sizeof text, HEAD "%s\n%s", name, lines);
    digest_sha256(text, (size_t)len, sha256);
    const struct proposal_new p = { owner, name, "USD", text, sha256, from, NOTICE, "uid:0" };
    *err = '\0';
    enum status s = publication_propose(db, &p, now, &id, err);
    if (!s)
        s = publication_approve(db, id, "uid:7", NOTICE, now, &done, err);
    json_decref(done);
    return s;
}

static const struct book_owner list = { BOOK_LIST, 0 }, acme = { BOOK_CONTRACT, 1 },
                               zeta = { BOOK_CONTRACT, 2 }, reseller = { BOOK_RESALE, 1 };

static struct publication_terms terms_at(int64_t us)
{
    struct publication_terms t;
    ck_assert_msg(publication_terms(db, us, &t, err) == STATUS_OK, "%s", err);
    return t;
}

/* The list changes at 2 and 6, acme's book begins at 4 and ends at 8. */
START_TEST(test_terms_of_an_organization)
{
    int64_t k = NOTICE;
    ck_assert_int_eq(publish(list, "one", now + 2 * k, "m images 9/1\nm requests 5/1\n"),
                     STATUS_OK);
    ck_assert_int_eq(publish(acme, "own", now + 4 * k, "m images 8/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(list, "two", now + 6 * k, "m images 7/1\nm requests 4/1\n"),
                     STATUS_OK);
    ck_assert_int_eq(publish(acme, "end", now + 8 * k, ""), STATUS_OK);
    struct publication_terms t = terms_at(now);
    ck_assert_uint_eq(t.list.count, 2);
    ck_assert_uint_eq(t.own_count, 1);
    const struct term_list *own = &t.own[0].terms;
    ck_assert_uint_eq(own->count, 3);
    ck_assert_int_eq(own->term[0].from_us, now + 4 * k);
    ck_assert_ptr_nonnull(
        strstr(own->term[0].text, "m images unit 8/1 list=9/1\nm requests 5/1\n"));
    ck_assert_int_eq(own->term[1].from_us, now + 6 * k);
    ck_assert_ptr_nonnull(
        strstr(own->term[1].text, "m images unit 8/1 list=7/1\nm requests 4/1\n"));
    ck_assert_int_eq(own->term[2].from_us, now + 8 * k);
    ck_assert_ptr_null(own->term[2].text);
    int64_t version = own->term[1].version;
    publication_terms_free(&t);
    t = terms_at(now + 6 * k); /* the same again, by the same versions */
    ck_assert_uint_eq(t.own_count, 1);
    ck_assert_int_eq(t.own[0].terms.term[1].version, version);
    publication_terms_free(&t);
    ck_assert_int_eq(publish(acme, "again", now + 12 * k, ""), STATUS_OK);
    t = terms_at(now + 13 * k); /* it has had nothing of its own for long */
    ck_assert_uint_eq(t.own_count, 0);
    publication_terms_free(&t);
}
END_TEST

/* One instant each; the same text of two organizations; a book for customers is another one. */
START_TEST(test_owners)
{
    int64_t at = now + 5 * NOTICE;
    ck_assert_int_eq(publish(list, "one", now + NOTICE, "m images 9/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(zeta, "own", at, "m images 8/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(acme, "own", at, "m images 8/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(reseller, "mine", at, "m images 10/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(acme, "twin", at, "m images 7/1\n"), STATUS_CONFLICT);
    ck_assert_int_ne(publish((struct book_owner){ BOOK_CONTRACT, 9 }, "x", at, ""), STATUS_OK);
    struct publication_terms t = terms_at(now);
    ck_assert_uint_eq(t.own_count, 3);
    ck_assert_int_eq(t.own[0].owner.organization, 1);
    ck_assert_int_eq(t.own[1].owner.organization, 2);
    ck_assert_int_eq(t.own[2].owner.kind, BOOK_RESALE);
    ck_assert_int_eq(t.own[0].terms.term[0].version, t.own[1].terms.term[0].version);
    publication_terms_free(&t);
}
END_TEST

/* Six free meters in the list are the most; a seventh of an organization is refused, and so is a list
 * that would come under such a book. */
START_TEST(test_what_does_not_fit)
{
    static const char most[] =
        "m audio_ms included 1\nm audio_ms 1/1\nm characters included 1\n"
        "m characters 1/1\nm compute_ms included 1\nm compute_ms 1/1\n"
        "m images included 1\nm images 1/1\nm input_audio_tokens included 1\n"
        "m input_audio_tokens 1/1\n",
                      rest[] = "m input_cache_write_1h_tokens 1/1\nm input_cache_write_tokens 1/1\n"
                               "m input_cached_tokens 1/1\nm input_image_tokens 1/1\n"
                               "m input_uncached_tokens 1/1\nm input_video_tokens 1/1\n"
                               "m output_audio_tokens 1/1\nm output_image_tokens 1/1\n"
                               "m output_reasoning_tokens 1/1\nm output_text_tokens 1/1\n"
                               "m requests 1/1\n",
                      more[] = "m input_image_tokens included 1\nm input_image_tokens 1/1\n"
                               "m requests included 1\nm requests 1/1\n",
                      few[] = "m tensor_elements 1/1\nm video_ms 1/1\n";
    char lines[3000];
    snprintf(lines, sizeof lines, "%s%s%s", most, rest, few);
    ck_assert_int_eq(publish(list, "small", now + NOTICE, "m requests 1/1\n"), STATUS_OK);
    ck_assert_int_eq(publish(acme, "own", now + 3 * NOTICE, more), STATUS_OK);
    ck_assert_int_eq(db_savepoint(db), STATUS_OK);
    ck_assert_int_eq(publish(list, "big", now + 5 * NOTICE, lines), STATUS_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err, "the book 'own' of 'acme' does not fit on the list"));
    db_rollback_to(db);
    ck_assert_int_eq(publish(acme, "end", now + 5 * NOTICE, ""), STATUS_OK);
    ck_assert_int_eq(publish(list, "big", now + 6 * NOTICE, lines), STATUS_OK);
    ck_assert_int_eq(publish(acme, "own", now + 7 * NOTICE, more), STATUS_CONFLICT);
}
END_TEST

/* ---- the audit ----------------------------------------------------------------------------- */

#define WITHOUT(trigger)  "DROP TRIGGER " trigger ";"
#define VERSION_OF(which) "(SELECT " which " FROM price_layer)"
static const struct {
    const char *label, *sql;
} damage[] = {
    { "the list instead", WITHOUT("request_open_stays_u") "UPDATE request_open SET price_version ="
                                                          " " VERSION_OF("list_version") },
    { "the own book alone", WITHOUT("request_open_stays_u") "UPDATE request_open SET price_version"
                                                            " = " VERSION_OF("own_version") },
    { "another's book", WITHOUT("request_open_stays_u") "UPDATE request_open SET price_version ="
                                                        " " VERSION_OF("price_version") },
    { "a price", WITHOUT("price_version_stays_u") "UPDATE price_version SET text = replace(text,"
                                                  " '100000/1 list', '90000/1 list')" },
    { "a price of the list", WITHOUT("price_version_stays_u") "UPDATE price_version SET text ="
                                                              " replace(text, 'list=200000',"
                                                              " 'list=300000')" },
    { "a line less", WITHOUT("price_version_stays_u") "UPDATE price_version SET text = replace("
                                                      "text, 'base/chat input_uncached_tokens"
                                                      " 25000/1' || char(10), '') WHERE id ="
                                                      " " VERSION_OF("price_version") },
    { "made of nothing", WITHOUT("price_layer_stays_d") "DELETE FROM price_layer" },
    { "made of others", WITHOUT("price_layer_stays_u") "UPDATE price_layer SET list_version = 1" },
    { "for another", WITHOUT("price_publication_stays_u") "UPDATE price_publication SET"
                                                          " organization = 2 WHERE organization"
                                                          " = 1" },
    { "later", WITHOUT("request_open_stays_u") "UPDATE request_open SET accepted_us = 4000000" },
};

static void request(int64_t project, int64_t version)
{
    struct ledger_hold h = fixture_hold_of(&f, project, 100000000);
    h.price_version = version;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_settle t = fixture_settle_of(&h, 10, 0);
    t.price_version = version;
    ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
}

/* The list is there at 2, acme's book at 5 (seconds of 1970); each asks once. */
static void audited_setup(void)
{
    setup();
    db_close(db);
    fixture_open(&f);
    fixture_catalog(&f);
    fixture_close(&f);
    char path[128];
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    ck_assert_int_eq(publish(list, "all", 2000000,
                             "base/chat input_uncached_tokens 25000/1\n"
                             "base/chat output_text_tokens 200000/1\n"),
                     STATUS_OK);
    ck_assert_int_eq(publish(acme, "own", 5000000, "base/chat output_text_tokens 100000/1\n"),
                     STATUS_OK);
    struct publication_terms t = terms_at(now);
    int64_t own = t.own[0].terms.term[0].version, all = t.list.term[0].version;
    publication_terms_free(&t);
    db_close(db);
    fixture_open(&f);
    request(1, own);
    request(2, all);
    fixture_close(&f);
}

static void audited_teardown(void)
{
    fixture_open(&f);
    fixture_free(&f);
}

START_TEST(test_damage_is_found)
{
    fixture_audit_clean(&f);
    fixture_tamper(&f, damage[_i].sql);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "%s was not found", damage[_i].label);
}
END_TEST

Suite *layer_suite(void)
{
    Suite *s = suite_create("layer");
    TCase *text = tcase_create("text"), *when = tcase_create("when"),
          *audit = tcase_create("audit");
    tcase_add_loop_test(text, test_what_differs, 0, (int)(sizeof layers / sizeof *layers));
    tcase_add_test(text, test_conditions);
    tcase_add_test(text, test_no_book);
    tcase_add_checked_fixture(when, setup, teardown);
    tcase_add_test(when, test_terms_of_an_organization);
    tcase_add_test(when, test_owners);
    tcase_add_test(when, test_what_does_not_fit);
    tcase_add_checked_fixture(audit, audited_setup, audited_teardown);
    tcase_add_loop_test(audit, test_damage_is_found, 0, (int)(sizeof damage / sizeof *damage));
    suite_add_tcase(s, text);
    suite_add_tcase(s, when);
    suite_add_tcase(s, audit);
    return s;
}
