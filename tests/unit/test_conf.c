/* tests/unit/test_conf.c -- settings and backends: every way in which a file can be wrong,
 * with the sentence that the operator then reads; secrets; reload; printing and help. */
#include "base/buf.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "conf/reader.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKER "backends:\n  w: {transport: shm, address: /run/w.sock}\n"
#define MODELS WORKER "models:\n"
#define CHAT                                                                         \
    "  base/chat:\n    capabilities: [chat]\n    routes: [{backend: w, model: m}]\n" \
    "    price: {input_uncached_tokens: 0, output_text_tokens: 0}\n"

/* clang-format off */
static const struct {
    const char *label, *text, *error;
} bad_files[] = {
    { "duplicate key", "listen: a:1\ncurrency: EUR\nlisten: b:2\n",
      "t.yaml:3:1: the key 'listen' was already given in line 1" },
    { "duplicate key, quoted", "listen: a:1\n\"listen\": b:2\n",
      "t.yaml:2:1: the key 'listen' was already given in line 1" },
    { "duplicate model", MODELS CHAT CHAT,
      "t.yaml:8:3: the key 'base/chat' was already given in line 4" },
    { "anchor", "listen: &a 127.0.0.1:1\n",
      "t.yaml:1:9: anchors ('&a') are not allowed" },
    { "alias", "listen: *a\n",
      "t.yaml:1:9: aliases ('*a') are not allowed" },
    { "merge key", "<<: *a\n",
      "t.yaml:1:5: aliases ('*a') are not allowed" },
    { "tag", "listen: !!str a:1\n",
      "t.yaml:1:9: tags ('tag:yaml.org,2002:str') are not allowed" },
    { "tag directive", "%TAG ! tag:x,2000:\n---\nlisten: a:1\n",
      "t.yaml:1:1: %TAG is not allowed" },
    { "two documents", "listen: a:1\n---\nlisten: b:1\n",
      "t.yaml:2:1: a second document begins here; one is allowed" },
    { "list as key", "[a]: b\n",
      "t.yaml:1:1: a key must be plain text" },
    { "map as key", "{a: b}: c\n",
      "t.yaml:1:1: a key must be plain text" },
    { "root is a list", "- listen\n",
      "t.yaml:1:1: expected a map of keys, not a list" },
    { "root is text", "hello\n",
      "t.yaml:1:1: expected a map of keys, not a single value" },
    { "nested", "models: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n",
      "t.yaml:1:24: nested more than 16 levels deep" },
    { "unclosed", "models: {a: [\n",
      "t.yaml:2:1: did not find expected node content while parsing a flow node" },
    { "tab", "models:\n\tbase/chat: {}\n",
      "t.yaml:2:1: found character that cannot start any token while scanning for the next "
      "token" },
    { "bad indent", "listen: a:1\n  currency: EUR\n",
      "t.yaml:2:11: mapping values are not allowed in this context" },
    { "invalid UTF-8", "currency: EUR\nlisten: \377\n",
      "t.yaml:2:9: invalid leading UTF-8 octet" },
    { "control character", "listen: \001\n",
      "t.yaml:1:9: control characters are not allowed" },
    { "NUL", "listen: \"a\\0b\"\n",
      "t.yaml:1:9: a NUL character is not allowed" },
    { "unknown by words", "max_bdy: 1\n",
      "t.yaml:1:1: unknown setting 'max_bdy'; did you mean 'body_bytes_max'?" },
    { "unknown near", "liste: a:1\n",
      "t.yaml:1:1: unknown setting 'liste'; did you mean 'listen'?" },
    { "unknown, dash", "body-bytes-max: 1M\n",
      "t.yaml:1:1: unknown setting 'body-bytes-max'; did you mean 'body_bytes_max'?" },
    { "unknown far", "frobnicate: 1\n",
      "t.yaml:1:1: unknown setting 'frobnicate'; maasgated --help-config lists all" },
    { "empty key", "\"\": 1\n",
      "t.yaml:1:1: unknown setting ''; maasgated --help-config lists all" },
    { "no value", "listen:\n",
      "t.yaml:1:8: listen: has no value; write \"\" for an empty text" },
    { "map for a value", "listen: {a: b}\n",
      "t.yaml:1:1: listen: expected a single value, not a map of keys" },
    { "list for a value", "log_level: [info]\n",
      "t.yaml:1:1: log_level: expected a single value, not a list" },
    { "not a number", "header_fields_max: many\n",
      "t.yaml:1:20: header_fields_max: 'many' is not a number from 16 to 1000, e.g. '100'" },
    { "negative", "header_fields_max: -1\n",
      "t.yaml:1:20: header_fields_max: '-1' is not a number from 16 to 1000, e.g. '100'" },
    { "fraction", "header_fields_max: 100.5\n",
      "t.yaml:1:20: header_fields_max: '100.5' is not a number from 16 to 1000, e.g. '100'" },
    { "too small", "header_fields_max: 15\n",
      "t.yaml:1:20: header_fields_max: '15' is not a number from 16 to 1000, e.g. '100'" },
    { "too large", "header_fields_max: 1001\n",
      "t.yaml:1:20: header_fields_max: '1001' is not a number from 16 to 1000, e.g. '100'" },
    { "too large for 64 bits", "body_bytes_max: 99999999999999999999\n",
      "t.yaml:1:17: body_bytes_max: '99999999999999999999' is not a size from 1K to 1G, e.g. "
      "'32M'" },
    { "unit overflow", "bodies_bytes_max: 18014398509481985K\n",
      "t.yaml:1:19: bodies_bytes_max: '18014398509481985K' is not a size from 1M to 64G, "
      "e.g. '256M'" },
    { "wrong unit", "body_bytes_max: 32MB\n",
      "t.yaml:1:17: body_bytes_max: '32MB' is not a size from 1K to 1G, e.g. '32M'" },
    { "size in a time", "idle_timeout_ms: 10K\n",
      "t.yaml:1:18: idle_timeout_ms: '10K' is not a time from 100ms to 1h, e.g. '75s'" },
    { "time out of range", "header_timeout_ms: 2h\n",
      "t.yaml:1:20: header_timeout_ms: '2h' is not a time from 100ms to 1h, e.g. '10s'" },
    { "space before unit", "header_timeout_ms: 10 s\n",
      "t.yaml:1:20: header_timeout_ms: '10 s' is not a time from 100ms to 1h, e.g. '10s'" },
    { "listen without port", "listen: 127.0.0.1\n",
      "t.yaml:1:9: listen: '127.0.0.1' is not HOST:PORT, [V6]:PORT or unix:/PATH" },
    { "listen port too large", "listen: 127.0.0.1:65536\n",
      "t.yaml:1:9: listen: '127.0.0.1:65536' is not HOST:PORT, [V6]:PORT or unix:/PATH" },
    { "listen v6 without brackets", "listen: ::1:80\n",
      "t.yaml:1:9: listen: '::1:80' is not HOST:PORT, [V6]:PORT or unix:/PATH" },
    { "listen relative unix", "listen: unix:run/x\n",
      "t.yaml:1:9: listen: 'unix:run/x' is not HOST:PORT, [V6]:PORT or unix:/PATH" },
    { "listen empty", "listen: \"\"\n",
      "t.yaml:1:9: listen: is 0 bytes long; expected 1 to 300" },
    { "relative path", "state_dir: state\n",
      "t.yaml:1:12: state_dir: is not an absolute path" },
    { "socket path too long",
      "admin_socket: "
      "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxx\n",
      "t.yaml:1:15: admin_socket: is 108 bytes long; expected 1 to 107" },
    { "newline in a text", "seller_name: \"a\\nb\"\n",
      "t.yaml:1:14: seller_name: 'a?b' is not one line of printable text" },
    { "currency", "currency: usd\n",
      "t.yaml:1:11: currency: 'usd' is not three capital letters, e.g. 'USD'" },
    { "budget", "default_budget: -1\n",
      "t.yaml:1:17: default_budget: '-1' is not an amount of money, e.g. '100.00'" },
    { "log level", "log_level: loud\n",
      "t.yaml:1:12: log_level: 'loud' is not one of error|warning|info|debug" },
    { "invoice series empty", "invoice_series: \"\"\n",
      "t.yaml:1:17: invoice_series: is 0 bytes long; expected 1 to 16" },
    { "answers less than an answer", "answers_bytes_max: 16M\n",
      "t.yaml:1:1: answers_bytes_max is 16M, less than answer_bytes_max, which is 64M" },
    { "bodies less than a body", "bodies_bytes_max: 16M\n",
      "t.yaml:1:1: bodies_bytes_max is 16M, less than body_bytes_max, which is 32M" },
    { "a body more than all bodies", "body_bytes_max: 512M\n",
      "t.yaml:1:1: bodies_bytes_max is 256M, less than body_bytes_max, which is 512M" },
    { "per address above all", "connections_max: 100\nconnections_per_ip_max: 200\n",
      "t.yaml:2:25: connections_per_ip_max: has no effect: connections_max is 100" },
    { "same listeners", "listen: a:1\nmetrics_listen: a:1\n",
      "t.yaml:2:17: metrics_listen: is the same as listen" },
    { "price book empty", "price_book: \"\"\n",
      "t.yaml:1:13: price_book: is 0 bytes long; expected 1 to 64" },
    { "backends is text", "backends: none\n",
      "t.yaml:1:11: backends: expected a map of keys, not a single value" },
    { "backend name", "backends:\n  Big One: {transport: shm, address: /w}\n",
      "t.yaml:2:3: backends: 'Big One' is not a name; expected [a-z0-9][a-z0-9._-]{0,62}" },
    { "backend without keys", "backends:\n  w:\n",
      "t.yaml:2:5: backends.w: has no value; expected a map of keys" },
    { "backend transport missing", "backends:\n  w: {address: /w}\n",
      "t.yaml:2:3: backends.w: 'transport' is missing; expected shm|socket|http" },
    { "backend transport unknown", "backends:\n  w: {transport: tcp, address: /w}\n",
      "t.yaml:2:18: backends.w.transport: 'tcp' is not one of shm|socket|http" },
    { "backend key", "backends:\n  w: {transport: shm, address: /w, concurency: 3}\n",
      "t.yaml:2:36: backends.w: unknown key 'concurency'; did you mean 'concurrency'?" },
    { "backend concurrency", "backends:\n  w: {transport: shm, address: /w, concurrency: 0}\n",
      "t.yaml:2:49: backends.w.concurrency: '0' is not a number from 1 to 65536" },
    { "queue time", "backends:\n  w: {transport: shm, address: /w, queue_max: 0, "
      "queue_timeout_ms: 1s}\n",
      "t.yaml:2:50: backends.w: 'queue_timeout_ms' has no effect: queue_max is 0" },
    { "backend time", "backends:\n  w: {transport: shm, address: /w, chunk_timeout_ms: never}\n",
      "t.yaml:2:54: backends.w.chunk_timeout_ms: 'never' is not a time from 100ms to 1h" },
    { "shm address", "backends:\n  w: {transport: shm, address: unix:/w}\n",
      "t.yaml:2:32: backends.w.address: is not the /PATH of a worker's socket" },
    { "socket address", "backends:\n  w: {transport: socket, address: /w}\n",
      "t.yaml:2:35: backends.w.address: is not unix:/PATH or HOST:PORT" },
    { "http address", "backends:\n  w: {transport: http, address: host:80}\n",
      "t.yaml:2:33: backends.w.address: is not a base URL such as https://host/v1, without "
      "user, query or fragment" },
    { "http user", "backends:\n  w: {transport: http, address: 'https://u:p@host/v1'}\n",
      "t.yaml:2:33: backends.w.address: is not a base URL such as https://host/v1, without "
      "user, query or fragment" },
    { "http query", "backends:\n  w: {transport: http, address: 'https://host/v1?k=v'}\n",
      "t.yaml:2:33: backends.w.address: is not a base URL such as https://host/v1, without "
      "user, query or fragment" },
    { "http port", "backends:\n  w: {transport: http, address: 'https://host:x/v1'}\n",
      "t.yaml:2:33: backends.w.address: is not a base URL such as https://host/v1, without "
      "user, query or fragment" },
    { "secret on shm", "backends:\n  w: {transport: shm, address: /w, secret_file: /s}\n",
      "t.yaml:2:36: backends.w: 'secret_file' has no effect with transport shm" },
    { "secret relative",
      "backends:\n  w: {transport: http, address: 'http://h', secret_file: s}\n",
      "t.yaml:2:58: backends.w.secret_file: is not an absolute path" },
    { "secret missing",
      "backends:\n  w: {transport: http, address: 'http://h', secret_file: /nonexistent/s}\n",
      "t.yaml:2:58: backends.w.secret_file: '/nonexistent/s' cannot be read: No such file or "
      "directory" },
    { "secret not a file",
      "backends:\n  w: {transport: http, address: 'http://h', secret_file: /}\n",
      "t.yaml:2:58: backends.w.secret_file: '/' is not a regular file" },
    { "ca without https", "backends:\n  w: {transport: http, address: 'http://h', ca_file: /s}\n",
      "t.yaml:2:45: backends.w: 'ca_file' has no effect without https" },
    { "http_version without https",
      "backends:\n  w: {transport: http, address: 'http://h', http_version: auto}\n",
      "t.yaml:2:45: backends.w: 'http_version' has no effect without https" },
    { "http_version", "backends:\n  w: {transport: http, address: 'https://h', http_version: 2}\n",
      "t.yaml:2:60: backends.w.http_version: '2' is not one of auto|1.1" },
    { "ca missing",
      "backends:\n  w: {transport: http, address: 'https://h', ca_file: /nonexistent/s}\n",
      "t.yaml:2:55: backends.w.ca_file: '/nonexistent/s' cannot be read: No such file or "
      "directory" },
    { "on_disconnect", "backends:\n  w: {transport: shm, address: /w, on_disconnect: stop}\n",
      "t.yaml:2:51: backends.w.on_disconnect: 'stop' is not one of cancel|drain" },
    { "drain of what is cancelled",
      "backends:\n  w: {transport: shm, address: /w, drain_timeout_ms: 1s}\n",
      "t.yaml:2:36: backends.w: 'drain_timeout_ms' has no effect without on_disconnect: drain" },
    { "drained calls of what is cancelled",
      "backends:\n  w: {transport: shm, address: /w, on_disconnect: cancel, drain_calls_max: 2}\n",
      "t.yaml:2:59: backends.w: 'drain_calls_max' has no effect without on_disconnect: drain" },
    { "unused backend", WORKER,
      "t.yaml:2:3: backends: the backend 'w' has no effect: no model has a route to it" },
};
/* clang-format on */

