/* tests/unit/test_egress.c -- to which addresses a connection may be opened: ranges, the policy,
 * the configuration, and drivers whose host's name moves. */
#include "backends/http_parts.h"
#include "backends/session.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "tests/helpers/fake_dns.h"
#include "tests/helpers/http_rig.h"
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

/* ---- ranges ---- */

static const struct {
    const char *text, *net; /* NULL: refused */
    bool exact;
} ranges[] = {
    { "10.0.0.0/8", "10.0.0.0/8", true },
    { "10.1.2.3/8", "10.0.0.0/8", false },
    { "192.0.2.1", "192.0.2.1/32", true },
    { "0.0.0.0/0", "0.0.0.0/0", true },
    { "255.255.255.255/31", "255.255.255.254/31", false },
    { "::/0", "::/0", true },
    { "fd00::/8", "fd00::/8", true },
    { "2001:db8::1", "2001:db8::1/128", true },
    { "2001:DB8:0:0::/33", "2001:db8::/33", true },
    { "::ffff:10.0.0.1", "10.0.0.1/32", true },
    { "::ffff:10.0.0.0/104", NULL, false },
    { "10.0.0.0/33", NULL, false },
    { "::/129", NULL, false },
    { "10.0.0.0/", NULL, false },
    { "10.0.0.0/ 8", NULL, false },
    { "10.0.0.0/-8", NULL, false },
    { "10.0.0.0/0008", NULL, false },
    { "10.0.0.0/8/8", NULL, false },
    { "10.0.0/8", NULL, false },
    { "010.0.0.0/8", NULL, false },
    { "0x7f.0.0.1", NULL, false },
    { "2130706433", NULL, false },
    { "[::1]", NULL, false },
    { "fe80::1%lo", NULL, false },
    { "localhost", NULL, false },
    { "", NULL, false },
    { "/8", NULL, false },
    { "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8", NULL, false },
};

START_TEST(test_range)
{
    struct cidr c;
    char text[CIDR_TEXT_BYTES];
    bool exact = false, right = cidr_parse(ranges[_i].text, &c, &exact);
    ck_assert_msg(right == (ranges[_i].net != NULL), "%s", ranges[_i].text);
    if (!right)
        return;
    ck_assert_str_eq(cidr_text(&c, text), ranges[_i].net);
    ck_assert_msg(exact == ranges[_i].exact, "%s", ranges[_i].text);
}
END_TEST

static struct cidr range(const char *text)
{
    struct cidr c;
    bool exact;
    ck_assert_msg(cidr_parse(text, &c, &exact), "%s", text);
    return c;
}

static struct ip address(const char *text)
{
    struct ip ip;
    ck_assert_msg(ip_parse(text, &ip), "%s", text);
    return ip;
}

START_TEST(test_range_has)
{
    static const struct {
        const char *range, *address;
        bool has;
    } rows[] = {
        { "10.0.0.0/8", "10.255.0.1", true },
        { "10.0.0.0/8", "11.0.0.0", false },
        { "0.0.0.0/0", "255.1.2.3", true },
        { "0.0.0.0/0", "::1", false },
        { "::/0", "10.0.0.1", false },
        { "::/0", "::ffff:10.0.0.1", false },
        { "::/0", "2001:db8::1", true },
        { "192.0.2.4/31", "192.0.2.5", true },
        { "192.0.2.4/31", "192.0.2.6", false },
        { "192.0.2.4", "::ffff:192.0.2.4", true },
        { "fe80::/10", "febf:ffff::1", true },
        { "fe80::/10", "fec0::", false },
        { "2001:db8::/33", "2001:db8:8000::1", false },
    };
    for (int i = 0; i < COUNT(rows); i++) {
        struct cidr c = range(rows[i].range);
        struct ip ip = address(rows[i].address);
        ck_assert_msg(cidr_has(&c, &ip) == rows[i].has, "%s %s", rows[i].range, rows[i].address);
    }
    struct cidr wide = range("10.0.0.0/8"), narrow = range("10.1.0.0/16"), other = range("::/0");
    ck_assert(cidr_within(&narrow, &wide) && cidr_within(&wide, &wide));
    ck_assert(!cidr_within(&wide, &narrow) && !cidr_within(&narrow, &other));
}
END_TEST

