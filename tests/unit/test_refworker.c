/* tests/unit/test_refworker.c -- the reference worker's text: tokenizer, n-gram model, stop
 * strings, chat requests, prefix cache.
 *
 * The reference worker is a program of its own and in no archive, so the parts
 * under test are compiled into this file. */
#include "backends/refworker/chat_order.c"
#include "backends/refworker/fault.c"
#include "backends/refworker/map64.c"
#include "backends/refworker/ngram.c"
#include "backends/refworker/ngram_model.c"
#include "backends/refworker/pieces.c"
#include "backends/refworker/prefix.c"
#include "backends/refworker/stops.c"
#include <check.h>

Suite *refworker_suite(void);

static struct span span_of(const char *text)
{
    return (struct span){ text, strlen(text) };
}

/* --- Tokenizer --------------------------------------------------------------------------------- */

static const struct {
    const char *text, *cut; /* the pieces, separated by '|' */
} piece_cases[] = {
    { "", "" },
    { "a", "a" },
    { "The cat sat.", "The| cat| sat|." },
    { "recommended things", "recommen|ded| things" },
    { " technology", " technol|ogy" },
    { "a  b   c", "a| | b|  | c" },
    { "wait... (yes)", "wait|...| (|yes|)" },
    { "one\n\ntwo\r\n", "one|\n\n|two|\r\n" },
    { "tail ", "tail| " },
    { "x = 'don't'", "x| =| 'don't'" },
    { "\t\tif", "\t\t|if" },
    { "na\303\257ve \303\251t\303\251", "na\303\257ve| \303\251t\303\251" },
    { "\346\250\241\345\236\213\347\275\221", "\346\250\241\345\236\213|\347\275\221" },
    { "\360\237\230\200\360\237\230\200\360\237\230\200",
      "\360\237\230\200\360\237\230\200|\360\237\230\200" },
    { "--------------------", "--------|--------|----" },
};

START_TEST(test_pieces)
{
    char cut[256];
    size_t len = 0;
    struct span left = span_of(piece_cases[_i].text);
    uint32_t expected = pieces_count(left), count = 0;
    for (; left.len > 0; count++) {
        size_t n = piece_len(left);
        ck_assert(n >= 1 && n <= PIECE_BYTES_MAX);
        if (count)
            cut[len++] = '|';
        memcpy(cut + len, left.at, n);
        len += n;
        left = (struct span){ left.at + n, left.len - n };
    }
    cut[len] = '\0';
    ck_assert_str_eq(cut, piece_cases[_i].cut);
    ck_assert_uint_eq(count, expected);
}
END_TEST

/* Any bytes, also no UTF-8 at all: pieces of 1..8 bytes that stay inside the text. */
START_TEST(test_pieces_any_bytes)
{
    uint64_t dice = 7;
    for (int round = 0; round < 2000; round++) {
        char text[40];
        size_t len = mix64_next(&dice) % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)mix64_next(&dice);
        for (size_t at = 0; at < len;) {
            size_t n = piece_len((struct span){ text + at, len - at });
            ck_assert(n >= 1 && n <= PIECE_BYTES_MAX && n <= len - at);
            at += n;
        }
        ck_assert_uint_le(pieces_count((struct span){ text, len }), len);
    }
}
END_TEST

/* --- N-gram text ------------------------------------------------------------------------------- */

static const char corpus[] =
    "The cat sees the dog. The dog sees the cat. A bird sings in the tree. The tree is old.\n\n"
    "The cat climbs the tree and the bird flies away. The dog waits under the tree. A river "
    "runs behind the house. Nobody sees the river at night. The house is old and quiet.";

static const struct ngram_sampling plain = { 1, 1 };

static struct ngram *model_of(const char *text)
{
    char err[256] = "";
    struct ngram *m = ngram_new(span_of(text), err);
    ck_assert_msg(m != NULL, "%s", err);
    return m;
}

static void write_pieces(const struct ngram *m, struct ngram_walk *w,
                         const struct ngram_sampling *s, int count, char *text)
{
    for (; count > 0; count--) {
        struct span piece = ngram_next(m, w, s);
        ck_assert(piece.len >= 1 && piece.len <= PIECE_BYTES_MAX);
        memcpy(text, piece.at, piece.len);
        text += piece.len;
    }
    *text = '\0';
}

START_TEST(test_ngram_repeats_for_a_seed)
{
    struct ngram *m = model_of(corpus);
    char one[1024], two[1024], other[1024];
    struct ngram_walk w;
    ngram_begin(m, span_of("Tell me about the bird"), 5, &w);
    write_pieces(m, &w, &plain, 100, one);
    ngram_begin(m, span_of("Tell me about the bird"), 5, &w);
    write_pieces(m, &w, &plain, 100, two);
    ngram_begin(m, span_of("Tell me about the bird"), 6, &w);
    write_pieces(m, &w, &plain, 100, other);
    ck_assert_str_eq(one, two);
    ck_assert_str_ne(one, other);
    ngram_free(m);
}
END_TEST