START_TEST(test_bad_file)
{
    struct conf *untouched = NULL;
    char err[CONF_ERROR_BYTES] = "";
    const char *text = bad_files[_i].text;
    ck_assert_msg(conf_parse("t.yaml", text, strlen(text), &untouched, err) == STATUS_BAD_FIELD,
                  "%s: accepted", bad_files[_i].label);
    ck_assert_str_eq(err, bad_files[_i].error);
    ck_assert_ptr_null(untouched);
}
END_TEST

static struct conf *parsed(const char *text)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    enum status status = conf_parse("t.yaml", text, strlen(text), &c, err);
    ck_assert_msg(status == STATUS_OK, "%s", err);
    return c;
}

static char *printed(const struct conf *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    conf_print(c, f);
    fclose(f);
    return text;
}

static const struct {
    const char *text;
    size_t offset;
    uint64_t value;
} good_numbers[] = {
    { "body_bytes_max: 4096", offsetof(struct conf, body_bytes_max), 4096 },
    { "body_bytes_max: 32K", offsetof(struct conf, body_bytes_max), 32 << 10 },
    { "body_bytes_max: '2M'", offsetof(struct conf, body_bytes_max), 2 << 20 },
    { "bodies_bytes_max: 1G", offsetof(struct conf, bodies_bytes_max), 1 << 30 },
    { "idle_timeout_ms: 250", offsetof(struct conf, idle_timeout_ms), 250 },
    { "idle_timeout_ms: 250ms", offsetof(struct conf, idle_timeout_ms), 250 },
    { "idle_timeout_ms: 10s", offsetof(struct conf, idle_timeout_ms), 10000 },
    { "idle_timeout_ms: 2m", offsetof(struct conf, idle_timeout_ms), 120000 },
    { "idle_timeout_ms: 1h", offsetof(struct conf, idle_timeout_ms), 3600000 },
    { "header_fields_max: 0100", offsetof(struct conf, header_fields_max), 100 },
    { "loop_threads: 0", offsetof(struct conf, loop_threads), 0 },
    { "", offsetof(struct conf, connections_max), 4096 },
    { "---\n", offsetof(struct conf, connections_per_ip_max), 256 },
    { "# nothing\n", offsetof(struct conf, header_bytes_max), 16 << 10 },
    { "{}", offsetof(struct conf, header_fields_max), 100 },
    { "\xef\xbb\xbfidle_timeout_ms: 1s\r\n", offsetof(struct conf, idle_timeout_ms), 1000 },
};