/* Every bit of every byte counts, and no further one does. */
START_TEST(test_every_prefix_length)
{
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct cidr c = { { { 0 }, false }, (uint8_t)bits };
        for (unsigned at = 0; at < 128; at++) {
            struct ip ip = { { 0 }, false };
            ip.bytes[at / 8] = (uint8_t)(0x80 >> at % 8);
            ck_assert_msg(cidr_has(&c, &ip) == (at >= bits), "/%u, bit %u", bits, at);
        }
    }
}
END_TEST

/* ---- the policy ---- */

/* refused: by default; opened: by an entry of just its range, given with 0.0.0.0/0 and ::/0. */
static const struct {
    const char *address;
    bool refused;
} places[] = {
    { "127.0.0.1", false },
    { "10.0.0.1", false },
    { "172.16.0.1", false },
    { "192.168.1.1", false },
    { "100.64.0.1", false },
    { "203.0.113.9", false },
    { "192.0.1.0", false },
    { "223.255.255.255", false },
    { "169.253.255.255", false },
    { "169.255.0.0", false },
    { "::1", false },
    { "fd00::1", false },
    { "2001:db8::1", false },
    { "2606:4700::1", false },
    { "64:ff9b::10.0.0.1", false },
    { "2002:0a00:0001::1", false },
    { "0.0.0.0", true },
    { "0.1.2.3", true },
    { "169.254.0.0", true },
    { "169.254.169.254", true },
    { "169.254.255.255", true },
    { "::ffff:169.254.169.254", true },
    { "64:ff9b::169.254.169.254", true },
    { "2002:a9fe:a9fe::1", true },
    { "::169.254.169.254", true },
    { "100.100.100.200", true },
    { "168.63.129.16", true },
    { "192.0.0.192", true },
    { "224.0.0.1", true },
    { "239.255.255.255", true },
    { "240.0.0.1", true },
    { "255.255.255.255", true },
    { "::", true },
    { "100::1", true },
    { "2001:0:1::1", true },
    { "fd00:ec2::254", true },
    { "fd20:ce::254", true },
    { "fe80::1", true },
    { "febf::1", true },
    { "fec0::1", true },
    { "ff02::1", true },
};

START_TEST(test_default_policy)
{
    struct ip ip = address(places[_i].address);
    const struct egress none = { NULL, 0 };
    ck_assert_msg(!egress_refusal(NULL, &ip) == !places[_i].refused, "%s", places[_i].address);
    ck_assert_ptr_eq(egress_refusal(NULL, &ip), egress_refusal(&none, &ip));

    /* "Everything" does not open what is refused; an entry of its own does. */
    struct cidr all[] = { range("0.0.0.0/0"), range("::/0"), { ip, ip.v4 ? 32 : 128 } };
    const struct egress wide = { all, 2 }, named = { all, 3 };
    ck_assert_msg(!egress_refusal(&wide, &ip) == !places[_i].refused, "%s", places[_i].address);
    const char *why = egress_refusal(&named, &ip);
    bool carried = strstr(places[_i].address, "64:ff9b:") || strstr(places[_i].address, "2002:") ||
                   strcmp(places[_i].address, "::169.254.169.254") == 0;
    ck_assert_msg(!why || carried, "%s: %s", places[_i].address, why);
}
END_TEST

START_TEST(test_list)
{
    struct cidr list[] = { range("10.0.0.0/8"), range("2001:db8::/32") };
    const struct egress e = { list, 2 }, nothing = { list, 0 };
    struct ip in = address("10.9.8.7"), in6 = address("2001:db8::7"), out = address("127.0.0.1");
    ck_assert_ptr_null(egress_refusal(&e, &in));
    ck_assert_ptr_null(egress_refusal(&e, &in6));
    ck_assert_str_eq(egress_refusal(&e, &out), "no range of egress_allow has it");
    ck_assert_ptr_nonnull(egress_refusal(&nothing, &in));
    ck_assert(egress_same(&e, &e) && !egress_same(&e, &nothing) && !egress_same(&e, NULL));
    ck_assert(!egress_same(NULL, &nothing) && egress_same(NULL, NULL));
    struct cidr other[] = { range("10.0.0.0/8"), range("2001:db8::/33") };
    const struct egress f = { other, 2 };
    ck_assert(!egress_same(&e, &f));
}
END_TEST

/* ---- the file ---- */

#define ROUTE                                           \
    "models:\n  base/chat:\n    capabilities: [chat]\n" \
    "    routes: [{backend: w, model: m}]\n"            \
    "    price: {input_uncached_tokens: 0, output_text_tokens: 0}\n"
