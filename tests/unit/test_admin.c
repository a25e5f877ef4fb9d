/* tests/unit/test_admin.c -- the admin socket from outside: who, what, and what comes back.
 *
 * A real ledger, a real reader thread and a real socket; the client and the main
 * loop take turns in one thread.
 */
#include "conf/catalog.h"
#include "gateway/admin.h"
#include "gateway/admin_args.h"
#include "gateway/reader.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "gen/unit_suites.h"

enum { TURNS_MAX = 10000, LINE_MAX_BYTES = 1024 * 1024 };

static const uint8_t pepper[PEPPER_BYTES_MIN] = "thirty-two bytes of pepper......";
static char nothing[] = "", socket_path[sizeof((struct sockaddr_un *)0)->sun_path],
            default_budget[] = "100.00";
static struct fixture f;
static struct env env;
static uv_loop_t loop;
static struct daemon d;
static struct admin *admin;
static struct catalog catalog;
static struct conf conf;

static void fill_conf(void)
{
    catalog = (struct catalog){ .currency = "USD", .price_book = "test" };
    conf = (struct conf){
        .admin_socket = socket_path,
        .state_dir = f.dir,
        .default_requests_per_minute = 600,
        .default_tokens_per_minute = 100000,
        .default_concurrency = 8,
        .default_budget = default_budget,
        .currency_minor_digits = 2,
        .seller_name = nothing,
        .seller_tax_id = nothing,
        .seller_address = nothing,
        .invoice_series = nothing,
        .catalog = &catalog,
    };
}

static void open_all(void)
{
    char path[128], err[256] = "";
    signal(SIGPIPE, SIG_IGN); /* as in the daemon: clients that leave must not end it */
    fixture_init(&f);
    snprintf(socket_path, sizeof socket_path, "%s/admin.sock", f.dir);
    fill_conf();
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    env = f.env;
    env.random = env_system.random; /* the fixture's dice always show the same */
    d = (struct daemon){ .env = &env, .main_loop = &loop, .conf = &conf, .ledger = f.ledger };
    d.keyring = keyring_new(pepper, sizeof pepper);
    ck_assert_ptr_nonnull(d.keyring);
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_msg(reader_open(path, 5000, &d.reader, err) == STATUS_OK, "%s", err);
    ck_assert_msg(admin_open(&d, &admin, err) == STATUS_OK, "%s", err);
}

static void close_all(void)
{
    admin_close(admin);
    ck_assert_int_eq(access(socket_path, F_OK), -1);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    reader_close(d.reader);
    keyring_free(d.keyring);
    fixture_free(&f);
}

/* ---- the client ---- */

static struct sockaddr_un address(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    memcpy(a.sun_path, socket_path, sizeof a.sun_path);
    return a;
}

static int dial(void)
{
    struct sockaddr_un a = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text, size_t len)
{
    for (int turn = 0; len > 0; turn++) {
        ck_assert_int_lt(turn, TURNS_MAX);
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent > 0) {
            text += sent;
            len -= (size_t)sent;
        } else if (sent < 0 && errno != EAGAIN) {
            return; /* the daemon has closed */
        }
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* One line without its newline, "" at the end of the connection. */
static const char *hear(int fd)
{
    static char line[LINE_MAX_BYTES];
    size_t used = 0;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t got = recv(fd, line + used, 1, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return "";
        if (got < 0) {
            struct pollfd wait = { .fd = fd, .events = POLLIN };
            poll(&wait, 1, 1);
        } else if (line[used] == '\n') {
            line[used] = '\0';
            return line;
        } else {
            turn = 0;
            ck_assert_uint_lt(++used, sizeof line);
        }
    }
    ck_abort_msg("no answer");
    return NULL;
}

static json_t *ask_json(const char *request)
{
    int fd = dial();
    say(fd, request, strlen(request));
    say(fd, "\n", 1);
    json_t *answer = json_loads(hear(fd), 0, NULL);
    ck_assert_ptr_nonnull(answer);
    close(fd);
    return answer;
}

static void ask_ok(const char *request)
{
    json_t *answer = ask_json(request);
    char *text = json_dumps(answer, 0);
    ck_assert_msg(json_is_true(json_object_get(answer, "ok")), "%s: %s", request, text);
    free(text);
    json_decref(answer);
}

static const char *in_result(json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, "result"), key));
    ck_assert_ptr_nonnull(text);
    return text;
}