START_TEST(test_good_number)
{
    struct conf *c = parsed(good_numbers[_i].text);
    uint64_t value;
    memcpy(&value, (char *)c + good_numbers[_i].offset, sizeof value);
    ck_assert_uint_eq(value, good_numbers[_i].value);
    conf_free(c);
}
END_TEST

START_TEST(test_text_stays_as_written)
{
    struct conf *c = parsed("seller_name: 0123\nseller_tax_id: yes\nseller_address: ~\n"
                            "invoice_series: 1_000\nlisten: unix:/run/x\n");
    ck_assert_str_eq(c->seller_name, "0123");
    ck_assert_str_eq(c->seller_tax_id, "yes");
    ck_assert_str_eq(c->seller_address, "~");
    ck_assert_str_eq(c->invoice_series, "1_000");
    ck_assert_str_eq(c->listen, "unix:/run/x");
    ck_assert_uint_eq(c->catalog->model_count, 0);
    conf_free(c);
}
END_TEST

/* The rows are in order, their defaults are valid and the documentation names each. */
START_TEST(test_table)
{
    size_t rows = 0;
    for (const struct conf_row *row = conf_table; row->key; row++, rows++) {
        ck_assert_msg(!rows || strcmp(row[-1].key, row->key) < 0, "%s: not in order", row->key);
        ck_assert_ptr_nonnull(row->doc);
    }
    for (const struct conf_key *k = top_keys; k->key; k++)
        rows++;
    ck_assert_uint_lt(rows, 64);
    conf_free(parsed(""));
}
END_TEST