/* "river" is in two sentences: the answer opens with one of them, whatever the seed. */
START_TEST(test_ngram_opens_on_topic)
{
    struct ngram *m = model_of(corpus);
    for (uint64_t seed = 0; seed < 20; seed++) {
        char text[64];
        struct ngram_walk w;
        ngram_begin(m, span_of("What about the RIVER?"), seed, &w);
        write_pieces(m, &w, &plain, 2, text);
        ck_assert_msg(!strcmp(text, " A river") || !strcmp(text, " Nobody sees"), "'%s'", text);
    }
    ngram_free(m);
}
END_TEST

/* Every pair of neighbours in the text has been neighbours in the corpus, or a sentence began. */
START_TEST(test_ngram_follows_the_corpus)
{
    struct ngram *m = model_of(corpus);
    static const struct ngram_sampling samplings[] = { { 1, 1 }, { 0, 1 }, { 0.3, 0.5 }, { 2, 0 } };
    for (size_t i = 0; i < 4; i++) {
        struct ngram_walk w;
        ngram_begin(m, span_of(""), 11, &w);
        struct span last = ngram_next(m, &w, &samplings[i]);
        for (int n = 0; n < 500; n++) {
            char pair[2 * PIECE_BYTES_MAX + 1];
            struct span next = ngram_next(m, &w, &samplings[i]);
            snprintf(pair, sizeof pair, "%.*s%.*s", (int)last.len, last.at, (int)next.len, next.at);
            bool at_end = ngram_closes(last);
            ck_assert_msg(at_end || strstr(corpus, pair), "'%s'", pair);
            last = next;
        }
    }
    ngram_free(m);
}
END_TEST

START_TEST(test_ngram_refuses)
{
    char err[256], nul[100] = "words and words and words and words and words and words";
    ck_assert_ptr_null(ngram_new(span_of("too short"), err));
    ck_assert_ptr_nonnull(strstr(err, "too small"));
    ck_assert_ptr_null(ngram_new((struct span){ nul, sizeof nul }, err));
    ck_assert_ptr_nonnull(strstr(err, "NUL"));
}
END_TEST

/* --- Stop strings ------------------------------------------------------------------------------ */

static const struct {
    const char *label, *stop, *before, *text;
    size_t safe;
    bool stopped;
} stop_cases[] = {
    { "no match", "END", "", "hello", 5, false },
    { "whole", "END", "", "hello END more", 6, true },
    { "beginning at the end", "END", "", "hello E", 6, false },
    { "longer beginning", "END", "", "hello EN", 6, false },
    { "false alarm", "END", "hello ", "hello EXTRA", 11, false },
    { "across pieces", "END", "hello ", "hello END", 6, true },
    { "at the start", "END", "", "END", 0, true },
    { "repeats itself", "aab", "", "aaab", 1, true },
};

START_TEST(test_stops)
{
    struct stops s = { .text = { span_of(stop_cases[_i].stop) }, .count = 1 };
    bool stopped;
    size_t safe =
        stops_check(&s, span_of(stop_cases[_i].text), strlen(stop_cases[_i].before), &stopped);
    ck_assert_uint_eq(safe, stop_cases[_i].safe);
    ck_assert(stopped == stop_cases[_i].stopped);
}
END_TEST

/* --- Chat requests ----------------------------------------------------------------------------- */

#define USER(text) "\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