#define PROJECT "{\"command\":\"project.create\",\"args\":{\"slug\":\"acme\"}}"

/* ---- one line, one answer ---- */

static const struct {
    const char *request, *expect; /* a part of the answer */
} line_cases[] = {
    { "{\"command\":\"health\"}", "\"ledger\":true" },
    { "{\"command\":\"help\"}", "\"project.set_budget\"" },
    { "{\"command\":\"models\"}", "\"models\":[]" },
    { "{\"command\":\"project.list\"}", "\"slug\":\"acme\"" },
    { "{\"command\":\"project.list\",\"args\":{}}", "\"budget\":\"100.00\"" },
    { "{\"command\":\"key.list\"}", "\"keys\":[]" },
    { "{\"command\":\"key.list\",\"args\":{\"project\":\"none\"}}", "\"keys\":[]" },
    { "{\"command\":\"usage\"}", "\"data\":[]" },
    { "{\"command\":\"usage\",\"args\":{\"month\":\"2026-10\"}}", "2026-11-01" },
    { "{\"command\":\"audit\"}", "\"checks\":[" },
    { "{\"command\":\"project.set_budget\",\"args\":{\"slug\":\"acme\",\"budget\":\"7\"}}",
      "\"budget\":\"7.00\"" },
    { "{\"command\":\"invoice.get\",\"args\":{\"organization\":\"acme\",\"month\":\"2026-10\"}}",
      "\"ok\":true" },
    { "{\"command\":\"invoice.get\",\"args\":{\"organization\":\"acme\",\"month\":\"2026-10\","
      "\"format\":\"csv\"}}",
      "\"csv\":\"" },
    /* refused */
    { "", "invalid_json" },
    { "[]", "invalid_json" },
    { "{\"command\":1}", "\"field\":\"command\"" },
    { "{\"args\":{}}", "missing_required_parameter" },
    { "{\"command\":\"nonsense\"}", "there is no command 'nonsense'" },
    { "{\"command\":\"health\",\"args\":{\"x\":1}}", "unsupported_parameter" },
    { "{\"command\":\"health\",\"more\":1}", "unsupported_parameter" },
    { PROJECT, "exists already" },
    { "{\"command\":\"project.create\",\"args\":{\"slug\":\"Not Good\"}}", "invalid_value" },
    { "{\"command\":\"project.create\",\"args\":{\"slug\":\"b\",\"budget\":\"-1\"}}",
      "\"field\":\"budget\"" },
    { "{\"command\":\"project.create\",\"args\":{\"slug\":\"b\",\"budget\":\"1e9\"}}",
      "\"field\":\"budget\"" },
    { "{\"command\":\"project.create\",\"args\":{\"slug\":\"b\",\"budget_period\":\"week\"}}",
      "month or total" },
    { "{\"command\":\"project.set_budget\",\"args\":{\"slug\":\"none\",\"budget\":\"7\"}}",
      "not_found" },
    { "{\"command\":\"key.create\",\"args\":{\"project\":\"none\"}}", "not_found" },
    { "{\"command\":\"key.create\",\"args\":{\"project\":\"acme\",\"requests_per_minute\":-1}}",
      "\"field\":\"requests_per_minute\"" },
    { "{\"command\":\"key.create\",\"args\":{\"project\":\"acme\",\"expires\":\"yesterday\"}}",
      "\"field\":\"expires\"" },
    { "{\"command\":\"key.create\",\"args\":{\"project\":\"acme\",\"revoked_us\":0}}",
      "unsupported_parameter" },
    { "{\"command\":\"key.revoke\",\"args\":{\"name\":\"' OR 1=1\"}}", "not_found" },
    { "{\"command\":\"usage\",\"args\":{\"month\":\"2026-13\"}}", "\"field\":\"month\"" },
    { "{\"command\":\"usage\",\"args\":{\"month\":\"2026-11\",\"to\":\"2026-12-01\"}}",
      "\"field\":\"month\"" },
    { "{\"command\":\"usage\",\"args\":{\"from\":\"2026-11-02\",\"to\":\"2026-11-01\"}}",
      "\"field\":\"from\"" },
    { "{\"command\":\"usage\",\"args\":{\"group_by\":\"price; DROP TABLE\"}}",
      "\"field\":\"group_by\"" },
    { "{\"command\":\"usage\",\"args\":{\"project\":\"none\"}}", "not_found" },
    { "{\"command\":\"invoice.get\",\"args\":{\"organization\":\"none\",\"month\":\"2026-10\"}}",
      "not_found" },
    { "{\"command\":\"invoice.get\",\"args\":{\"organization\":\"acme\",\"month\":\"2026-10\","
      "\"format\":\"pdf\"}}",
      "\"field\":\"format\"" },
    { "{\"command\":\"invoice.issue\",\"args\":{\"organization\":\"acme\",\"month\":\"2026-11\"}}",
      "has not ended" },
};