START_TEST(test_defaults_are_marked)
{
    struct conf *c = parsed("body_bytes_max: 16M\nlisten: \"[::1]:80\"\nidle_timeout_ms: 75000\n");
    char *text = printed(c);
    ck_assert_ptr_nonnull(strstr(text, "\nbody_bytes_max: 16M\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nlisten: \"[::1]:80\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nidle_timeout_ms: 75s # default\n"));
    ck_assert_ptr_nonnull(strstr(text, "\ncurrency: \"USD\" # default\n"));
    free(text);
    conf_free(c);
}
END_TEST

static const struct {
    const char *now, *next;
    bool may;
    const char *error;
} reloads[] = {
    { "", "", true, "" },
    { "body_bytes_max: 1M", "body_bytes_max: 1024K", true, "" },
    { "", "body_bytes_max: 1M", true, "" },
    { "", "log_level: debug", true, "" },
    { "", MODELS CHAT, true, "" },
    { "", "listen: 127.0.0.1:8080", true, "" },
    { "", "default_budget: 5", true, "" },
    { "", "listen: 127.0.0.1:8081", false,
      "listen cannot change while running (from '127.0.0.1:8080' to '127.0.0.1:8081'); restart "
      "instead" },
    { "state_dir: /a", "state_dir: /b", false,
      "state_dir cannot change while running (from '/a' to '/b'); restart instead" },
    { "", "loop_threads: 3", false,
      "loop_threads cannot change while running (from '0' to '3'); restart instead" },
    { "", "header_bytes_max: 64K", false,
      "header_bytes_max cannot change while running (from '16K' to '64K'); restart instead" },
    { "", "currency: EUR", false,
      "currency cannot change while running (from 'USD' to 'EUR'); restart instead" },
};