#define HTTP(host)   "backends:\n  w: {transport: http, address: 'http://" host "'}\n"
#define SOCKET(host) "backends:\n  w: {transport: socket, address: '" host "'}\n"
#define OPENS        "; egress_allow can open it"

static const struct {
    const char *text, *error; /* error NULL: accepted */
} files[] = {
    { HTTP("127.0.0.1:80/v1") ROUTE, NULL },
    { HTTP("[::1]/v1") ROUTE, NULL },
    { SOCKET("unix:/run/x") "egress_allow: []\n" ROUTE, NULL },
    { HTTP("a-name/v1") "egress_allow: []\n" ROUTE, NULL }, /* asked when it is looked up */
    { "egress_allow: [10.0.0.0/8]\n" HTTP("10.2.3.4/v1") ROUTE, NULL },
    { HTTP("169.254.169.254/v1") "egress_allow: [169.254.169.254]\n" ROUTE, NULL },
    { HTTP("169.254.169.254/v1") ROUTE,
      "t.yaml:2:33: backends.w.address: 169.254.169.254 is refused: 169.254.0.0/16 is link-local, "
      "where clouds keep their metadata service" OPENS },
    { HTTP("[::ffff:169.254.169.254]:80/v1") ROUTE,
      "t.yaml:2:33: backends.w.address: ::ffff:169.254.169.254 is refused: 169.254.0.0/16 is "
      "link-local, where clouds keep their metadata service" OPENS },
    { HTTP("[fe80::1]/v1") ROUTE,
      "t.yaml:2:33: backends.w.address: fe80::1 is refused: fe80::/10 is link-local" OPENS },
    { SOCKET("0.0.0.0:7000") ROUTE,
      "t.yaml:2:35: backends.w.address: 0.0.0.0 is refused: 0.0.0.0/8 is no host's address" OPENS },
    { "egress_allow: [10.0.0.0/8]\n" SOCKET("[::1]:7000") ROUTE,
      "t.yaml:3:35: backends.w.address: ::1 is refused: no range of egress_allow has it" OPENS },
    { HTTP("127.0.0.1/v1") ROUTE "egress_allow: [10.0.0.0/8]\n",
      "t.yaml:2:33: backends.w.address: 127.0.0.1 is refused: no range of egress_allow has "
      "it" OPENS },
    { "egress_allow: 10.0.0.0/8\n",
      "t.yaml:1:15: egress_allow: expected a list, not a single value" },
    { "egress_allow: [10.0.0.0/8, ten]\n",
      "t.yaml:1:28: egress_allow[1]: 'ten' is not a range of addresses, e.g. 10.0.0.0/8 or "
      "fd00::/8" },
    { "egress_allow: [10.0.0.1/8]\n",
      "t.yaml:1:16: egress_allow[0]: '10.0.0.1/8' has bits behind its length; did you mean "
      "'10.0.0.0/8'?" },
};

START_TEST(test_file)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    const char *text = files[_i].text;
    enum status status = conf_parse("t.yaml", text, strlen(text), &c, err);
    ck_assert_str_eq(err, files[_i].error ? files[_i].error : "");
    ck_assert_int_eq(status, files[_i].error ? STATUS_BAD_FIELD : STATUS_OK);
    if (c)
        ck_assert_ptr_eq(c->catalog->backends[0].egress, &c->catalog->egress);
    conf_free(c);
}
END_TEST

START_TEST(test_file_printed)
{
    static const char text[] = "egress_allow: [10.0.0.0/8, 192.0.2.1, 'fd00::/8']\n";
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "", *shown = NULL;
    size_t len = 0;
    ck_assert_msg(conf_parse("t.yaml", text, strlen(text), &c, err) == STATUS_OK, "%s", err);
    FILE *f = open_memstream(&shown, &len);
    conf_print(c, f);
    fclose(f);
    ck_assert_ptr_nonnull(
        strstr(shown, "\negress_allow: [\"10.0.0.0/8\", \"192.0.2.1/32\", \"fd00::/8\"]\n"));
    conf_free(c);
    ck_assert_msg(conf_parse("t.yaml", shown, len, &c, err) == STATUS_OK, "%s", err);
    ck_assert_uint_eq(c->catalog->egress.count, 3);
    conf_free(c);
    free(shown);
}
END_TEST

/* ---- an HTTP backend whose name moves ---- */