static const struct {
    const char *body, *fault; /* fault: a part of the sentence; NULL: it is fine */
    uint32_t cap, input_tokens, tokens_max, tokens_exact, delay_ms;
} chat_cases[] = {
    { "{" USER("Hi there") "}", NULL, 0, 2, 512, 0, 7 },
    { "{" USER("Hi there") ",\"max_tokens\":3}", NULL, 0, 2, 3, 0, 7 },
    { "{" USER("Hi there") ",\"max_tokens\":3,\"max_completion_tokens\":9}", NULL, 0, 2, 9, 0, 7 },
    { "{" USER("Hi there") ",\"max_tokens\":300}", NULL, 40, 2, 40, 0, 7 },
    { "{" USER("Hi there") "}", NULL, 40, 2, 40, 0, 7 },
    { "{" USER("Hi there") "}", NULL, 4000, 2, 512, 0, 7 },
    { "{" USER("a #tokens=5 #delay=20") "}", NULL, 0, 9, 32768, 5, 20 },
    { "{" USER("a #tokens=50") ",\"max_tokens\":3}", NULL, 0, 5, 3, 3, 7 },
    { "{" USER("a #tokens=x #delay=") "}", NULL, 0, 8, 512, 0, 7 },
    { "{" USER("a #tokens=99999999999") "}", NULL, 0, 6, 32768, 32768, 7 },
    { "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\","
      "\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\"two three\"}]}]}",
      NULL, 0, 5, 512, 0, 7 },
    { "{\"messages\":[{\"role\":\"assistant\",\"content\":null}]}", NULL, 0, 0, 512, 0, 7 },
    { "[]", "JSON object", 0, 0, 0, 0, 0 },
    { "{}", "messages", 0, 0, 0, 0, 0 },
    { "{\"messages\":[]}", "messages", 0, 0, 0, 0, 0 },
    { "{\"messages\":[1]}", "messages[0].role", 0, 0, 0, 0, 0 },
    { "{\"messages\":[{\"role\":\"king\",\"content\":\"\"}]}", "'king'", 0, 0, 0, 0, 0 },
    { "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", 0, 0, 0, 0, 0 },
    { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", "'image_url'",
      0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"n\":2}", "n must be 1", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"seed\":1e999}", "real number overflow", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"tools\":[{}]}", "tools: ", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"functions\":[{}]}", "functions: ", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"response_format\":{\"type\":\"json_object\"}}", "response_format: ", 0, 0,
      0, 0, 0 },
    { "{" USER("a") ",\"modalities\":[\"text\",\"audio\"]}", "modalities: ", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"logprobs\":true}", "logprobs: ", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"logit_bias\":{\"1\":5}}", "logit_bias: ", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"presence_penalty\":-0.5}", "presence_penalty: ", 0, 0, 0, 0, 0 },
    { "{" USER(
          "a") ",\"tools\":[],\"functions\":null,\"response_format\":{\"type\":\"text\"},"
               "\"modalities\":[\"text\"],\"logprobs\":false,\"logit_bias\":{},\"frequency_penalty\":0.0,"
               "\"user\":\"u\",\"metadata\":{\"a\":\"b\"}}",
      NULL, 0, 1, 512, 0, 7 },
    { "{" USER("a") ",\"max_tokens\":0}", "max_tokens", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"max_tokens\":\"9\"}", "max_tokens", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"temperature\":2.1}", "temperature", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"top_p\":-1}", "top_p", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"seed\":1.5}", "seed", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"stop\":\"\"}", "stop", 0, 0, 0, 0, 0 },
    { "{" USER("a") ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "stop", 0, 0, 0, 0, 0 },
};

START_TEST(test_chat_orders)
{
    struct chat_limits limits = { .max_output_tokens = chat_cases[_i].cap, .delay_ms = 7 };
    struct chat_order o;
    struct fault f = { 0 };
    bool ok = chat_order_read(span_of(chat_cases[_i].body), &limits, &o, &f);
    ck_assert_msg(ok == !chat_cases[_i].fault, "%s", f.text);
    if (ok) {
        ck_assert_uint_eq(o.input_tokens, chat_cases[_i].input_tokens);
        ck_assert_uint_eq(o.tokens_max, chat_cases[_i].tokens_max);
        ck_assert_uint_eq(o.tokens_exact, chat_cases[_i].tokens_exact);
        ck_assert_uint_eq(o.delay_ms, chat_cases[_i].delay_ms);
    } else {
        ck_assert_msg(strstr(f.text, chat_cases[_i].fault) != NULL, "%s", f.text);
        ck_assert_int_eq(f.code, 400);
    }
    chat_order_clear(&o);
}
END_TEST

static const struct {
    const char *body, *fault;
    uint32_t input_tokens, tokens_max;
    bool echo;
} completion_cases[] = {
    { "{\"prompt\":\"Hi there\"}", NULL, 2, 16, false },
    { "{\"prompt\":\"\"}", NULL, 0, 16, false },
    { "{\"prompt\":[\"Hi there\"],\"max_tokens\":90,\"echo\":true}", NULL, 2, 90, true },
    { "{\"prompt\":\"a\",\"suffix\":null,\"best_of\":1}", NULL, 1, 16, false },
    { "{}", "prompt", 0, 0, false },
    { "{\"prompt\":[]}", "prompt", 0, 0, false },
    { "{\"prompt\":[\"a\",\"b\"]}", "prompt", 0, 0, false },
    { "{\"prompt\":[1,2]}", "token ids", 0, 0, false },
    { "{\"prompt\":[[1,2]]}", "token ids", 0, 0, false },
    { "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix", 0, 0, false },
    { "{\"prompt\":\"a\",\"n\":2}", "n must be 1", 0, 0, false },
    { "{\"prompt\":\"a\",\"best_of\":3}", "best_of must be 1", 0, 0, false },
};