START_TEST(test_reload)
{
    struct conf *now = parsed(reloads[_i].now), *next = parsed(reloads[_i].next);
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_int_eq(conf_may_reload(now, next, err), reloads[_i].may);
    ck_assert_str_eq(err, reloads[_i].error);
    conf_free(now);
    conf_free(next);
}
END_TEST

/* What is printed gives the same configuration again. */
static void check_round_trip(struct conf *first)
{
    char *once = printed(first);
    struct conf *second = parsed(once);
    char *twice = printed(second);
    ck_assert_str_eq(once, twice);
    ck_assert_str_eq(first->catalog->price_text, second->catalog->price_text);
    ck_assert_mem_eq(first->catalog->price_sha256, second->catalog->price_sha256, 32);
    conf_free(first);
    conf_free(second);
    free(once);
    free(twice);
}

START_TEST(test_example)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_msg(conf_load("conf/maasgate.yaml.example", &c, err) == STATUS_OK, "%s", err);
    ck_assert_uint_eq(c->catalog->model_count, 7);
    ck_assert_str_eq(c->catalog->price_book, "list-2026");
    check_round_trip(c);
}
END_TEST

START_TEST(test_round_trip_of_odd_text)
{
    check_round_trip(parsed(
        MODELS "  base/chat:\n    description: \"a\\tb\\nc \\u2028 \\xa0 \\ufeff \xe4\xb8\xad\"\n"
               "    owned_by: '{\"x\": # y}'\n    created: 2024-02-29\n    capabilities: [chat]\n"
               "    routes: [{backend: w, model: '\"q\\'}]\n    price: {requests: 3/1k, "
               "input_uncached_tokens: 1.5/7, output_text_tokens: 0.006/60000}\n"
               "    recipe: {system: \"\\x7f \\x01 \xf0\x9f\x98\x80 \\\\ \\\" : - #\", params: "
               "{temperature: -0, presence_penalty: -1.25, seed: -7, stop: \"\\n\"}}\n"
               "  base/b: {parent: base/chat, life: deprecated, life_note: base/chat}\n"));
}
END_TEST