static const char right[] = JSON_HEAD "Content-Length: 2\r\n\r\n{}";

static struct http_target *target_of(struct rig *r)
{
    return &((struct http_backend *)r->backend)->target;
}

static void look_up_now(struct rig *r)
{
    unsigned before = fake_dns_lookups();
    uv_timer_t *refresh = &target_of(r)->refresh;
    uv_timer_start(refresh, refresh->timer_cb, 0, 0);
    while (fake_dns_lookups() == before || target_of(r)->looking_up)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void open_named(struct rig *r, const char *addresses)
{
    static const struct stub_http_answer a = { .bytes = right };
    char url[96];
    r->stub = stub_http_start(&a, 1, false);
    fake_dns_set("up.test", addresses);
    snprintf(url, sizeof url, "http://up.test%s", strrchr(stub_http_url(r->stub), ':'));
    rig_open_at(r, url, "/v1");
    while (target_of(r)->looking_up)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void expect_call(struct rig *r, enum status status)
{
    struct call c = { 0 };
    enum status s = rig_start(r, &c, CAP_CHAT, false);
    if (s == STATUS_OK) {
        rig_finish(&c);
        s = c.end.status;
    }
    ck_assert_msg(s == status, "%s", status_info(s)->name);
}

/* The name's owner points it at what must not be reached, after the gateway has begun to use it. */
START_TEST(test_rebinding)
{
    struct rig r = { 0 };
    open_named(&r, "127.0.0.1");
    expect_call(&r, STATUS_OK);
    ck_assert_str_eq(r.backend->trouble, "");
    fake_dns_set("up.test", "169.254.169.254,::ffff:169.254.169.254");
    look_up_now(&r);
    ck_assert_str_eq(r.backend->trouble,
                     "up.test is at 169.254.169.254, which is refused: 169.254.0.0/16 is "
                     "link-local, where clouds keep their metadata service");
    for (int i = 0; i < 3; i++)
        expect_call(&r, STATUS_OK);                           /* where it was when it was good */
    ck_assert(strstr(r.backend->trouble, "refused") != NULL); /* an answer does not hide it */
    fake_dns_set("up.test", "169.254.169.254,127.0.0.1");
    look_up_now(&r);
    expect_call(&r, STATUS_OK);
    ck_assert(strstr(target_of(&r)->addresses->list->data, "169.254") == NULL);
    fake_dns_set("up.test", "127.0.0.1");
    look_up_now(&r);
    ck_assert_str_eq(r.backend->trouble, "");
    ck_assert_uint_eq(stub_http_requests(r.stub), 5);
    ck_assert_uint_eq(fake_dns_lookups(), 4); /* libcurl made none, and none was made here */
    ck_assert_uint_eq(fake_dns_lookups_here(), 0);
    rig_close(&r);
}
END_TEST

START_TEST(test_only_refused)
{
    struct rig r = { 0 };
    open_named(&r, "169.254.169.254");
    ck_assert(!r.backend->stats.up);
    expect_call(&r, STATUS_NO_BACKEND);
    ck_assert_uint_eq(r.backend->stats.connects, 0);
    ck_assert_ptr_nonnull(strstr(r.backend->trouble, "169.254.169.254, which is refused"));
    rig_close(&r);
}
END_TEST

/* Nobody listens at the first addresses: the others are tried, on whatever descriptors. */
START_TEST(test_other_address)
{
    static const char *const rows[] = { "127.0.0.9,127.0.0.8,127.0.0.1", "::1,127.0.0.1",
                                        "::1,127.0.0.9,127.0.0.1", "127.0.0.9,127.0.0.1,::1" };
    enum { CALLS = 8, ROUNDS = 3 };
    struct rig r = { .hurry_ms = 0 };
    struct call calls[CALLS];
    open_named(&r, rows[_i]);
    for (int round = 0; round < ROUNDS; round++) {
        memset(calls, 0, sizeof calls);
        for (int i = 0; i < CALLS; i++)
            ck_assert_int_eq(rig_start(&r, &calls[i], CAP_CHAT, false), STATUS_OK);
        for (int i = 0; i < CALLS; i++) {
            rig_finish(&calls[i]);
            ck_assert_msg(calls[i].end.status == STATUS_OK, "%s", r.backend->trouble);
        }
    }
    ck_assert_uint_eq(stub_http_requests(r.stub), CALLS * ROUNDS);
    rig_close(&r);
}
END_TEST

START_TEST(test_unknown_name)
{
    struct rig r = { 0 };
    open_named(&r, "");
    expect_call(&r, STATUS_NO_BACKEND);
    ck_assert_str_eq(r.backend->trouble, "up.test cannot be looked up: unknown node or service");
    fake_dns_set("up.test", "127.0.0.1");
    look_up_now(&r);
    ck_assert_str_eq(r.backend->trouble, "");
    expect_call(&r, STATUS_OK);
    rig_close(&r);
}
END_TEST

/* Were a refused address handed to libcurl by whatever mistake, its socket would not be made. */
START_TEST(test_last_word)
{
    struct rig r = { 0 };
    struct http_addresses wrong = { .refs = 2 };
    char line[96];
    open_named(&r, "127.0.0.1");
    struct http_target *t = target_of(&r);
    struct http_addresses *good = t->addresses;
    snprintf(line, sizeof line, "up.test:%s:169.254.169.254", t->port);
    wrong.list = curl_slist_append(NULL, line);
    t->addresses = &wrong;
    expect_call(&r, STATUS_NO_BACKEND);
    ck_assert_uint_eq(r.backend->stats.connects, 0);
    t->addresses = good;
    rig_close(&r);
    curl_slist_free_all(wrong.list);
}
END_TEST

/* Ways to write an address that the file's reader does not know for one. */
START_TEST(test_disguised)
{
    static const char *const hosts[] = { "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
                                         "169.254.43518", "[::ffff:a9fe:a9fe]" };
    for (int i = 0; i < COUNT(hosts); i++) {
        struct rig r = { 0 };
        char url[64];
        snprintf(url, sizeof url, "http://%s:1", hosts[i]);
        rig_open_at(&r, url, "/v1");
        ck_assert_msg(!r.backend->stats.up, "%s", hosts[i]);
        expect_call(&r, STATUS_NO_BACKEND);
        ck_assert_msg(strstr(r.backend->trouble, "is link-local") != NULL, "%s",
                      r.backend->trouble);
        rig_close(&r);
    }
}
END_TEST

/* ---- a worker's socket ---- */

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void on_spun(uv_timer_t *t)
{
    (void)t;
}

START_TEST(test_worker)
{
    struct cidr only[] = { range("10.0.0.0/8") };
    const struct egress e = { only, 1 };
    struct catalog_backend conf = { .name = "w",
                                    .transport = TRANSPORT_SOCKET,
                                    .address = "worker.test:9",
                                    .concurrency = 1,
                                    .connect_timeout_ms = 1000,
                                    .egress = _i ? &e : NULL };
    uv_loop_t loop;
    uv_timer_t wait;
    struct backend *b = NULL;
    bool closed = false;
    fake_dns_set("worker.test", _i ? "127.0.0.1" : "169.254.169.254,fe80::1");
    uv_loop_init(&loop);
    uv_timer_init(&loop, &wait);
    uv_timer_start(&wait, on_spun, 20, 20);
    ck_assert_int_eq(backend_socket_driver.open(&conf, &loop, &env_system, &b), STATUS_OK);
    while (!b->trouble[0])
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_str_eq(b->trouble,
                     _i ? "no range of egress_allow has it" : "fe80::/10 is link-local");
    ck_assert_uint_eq(fake_dns_lookups_here(), 0);
    backend_socket_driver.close(b, on_closed, &closed);
    uv_close((uv_handle_t *)&wait, NULL);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

Suite *egress_suite(void);
Suite *egress_suite(void)
{
    Suite *s = suite_create("egress");
    TCase *t = tcase_create("policy");
    tcase_add_loop_test(t, test_range, 0, COUNT(ranges));
    tcase_add_test(t, test_range_has);
    tcase_add_test(t, test_every_prefix_length);
    tcase_add_loop_test(t, test_default_policy, 0, COUNT(places));
    tcase_add_test(t, test_list);
    tcase_add_loop_test(t, test_file, 0, COUNT(files));
    tcase_add_test(t, test_file_printed);
    suite_add_tcase(s, t);
    t = tcase_create("drivers");
    tcase_add_test(t, test_rebinding);
    tcase_add_test(t, test_only_refused);
    tcase_add_loop_test(t, test_other_address, 0, 4);
    tcase_add_test(t, test_unknown_name);
    tcase_add_test(t, test_last_word);
    tcase_add_test(t, test_disguised);
    tcase_add_loop_test(t, test_worker, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