START_TEST(test_completion_orders)
{
    struct chat_limits limits = { .completion = true };
    struct chat_order o;
    struct fault f = { 0 };
    bool ok = chat_order_read(span_of(completion_cases[_i].body), &limits, &o, &f);
    ck_assert_msg(ok == !completion_cases[_i].fault, "%s", f.text);
    if (ok) {
        ck_assert_uint_eq(o.input_tokens, completion_cases[_i].input_tokens);
        ck_assert_uint_eq(o.tokens_max, completion_cases[_i].tokens_max);
        ck_assert_int_eq(o.echo, completion_cases[_i].echo);
    } else {
        ck_assert_msg(strstr(f.text, completion_cases[_i].fault) != NULL, "%s", f.text);
    }
    chat_order_clear(&o);
}
END_TEST

START_TEST(test_chat_seed_and_prompt)
{
    struct chat_limits limits = { 0 };
    struct chat_order a, b, c;
    struct fault f;
    ck_assert(chat_order_read(span_of("{" USER("one") "}"), &limits, &a, &f));
    ck_assert(chat_order_read(span_of("{" USER("two") "}"), &limits, &b, &f));
    ck_assert(chat_order_read(span_of("{" USER("one") ",\"seed\":4}"), &limits, &c, &f));
    ck_assert_uint_ne(a.seed, b.seed);
    ck_assert_uint_ne(a.seed, c.seed);
    ck_assert(span_is(a.prompt, "one"));
    chat_order_clear(&a);
    chat_order_clear(&b);
    chat_order_clear(&c);
}
END_TEST

START_TEST(test_prefix_cache)
{
    struct prefix_cache *cache = calloc(1, sizeof *cache);
    struct chat_limits limits = { .prefix = cache };
    struct chat_order o;
    struct fault f;
    static const char *const turns[] = {
        "{" USER("one two") "}",
        "{" USER("one two") "}",
        ("{\"messages\":[{\"role\":\"user\",\"content\":\"one two\"},{\"role\":\"assistant\","
         "\"content\":\"three\"},{\"role\":\"user\",\"content\":\"four five six\"}]}"),
        "{\"messages\":[{\"role\":\"system\",\"content\":\"one two\"}]}",
    };
    static const uint32_t fresh[] = { 2, 0, 4, 2 }, cached[] = { 0, 2, 2, 0 };
    for (int i = 0; i < 4; i++) {
        ck_assert(chat_order_read(span_of(turns[i]), &limits, &o, &f));
        ck_assert_uint_eq(o.input_tokens, fresh[i]);
        ck_assert_uint_eq(o.cached_tokens, cached[i]);
        chat_order_clear(&o);
    }
    free(cache);
}
END_TEST

START_TEST(test_prefix_cache_forgets_the_oldest)
{
    struct prefix_cache *cache = calloc(1, sizeof *cache);
    for (uint64_t i = 0; i <= PREFIX_WAYS; i++) /* one more than a set holds */
        ck_assert(!prefix_visit(cache, (struct prefix_mark){ 0, i }));
    ck_assert(prefix_visit(cache, (struct prefix_mark){ 0, PREFIX_WAYS }));
    ck_assert(prefix_visit(cache, (struct prefix_mark){ 0, 1 }));
    ck_assert(!prefix_visit(cache, (struct prefix_mark){ 0, 0 }));
    free(cache);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

Suite *refworker_suite(void)
{
    Suite *s = suite_create("refworker");
    TCase *t = tcase_create("text");
    tcase_add_loop_test(t, test_pieces, 0, ROWS(piece_cases));
    tcase_add_test(t, test_pieces_any_bytes);
    tcase_add_test(t, test_ngram_repeats_for_a_seed);
    tcase_add_test(t, test_ngram_opens_on_topic);
    tcase_add_test(t, test_ngram_follows_the_corpus);
    tcase_add_test(t, test_ngram_refuses);
    tcase_add_loop_test(t, test_stops, 0, ROWS(stop_cases));
    tcase_add_loop_test(t, test_chat_orders, 0, ROWS(chat_cases));
    tcase_add_loop_test(t, test_completion_orders, 0,
                        sizeof completion_cases / sizeof *completion_cases);
    tcase_add_test(t, test_chat_seed_and_prompt);
    tcase_add_test(t, test_prefix_cache);
    tcase_add_test(t, test_prefix_cache_forgets_the_oldest);
    suite_add_tcase(s, t);
    return s;
}