/* docs/settings.md is what the tables say now. */
START_TEST(test_docs_are_fresh)
{
    char *now = NULL, *kept = NULL;
    size_t len = 0, room = 0;
    FILE *f = open_memstream(&now, &len);
    conf_help(f, true);
    fclose(f);
    f = fopen("docs/settings.md", "r");
    ck_assert_msg(f != NULL, "docs/settings.md is missing: make docs");
    ck_assert_int_gt(getdelim(&kept, &room, '\0', f), 0);
    fclose(f);
    ck_assert_msg(!strcmp(now, kept), "docs/settings.md is not fresh: make docs");
    free(now);
    free(kept);
}
END_TEST

START_TEST(test_help_names_everything)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    conf_help(f, false);
    fclose(f);
    for (const struct conf_row *row = conf_table; row->key; row++)
        ck_assert_msg(strstr(text, row->key) != NULL, "%s", row->key);
    for (const struct conf_key *k = model_keys; k->key; k++)
        ck_assert_msg(strstr(text, k->key) != NULL, "%s", k->key);
    free(text);
}
END_TEST

static char dir[32];
static char file[64];

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/maas-conf-XXXXXX"); /* again for each test without forking */
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/file", dir);
}

static void remove_dir(void)
{
    unlink(file);
    rmdir(dir);
}

static void write_file(const char *bytes, size_t len, mode_t mode)
{
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
    fclose(f);
    ck_assert_int_eq(chmod(file, mode), 0);
}

static char many_bytes[4098];

