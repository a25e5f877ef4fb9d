/* tests/unit/test_log.c -- one fact is one line, and a stuck reader stops nobody. */
#include "base/log.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include "gen/unit_suites.h"

static int pipe_fds[2];
static char seen[1 << 20];
static uint64_t dropped_before; /* by the tests before, when they are not forked */

static void setup(void)
{
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), 0);
    unsetenv("JOURNAL_STREAM");
    log_to(pipe_fds[1]);
    log_set_level(LEVEL_INFO);
    seen[0] = '\0';
    dropped_before = log_dropped();
}

static uint64_t dropped(void)
{
    return log_dropped() - dropped_before;
}

static void teardown(void)
{
    log_to(STDERR_FILENO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* Everything that is in the pipe, appended to what was seen before. */
static const char *drain(void)
{
    size_t len = strlen(seen);
    ssize_t n;
    while ((n = read(pipe_fds[0], seen + len, sizeof seen - len - 1)) > 0)
        len += (size_t)n;
    seen[len] = '\0';
    return seen;
}

/* What follows the time, which is not compared. */
static const char *after_time(const char *line)
{
    ck_assert_msg(strlen(line) > 25 && line[10] == 'T' && line[23] == 'Z', "%s", line);
    return line + 25;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* How often lines were reported as dropped: each report is a line of its own. */
static size_t count_reports(const char *text)
{
    size_t reports = 0;
    while ((text = strstr(text, "log_lines_dropped"))) {
        reports++;
        text++;
    }
    return reports;
}

static const struct {
    const char *text, *line;
} texts[] = {
    { "start version=1", "level=info start version=1\n" },
    { "a\nlevel=error b", "level=info a\\nlevel=error b\n" },
    { "a\r\tb", "level=info a\\x0d\\x09b\n" },
    { "\x1b[31mred", "level=info \\x1b[31mred\n" },
    { "\x7f", "level=info \\x7f\n" },
    { "\xc2\x9b"
      "31m",
      "level=info \\xc2\x9b"
      "31m\n" },
    { "\xe6\xb0\xb4", "level=info \xe6\xb0\xb4\n" },
    { "\xc2\xa0", "level=info \xc2\xa0\n" },
    { "", "level=info \n" },
};
enum { TEXTS = sizeof texts / sizeof *texts };

START_TEST(a_text_is_one_clean_line)
{
    log_info("%s", texts[_i].text);
    ck_assert_str_eq(after_time(drain()), texts[_i].line);
}
END_TEST

START_TEST(blame_and_level_are_named)
{
    static const char *const ends[] = { "level=error blame=bug a\n", "level=warning blame=peer b\n",
                                        "level=error blame=env c\n", "level=warning d\n" };
    log_bug("a");
    log_peer("b");
    log_env("c");
    log_warning("d");
    log_debug("not shown");
    const char *line = drain();
    for (size_t i = 0; i < 4; i++) {
        ck_assert(strncmp(after_time(line), ends[i], strlen(ends[i])) == 0);
        line = strchr(line, '\n') + 1;
    }
    ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(levels_are_found_and_set)
{
    enum log_level level = LEVEL_ERROR;
    ck_assert(log_level_find("debug", &level));
    ck_assert_int_eq(level, LEVEL_DEBUG);
    ck_assert(!log_level_find("verbose", &level));
    log_set_level(LEVEL_DEBUG);
    log_debug("shown");
    log_set_level(LEVEL_ERROR);
    log_warning("hidden");
    ck_assert_uint_eq(count_lines(drain()), 1);
}
END_TEST

START_TEST(the_journal_gets_priorities)
{
    char stream[64];
    struct stat st;
    ck_assert_int_eq(fstat(pipe_fds[1], &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_to(pipe_fds[1]);
    log_env("disk full");
    log_info("fine");
    ck_assert_str_eq(drain(), "<3>level=error blame=env disk full\n<6>level=info fine\n");
    unsetenv("JOURNAL_STREAM");
    log_to(pipe_fds[1]);
}
END_TEST

static const struct {
    const char *unit; /* repeated */
    size_t times;
    bool cut;
} lengths[] = {
    { "x", 1000, false }, { "x", 1900, false }, { "x", 1951, false },   { "x", 1952, true },
    { "x", 5000, true },  { "\n", 500, false }, { "\x01", 400, false }, { "\x01", 1900, true },
};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

START_TEST(a_line_has_a_length)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < lengths[_i].times; i++)
        ck_assert(buf_text(&b, lengths[_i].unit));
    log_info("%s", b.at);
    const char *line = drain();
    size_t len = strlen(line);
    ck_assert_uint_eq(count_lines(line), 1);
    ck_assert_uint_le(len, LOG_LINE_BYTES_MAX);
    ck_assert_msg((strcmp(line + len - 4, "...\n") == 0) == lengths[_i].cut, "%zu", len);
}
END_TEST

static const struct {
    const char *text, *quoted;
} quotes[] = {
    { "", "\"\"" },
    { "plain", "\"plain\"" },
    { "a b=c", "\"a b=c\"" },
    { "say \"x\"", "\"say \\\"x\\\"\"" },
    { "back\\slash", "\"back\\\\slash\"" },
};
enum { QUOTES = sizeof quotes / sizeof *quotes };

START_TEST(values_are_quoted)
{
    char buf[LOG_QUOTE_BYTES], long_text[1000];
    ck_assert_str_eq(log_quote(quotes[_i].text, buf), quotes[_i].quoted);
    memset(long_text, '"', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    size_t len = strlen(log_quote(long_text, buf));
    ck_assert_uint_lt(len, LOG_QUOTE_BYTES);
    ck_assert_int_eq(buf[len - 1], '"');
    ck_assert_int_eq(len % 2, 0); /* no escape was cut in two */
}
END_TEST

START_TEST(the_thread_writes_all_in_order)
{
    ck_assert(log_start());
    for (int i = 0; i < 100; i++)
        log_info("line %d", i);
    log_stop();
    log_info("line 100"); /* afterwards at once */
    const char *line = drain();
    for (int i = 0; i <= 100; i++) {
        int number = -1;
        ck_assert_int_eq(sscanf(after_time(line), "level=info line %d\n", &number), 1);
        ck_assert_int_eq(number, i);
        line = strchr(line, '\n') + 1;
    }
    log_stop();
    ck_assert(log_start()); /* and it can be started again */
    log_info("again");
    log_stop();
    ck_assert_ptr_nonnull(strstr(drain(), "again"));
}
END_TEST

/* Nobody reads: the pipe fills, then the queue, and callers go on all the same. */
START_TEST(a_stuck_reader_costs_lines_not_time)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    ck_assert(log_start());
    for (int i = 0; i < 3000; i++)
        log_info("%s", text);
    ck_assert_uint_gt(dropped(), 0);
    for (int i = 0; i < 10000 && !strstr(drain(), "log_lines_dropped"); i++)
        usleep(1000);
    log_stop();
    const char *report = strstr(drain(), "log_lines_dropped lines=");
    ck_assert_ptr_nonnull(report);
    ck_assert_uint_le(count_lines(seen) - count_reports(seen) + dropped(), 3000);
}
END_TEST

START_TEST(stopping_does_not_wait_for_a_stuck_reader)
{
    ck_assert_int_gt(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096), 0);
    ck_assert(log_start());
    for (int i = 0; i < 300; i++)
        log_info("%0100d", i);
    log_stop(); /* would hang for good if the thread were in write() */
}
END_TEST

static void *log_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        log_info("line %d", i);
    return NULL;
}

START_TEST(many_threads_log)
{
    pthread_t threads[4];
    ck_assert(log_start());
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_much, NULL), 0);
    for (int i = 0; i < 200; i++) {
        drain();
        usleep(100);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 5000 && count_lines(drain()) + dropped() < 4000; i++)
        usleep(1000);
    log_stop();
    ck_assert_uint_ge(count_lines(drain()) + dropped(), 4000);
}
END_TEST

Suite *log_suite(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_text_is_one_clean_line, 0, TEXTS);
    tcase_add_test(t, blame_and_level_are_named);
    tcase_add_test(t, levels_are_found_and_set);
    tcase_add_test(t, the_journal_gets_priorities);
    tcase_add_loop_test(t, a_line_has_a_length, 0, LENGTHS);
    tcase_add_loop_test(t, values_are_quoted, 0, QUOTES);
    tcase_add_test(t, the_thread_writes_all_in_order);
    tcase_add_test(t, a_stuck_reader_costs_lines_not_time);
    tcase_add_test(t, stopping_does_not_wait_for_a_stuck_reader);
    tcase_add_test(t, many_threads_log);
    suite_add_tcase(s, t);
    return s;
}