START_TEST(test_lines)
{
    ask_ok(PROJECT);
    json_t *answer = ask_json(line_cases[_i].request);
    char *text = json_dumps(answer, JSON_COMPACT);
    ck_assert_msg(strstr(text, line_cases[_i].expect), "%s: %s", line_cases[_i].request, text);
    free(text);
    json_decref(answer);
}
END_TEST

/* ---- keys are in force when the answer is there ---- */

START_TEST(test_key_lives_and_dies_with_the_answer)
{
    struct key *k = NULL;
    ask_ok(PROJECT);
    json_t *made = ask_json("{\"command\":\"key.create\",\"args\":{\"project\":\"acme\","
                            "\"label\":\"ci\",\"requests_per_minute\":3,\"expires\":\"1d\"}}");
    const char *text = in_result(made, "key");
    struct span key = { text, strlen(text) };
    ck_assert_int_eq(keyring_check(d.keyring, key, FIXTURE_NOW_US, &k), STATUS_OK);
    ck_assert_int_eq(k->limits.requests.units, 3);
    ck_assert_int_eq(k->limits.concurrency, 8);
    ck_assert_int_eq(keyring_check(d.keyring, key, FIXTURE_NOW_US + DAY_US, &k),
                     STATUS_KEY_EXPIRED);
    ask_ok("{\"command\":\"key.revoke\",\"args\":{\"name\":\"acme/ci\"}}");
    ck_assert_int_eq(keyring_check(d.keyring, key, FIXTURE_NOW_US, &k), STATUS_BAD_KEY);
    json_t *list = ask_json("{\"command\":\"key.list\"}");
    char *dump = json_dumps(list, 0);
    ck_assert_ptr_nonnull(strstr(dump, "\"revoked\""));
    ck_assert_ptr_null(strstr(dump, text));
    ck_assert_ptr_null(strstr(dump, "digest"));
    free(dump);
    json_decref(list);
    json_decref(made);
}
END_TEST