static const struct {
    const char *bytes;
    size_t len;
    mode_t mode;
    const char *secret, *error; /* error: after "'PATH' " */
} secrets[] = {
    { "sk-1\n", 5, 0600, "sk-1", NULL },
    { "a b", 3, 0640, "a b", NULL },
    { "sk-1\n", 5, 0604, NULL, "can be read by everyone; run: chmod 600 " },
    { "", 0, 0600, NULL, "holds 0 bytes; expected 1 to 4096" },
    { "\n", 1, 0600, NULL, "holds 0 bytes; expected 1 to 4096" },
    { "a\n\n", 3, 0600, NULL, "has a byte that is not printable ASCII" },
    { "a\0b", 3, 0600, NULL, "has a byte that is not printable ASCII" },
    { "\xc3\xa9", 2, 0600, NULL, "has a byte that is not printable ASCII" },
    { many_bytes, 4096, 0600, many_bytes, NULL },
    { many_bytes, 4097, 0600, NULL, "holds 4097 bytes; expected 1 to 4096" },
};

START_TEST(test_secret)
{
    memset(many_bytes, 'x', sizeof many_bytes - 1);
    char text[400], err[CONF_ERROR_BYTES] = "", expected[300];
    snprintf(text, sizeof text,
             "backends:\n  w: {transport: http, address: 'https://h/v1', secret_file: %s}\n"
             "models:\n" CHAT,
             file);
    write_file(secrets[_i].bytes, secrets[_i].len, secrets[_i].mode);
    struct conf *c = NULL;
    enum status status = conf_parse("t.yaml", text, strlen(text), &c, err);
    if (!secrets[_i].secret) {
        snprintf(expected, sizeof expected, "'%s' %s", file, secrets[_i].error);
        ck_assert_int_eq(status, STATUS_BAD_FIELD);
        ck_assert_msg(strstr(err, expected) != NULL, "%s", err);
        return;
    }
    ck_assert_msg(status == STATUS_OK, "%s", err);
    const char *secret = c->catalog->backends[0].secret;
    size_t len = secrets[_i].secret == many_bytes ? 4096 : strlen(secrets[_i].secret);
    ck_assert_uint_eq(strlen(secret), len);
    ck_assert_mem_eq(secret, secrets[_i].secret, len);
    char *shown = printed(c);
    ck_assert_ptr_null(strstr(shown, secret));
    ck_assert_ptr_nonnull(strstr(shown, "# holds ********\n"));
    free(shown);
    check_round_trip(c);
}
END_TEST

START_TEST(test_files_that_cannot_be_read)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_int_eq(conf_load("/nonexistent/x.yaml", &c, err), STATUS_NOT_FOUND);
    ck_assert_str_eq(err, "/nonexistent/x.yaml: cannot be read: No such file or directory");
    ck_assert_int_eq(conf_load("/", &c, err), STATUS_BAD_FIELD);
    ck_assert_str_eq(err, "/: cannot be read: Is a directory");
    FILE *f = fopen(file, "w");
    for (size_t i = 0; i <= YAML_BYTES_MAX; i++)
        fputc('#', f);
    fclose(f);
    ck_assert_int_eq(conf_load(file, &c, err), STATUS_BAD_FIELD);
    ck_assert_msg(strstr(err, "file:1:1: the file is larger than 4194304 bytes") != NULL, "%s",
                  err);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

Suite *conf_suite(void)
{
    Suite *s = suite_create("conf");
    TCase *t = tcase_create("settings");
    tcase_add_loop_test(t, test_bad_file, 0, COUNT(bad_files));
    tcase_add_loop_test(t, test_good_number, 0, COUNT(good_numbers));
    tcase_add_test(t, test_text_stays_as_written);
    tcase_add_test(t, test_table);
    tcase_add_loop_test(t, test_reload, 0, COUNT(reloads));
    tcase_add_test(t, test_defaults_are_marked);
    tcase_add_test(t, test_example);
    tcase_add_test(t, test_round_trip_of_odd_text);
    tcase_add_test(t, test_docs_are_fresh);
    tcase_add_test(t, test_help_names_everything);
    suite_add_tcase(s, t);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_dir, remove_dir);
    tcase_add_loop_test(files, test_secret, 0, COUNT(secrets));
    tcase_add_test(files, test_files_that_cannot_be_read);
    suite_add_tcase(s, files);
    return s;
}