START_TEST(test_budget_is_in_force)
{
    ask_ok(PROJECT);
    fixture_catalog(&f);
    struct ledger_hold h = fixture_hold_of(&f, 1, INT64_C(50) * 10000000000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ask_ok("{\"command\":\"project.set_budget\",\"args\":{\"slug\":\"acme\",\"budget\":\"60\"}}");
    h = fixture_hold_of(&f, 1, INT64_C(11) * 10000000000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_NO_QUOTA);
}
END_TEST

/* ---- connections ---- */

START_TEST(test_lines_come_in_any_pieces)
{
    static const char two[] = "{\"command\":\"health\"}\n{\"command\":\"project.list\"}\n";
    int fd = dial();
    for (size_t i = 0; i < sizeof two - 1; i++)
        say(fd, two + i, 1);
    ck_assert_ptr_nonnull(strstr(hear(fd), "\"version\""));
    ck_assert_ptr_nonnull(strstr(hear(fd), "\"projects\""));
    say(fd, two, sizeof two - 1);
    ck_assert_ptr_nonnull(strstr(hear(fd), "\"version\""));
    ck_assert_ptr_nonnull(strstr(hear(fd), "\"projects\""));
    close(fd);
}
END_TEST

START_TEST(test_endless_line)
{
    static char flood[2 * LINE_MAX_BYTES];
    memset(flood, ' ', sizeof flood);
    int fd = dial();
    say(fd, flood, sizeof flood);
    ck_assert_str_eq(hear(fd), "");
    close(fd);
    ask_ok("{\"command\":\"health\"}");
}
END_TEST

START_TEST(test_too_many_connections)
{
    int fds[16];
    for (int i = 0; i < 16; i++) {
        fds[i] = dial();
        say(fds[i], "{\"command\":\"health\"}\n", 21);
        ck_assert_ptr_nonnull(strstr(hear(fds[i]), "true"));
    }
    int late = dial();
    ck_assert_ptr_nonnull(strstr(hear(late), "too many administrative connections"));
    ck_assert_str_eq(hear(late), "");
    close(late);
    for (int i = 0; i < 16; i++)
        close(fds[i]);
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ask_ok("{\"command\":\"health\"}");
}
END_TEST

/* close_all proves that nothing is left of them. */
START_TEST(test_clients_that_leave)
{
    for (int i = 0; i < 50; i++) {
        int fd = dial();
        say(fd, PROJECT "\n" PROJECT "\n", 2 * sizeof PROJECT);
        if (i % 2)
            uv_run(&loop, UV_RUN_NOWAIT);
        close(fd);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}
END_TEST

/* ---- the socket itself ---- */

START_TEST(test_only_the_owner_may_open_it)
{
    struct stat st;
    ck_assert_int_eq(stat(socket_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

/* As `uid`, with the file's mode out of the way: the peer check alone decides. */
static const char *answer_for(uid_t uid, char *line, size_t size)
{
    int ends[2];
    ck_assert_int_eq(chmod(socket_path, 0666), 0);
    ck_assert_int_eq(chmod(f.dir, 0755), 0);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un a = address();
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char answer[512];
        if (setuid(uid) != 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
            _exit(1);
        if (write(fd, "{\"command\":\"health\"}\n", 21) < 0)
            _exit(1);
        ssize_t len = read(fd, answer, sizeof answer);
        _exit(len > 0 && write(ends[1], answer, (size_t)len) == len ? 0 : 1);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ssize_t len = -1;
    for (int turn = 0; len < 0 && turn < TURNS_MAX; turn++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        struct pollfd wait = { .fd = ends[0], .events = POLLIN };
        poll(&wait, 1, 1);
        len = read(ends[0], line, size - 1);
    }
    waitpid(child, NULL, 0);
    close(ends[0]);
    line[len > 0 ? len : 0] = '\0';
    return line;
}

START_TEST(test_peers)
{
    char line[512];
    ck_assert_ptr_nonnull(strstr(answer_for(geteuid(), line, sizeof line), "\"ok\":true"));
    if (geteuid() == 0) /* only root can become somebody else to try */
        ck_assert_ptr_nonnull(strstr(answer_for(65534, line, sizeof line), "permission_denied"));
}
END_TEST

static enum status open_second(char err[static 256])
{
    struct admin *second = NULL;
    enum status status = admin_open(&d, &second, err);
    if (status == STATUS_OK)
        admin_close(second);
    return status;
}

START_TEST(test_two_daemons)
{
    char err[256];
    ck_assert_int_eq(open_second(err), STATUS_BAD_FIELD);
    ck_assert_ptr_nonnull(strstr(err, "another daemon answers"));
    ask_ok("{\"command\":\"health\"}");
}
END_TEST

START_TEST(test_what_is_in_the_way)
{
    char err[256], own[sizeof socket_path];
    snprintf(own, sizeof own, "%s", socket_path);
    snprintf(socket_path, sizeof socket_path, "%s/other.sock", f.dir);
    struct sockaddr_un a = address();
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
    close(stale); /* bound, and nobody listens: what a killed daemon leaves */
    ck_assert_int_eq(open_second(err), STATUS_OK);
    int file = open(socket_path, O_CREAT | O_WRONLY, 0600);
    close(file);
    ck_assert_int_eq(open_second(err), STATUS_BAD_FIELD);
    ck_assert_ptr_nonnull(strstr(err, "not a socket"));
    unlink(socket_path);
    ck_assert_int_eq(chmod(f.dir, 0777), 0);
    ck_assert_int_eq(open_second(err), STATUS_BAD_FIELD);
    ck_assert_ptr_nonnull(strstr(err, "others can write"));
    ck_assert_int_eq(chmod(f.dir, 0700), 0);
    snprintf(socket_path, sizeof socket_path, "%s", own);
}
END_TEST

/* ---- dates ---- */

static const struct {
    const char *text;
    int64_t us; /* < 0: refused */
} time_cases[] = {
    { "1970-01-01", 0 },
    { "2026-11-15", FIXTURE_NOW_US - 12 * HOUR_US },
    { "2026-11-15T12:00:00Z", FIXTURE_NOW_US },
    { "2024-02-29", INT64_C(1709164800000000) },
    { "2026-02-29", -1 },
    { "2026-1-5", -1 },
    { " 2026-11-15", -1 },
    { "2026-11-15 ", -1 },
    { "2026-11-15T12:00", -1 },
    { "1969-12-31", -1 },
    { "", -1 },
};

START_TEST(test_times)
{
    int64_t us = -1;
    ck_assert(admin_read_time(time_cases[_i].text, &us) == (time_cases[_i].us >= 0));
    ck_assert_int_eq(us, time_cases[_i].us);
}
END_TEST

static const struct {
    const char *text;
    int64_t ahead_us; /* < 0: refused */
} expiry_cases[] = {
    { "30d", 30 * DAY_US }, { "12h", 12 * HOUR_US }, { "2026-11-16", 12 * HOUR_US },
    { "0d", -1 },           { "-1d", -1 },           { "d", -1 },
    { "30", -1 },           { "30m", -1 },           { "99999d", -1 },
    { "999999d", -1 },      { "2026-11-15", -1 },    { "2126-11-15", -1 },
};

START_TEST(test_expiries)
{
    int64_t us = FIXTURE_NOW_US - 1;
    bool ok = admin_read_expiry(expiry_cases[_i].text, FIXTURE_NOW_US, &us);
    ck_assert(ok == (expiry_cases[_i].ahead_us >= 0));
    ck_assert_int_eq(us - FIXTURE_NOW_US, expiry_cases[_i].ahead_us);
    ck_assert_int_eq(admin_month_start(FIXTURE_NOW_US),
                     FIXTURE_NOW_US - 14 * DAY_US - 12 * HOUR_US);
}
END_TEST

Suite *admin_suite(void)
{
    Suite *s = suite_create("admin");
    TCase *dates = tcase_create("dates");
    tcase_add_loop_test(dates, test_times, 0, sizeof time_cases / sizeof *time_cases);
    tcase_add_loop_test(dates, test_expiries, 0, sizeof expiry_cases / sizeof *expiry_cases);
    suite_add_tcase(s, dates);
    TCase *wire = tcase_create("socket");
    tcase_add_checked_fixture(wire, open_all, close_all);
    tcase_set_timeout(wire, 60);
    tcase_add_loop_test(wire, test_lines, 0, sizeof line_cases / sizeof *line_cases);
    tcase_add_test(wire, test_key_lives_and_dies_with_the_answer);
    tcase_add_test(wire, test_budget_is_in_force);
    tcase_add_test(wire, test_lines_come_in_any_pieces);
    tcase_add_test(wire, test_endless_line);
    tcase_add_test(wire, test_too_many_connections);
    tcase_add_test(wire, test_clients_that_leave);
    tcase_add_test(wire, test_only_the_owner_may_open_it);
    tcase_add_test(wire, test_peers);
    tcase_add_test(wire, test_two_daemons);
    tcase_add_test(wire, test_what_is_in_the_way);
    suite_add_tcase(s, wire);
    return s;
}
