/* tests/unit/test_refworker_media.c -- the reference worker's vectors, images and tensors:
 * requests read and answers written.
 *
 * The parts under test are compiled into this file, but for fault.c, which test_refworker.c
 * brings into the same program. */
#include "backends/refworker/base64.c"
#include "backends/refworker/embed.c"
#include "backends/refworker/embed_order.c"
#include "backends/refworker/image_order.c"
#include "backends/refworker/json_text.c"
#include "backends/refworker/pattern.c"
#include "backends/refworker/png.c"
#include "backends/refworker/simple.c"
#include <check.h>

Suite *refworker_media_suite(void);

static struct span span_of(const char *text)
{
    return (struct span){ text, strlen(text) };
}

/* --- Embeddings -------------------------------------------------------------------------------- */

static double likeness(const char *left, const char *right)
{
    int32_t a[EMBED_DIMENSIONS_MAX], b[EMBED_DIMENSIONS_MAX];
    double product = 0;
    embed_text(span_of(left), 256, a);
    embed_text(span_of(right), 256, b);
    for (int i = 0; i < 256; i++)
        product += (double)embed_float(a[i]) * (double)embed_float(b[i]);
    return product;
}

START_TEST(test_embed_lengths_and_likeness)
{
    static const uint32_t sizes[] = { 1, 2, 256, 1024 };
    for (size_t s = 0; s < 4; s++) {
        int32_t v[EMBED_DIMENSIONS_MAX];
        double squares = 0;
        embed_text(span_of("a quick brown fox"), sizes[s], v);
        for (uint32_t i = 0; i < sizes[s]; i++)
            squares += (double)embed_float(v[i]) * (double)embed_float(v[i]);
        ck_assert_double_eq_tol(squares, 1, 1e-5);
    }
    ck_assert_double_eq_tol(likeness("", ""), 1, 1e-5);
    ck_assert_double_gt(likeness("the credit risk of a loan", "loans and their credit risks"),
                        likeness("the credit risk of a loan", "a garden with tomatoes") + 0.2);
}
END_TEST

static const struct {
    const char *body, *fault;
    size_t count;
    uint32_t dimensions;
} embed_cases[] = {
    { "{\"input\":\"hello\"}", NULL, 1, 256 },
    { "{\"input\":\"\"}", NULL, 1, 256 },
    { "{\"input\":[\"a\",\"b\"],\"dimensions\":3,\"encoding_format\":\"base64\"}", NULL, 2, 3 },
    { "{}", "input", 0, 0 },
    { "{\"input\":[]}", "input", 0, 0 },
    { "{\"input\":[1,2]}", "token ids", 0, 0 },
    { "{\"input\":[[1,2]]}", "token ids", 0, 0 },
    { "{\"input\":[\"a\",null]}", "input", 0, 0 },
    { "{\"input\":\"a\",\"dimensions\":1025}", "dimensions", 0, 0 },
    { "{\"input\":\"a\",\"dimensions\":0}", "dimensions", 0, 0 },
    { "{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format", 0, 0 },
};

START_TEST(test_embed_orders)
{
    struct embed_order o;
    struct fault f = { 0 };
    bool ok = embed_order_read(span_of(embed_cases[_i].body), &o, &f);
    ck_assert_msg(ok == !embed_cases[_i].fault, "%s", f.text);
    if (ok) {
        ck_assert_uint_eq(o.count, embed_cases[_i].count);
        ck_assert_uint_eq(o.dimensions, embed_cases[_i].dimensions);
    } else {
        ck_assert_msg(strstr(f.text, embed_cases[_i].fault) != NULL, "%s", f.text);
    }
    json_decref(o.tree);
}
END_TEST

static size_t decode_base64(const char *text, uint8_t *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (; *text && *text != '='; text++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *text) - digits);
        have += 6;
        if (have >= 8)
            bytes[len++] = (uint8_t)(bits >> (have -= 8));
    }
    return len;
}

/* What a client decodes from base64 and what it reads from decimals is the same float. */
START_TEST(test_embed_formats_agree)
{
    struct embed_order o;
    struct fault f;
    struct buf decimal, packed;
    buf_init(&decimal, 1 << 20);
    buf_init(&packed, 1 << 20);
    ck_assert(embed_order_read(span_of("{\"input\":\"some words to embed\"}"), &o, &f));
    ck_assert(embed_write(&o, 0, &decimal));
    o.base64 = true;
    ck_assert(embed_write(&o, 0, &packed));
    json_t *numbers = json_loads(decimal.at, 0, NULL), *text = json_loads(packed.at, 0, NULL);
    json_t *list = json_object_get(numbers, "embedding");
    uint8_t bytes[EMBED_DIMENSIONS_MAX * 4 + 4];
    ck_assert_uint_eq(decode_base64(json_string_value(json_object_get(text, "embedding")), bytes),
                      1024);
    ck_assert_uint_eq(json_array_size(list), 256);
    for (size_t i = 0; i < 256; i++) {
        uint32_t bits = (uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 |
                        (uint32_t)bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24;
        float decoded, read = (float)json_number_value(json_array_get(list, i));
        memcpy(&decoded, &bits, sizeof decoded);
        ck_assert(decoded <= read && decoded >= read);
    }
    json_decref(numbers);
    json_decref(text);
    json_decref(o.tree);
    buf_free(&decimal);
    buf_free(&packed);
}
END_TEST

START_TEST(test_base64_in_pieces)
{
    static const char *const expected[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                            "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t len = 0; len <= 6; len++)
        for (size_t cut = 0; cut <= len; cut++) {
            struct base64 b = { 0 };
            struct buf out;
            buf_init(&out, 64);
            ck_assert(base64_add(&b, "foobar", cut, &out));
            ck_assert(base64_add(&b, &"foobar"[cut], len - cut, &out));
            ck_assert(base64_end(&b, &out));
            ck_assert_str_eq(out.at ? out.at : "", expected[len]);
            buf_free(&out);
        }
}
END_TEST

/* --- Images ------------------------------------------------------------------------------------ */

static const struct {
    const char *body, *fault;
    uint32_t count, size;
} image_cases[] = {
    { "{\"prompt\":\"a\"}", NULL, 1, 512 },
    { "{\"prompt\":\"a\",\"n\":4,\"size\":\"1024x1024\",\"response_format\":\"b64_json\"}", NULL, 4,
      1024 },
    { "{\"prompt\":\"a\",\"n\":null,\"size\":\"auto\",\"output_format\":\"png\"}", NULL, 1, 512 },
    { "{}", "prompt", 0, 0 },
    { "{\"prompt\":\"\"}", "prompt", 0, 0 },
    { "{\"prompt\":\"a\",\"n\":5}", "n must be", 0, 0 },
    { "{\"prompt\":\"a\",\"n\":\"1\"}", "n must be", 0, 0 },
    { "{\"prompt\":\"a\",\"size\":\"640x480\"}", "size", 0, 0 },
    { "{\"prompt\":\"a\",\"response_format\":\"url\"}", "response_format", 0, 0 },
    { "{\"prompt\":\"a\",\"output_format\":\"jpeg\"}", "output_format", 0, 0 },
};

START_TEST(test_image_orders)
{
    struct image_order o;
    struct fault f = { 0 };
    bool ok = image_order_read(span_of(image_cases[_i].body), &o, &f);
    ck_assert_msg(ok == !image_cases[_i].fault, "%s", f.text);
    if (ok) {
        ck_assert_uint_eq(o.count, image_cases[_i].count);
        ck_assert_uint_eq(o.size, image_cases[_i].size);
    } else {
        ck_assert_msg(strstr(f.text, image_cases[_i].fault) != NULL, "%s", f.text);
    }
    json_decref(o.tree);
}
END_TEST

static uint32_t big_endian_at(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | (uint8_t)at[i];
    return value;
}

/* Walks the chunks, checks each CRC and returns the compressed bytes of all IDATs in `data`. */
static size_t collect_idat(const struct buf *file, Bytef *data)
{
    size_t len = 0, at = 8;
    while (at < file->len) {
        uint32_t n = big_endian_at(file->at + at);
        const char *type = file->at + at + 4;
        ck_assert_uint_le(at + 12 + n, file->len);
        ck_assert_uint_eq(big_endian_at(type + 4 + n), crc32(0, (const Bytef *)type, n + 4));
        if (memcmp(type, "IDAT", 4) == 0) {
            memcpy(data + len, type + 4, n);
            len += n;
        }
        at += 12 + n;
        ck_assert((at == file->len) == (memcmp(type, "IEND", 4) == 0));
    }
    return len;
}

START_TEST(test_png_can_be_read_back)
{
    enum { SIDE = 256, LINE = 1 + 3 * SIDE };
    static Bytef packed[SIDE * LINE * 2], lines[SIDE * LINE];
    uLongf lines_len = sizeof lines;
    uint8_t rgb[3 * SIDE];
    struct pattern p;
    struct png png;
    struct buf file;
    buf_init(&file, sizeof packed);
    pattern_choose(span_of("a prompt"), (uint32_t)_i, SIDE, &p);
    ck_assert(png_begin(&png, SIDE, SIDE, &file));
    for (uint32_t y = 0; y < SIDE; y++) {
        pattern_row(&p, y, rgb);
        ck_assert(png_row(&png, rgb, &file));
    }
    ck_assert(png_end(&png, &file));
    png_free(&png);
    ck_assert_mem_eq(file.at, "\211PNG\r\n\032\n", 8);
    size_t len = collect_idat(&file, packed);
    ck_assert_int_eq(uncompress(lines, &lines_len, packed, len), Z_OK);
    ck_assert_uint_eq(lines_len, sizeof lines);
    for (uint32_t y = 0; y < SIDE; y++) {
        Bytef *line = lines + y * LINE;
        ck_assert_uint_eq(line[0], 1); /* the filter Sub: undone here */
        for (size_t i = 4; i < LINE; i++)
            line[i] = (Bytef)(line[i] + line[i - 3]);
        pattern_row(&p, y, rgb);
        ck_assert_mem_eq(line + 1, rgb, sizeof rgb);
    }
    buf_free(&file);
}
END_TEST

/* --- Tensors ----------------------------------------------------------------------------------- */

#define SIXTEEN(x) \
    x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x
#define TENSOR(name, shape, data) \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"INT32\",\"data\":[" data "]}"
#define TWO(a, b) "{\"inputs\":[" a "," b "]"
#define GOOD0     TENSOR("INPUT0", "[1,16]", SIXTEEN("5"))
#define GOOD1     TENSOR("INPUT1", "[1,16]", SIXTEEN("7"))

static const struct {
    const char *body, *expect; /* a part of the answer, or of the fault's sentence */
    bool ok;
} simple_cases[] = {
    { TWO(GOOD0, GOOD1) "}",
      "\"name\":\"OUTPUT0\",\"datatype\":\"INT32\",\"shape\":[1,16],\"data\":[12,12,", true },
    { TWO(GOOD1, GOOD0) "}",
      "\"name\":\"OUTPUT1\",\"datatype\":\"INT32\",\"shape\":[1,16],\"data\":[-2,-2,", true },
    { TWO(GOOD0, GOOD1) ",\"id\":\"a\\\"b\"}",
      "\"model_version\":\"1\",\"id\":\"a\\\"b\",\"outputs\"", true },
    { TWO(GOOD0, GOOD1) ",\"outputs\":[{\"name\":\"OUTPUT1\"}]}",
      "\"outputs\":[{\"name\":\"OUTPUT1\"", true },
    { TWO(TENSOR("INPUT0", "[1,16]", "[" SIXTEEN("2147483647") "]"), GOOD1) "}", "-2147483642",
      true },
    { TWO(TENSOR("INPUT0", "[1,16]", SIXTEEN("-2147483648")), GOOD1) "}", "2147483641", true },
    { TWO(TENSOR("INPUT0", "[2,16]", "[" SIXTEEN("1") "],[" SIXTEEN("2") "]"),
          TENSOR("INPUT1", "[2,16]", SIXTEEN("3") "," SIXTEEN("4"))) "}",
      "\"shape\":[2,16]", true },
    { "{\"inputs\":[" GOOD0 "]}", "INPUT1 is missing", false },
    { "{}", "inputs must be", false },
    { TWO(GOOD0, GOOD0) "}", "INPUT0 is given twice", false },
    { TWO(GOOD0, TENSOR("INPUT2", "[1,16]", SIXTEEN("5"))) "}", "INPUT0 and INPUT1", false },
    { TWO(GOOD0, TENSOR("INPUT1", "[1,8]", SIXTEEN("5"))) "}", "INPUT1: shape", false },
    { TWO(GOOD0, TENSOR("INPUT1", "[9,16]", SIXTEEN("5"))) "}", "INPUT1: shape", false },
    { TWO(GOOD0, TENSOR("INPUT1", "[16]", SIXTEEN("5"))) "}", "INPUT1: shape", false },
    { TWO(GOOD0, TENSOR("INPUT1", "[1,16]", "5")) "}", "INPUT1: data has 1 elements", false },
    { TWO(GOOD0, TENSOR("INPUT1", "[1,16]", SIXTEEN("1.5"))) "}", "INPUT1: data must be integers",
      false },
    { TWO(GOOD0, TENSOR("INPUT1", "[1,16]", SIXTEEN("2147483648"))) "}", "INPUT1: data must be",
      false },
    { TWO(GOOD0, TENSOR("INPUT1", "[1,16]", "[[[5]]]")) "}", "INPUT1: data must be integers",
      false },
    { TWO(GOOD0, TENSOR("INPUT1", "[2,16]", SIXTEEN("5") "," SIXTEEN("5"))) "}",
      "INPUT1: its batch", false },
    { TWO(GOOD0, "{\"name\":\"INPUT1\",\"shape\":[1,16],\"datatype\":\"FP32\",\"data\":[]}") "}",
      "INPUT1: datatype", false },
    { TWO(GOOD0, "{\"name\":\"INPUT1\",\"shape\":[1,16],\"datatype\":\"INT32\"}") "}",
      "INPUT1: data must", false },
    { TWO(GOOD0,
          "{\"name\":\"INPUT1\",\"shape\":[1,16],\"datatype\":\"INT32\",\"parameters\":{\"binary_data_size\":64}}") "}",
      "INPUT1: the body ends before", false },
    { TWO(GOOD0, GOOD1) ",\"outputs\":[{\"name\":\"OUTPUT2\"}]}", "OUTPUT0 and OUTPUT1", false },
    { TWO(GOOD0, GOOD1) ",\"outputs\":[{\"name\":\"OUTPUT1\"},{\"name\":\"OUTPUT1\"}]}",
      "OUTPUT1 is asked for twice", false },
    { TWO(GOOD0,
          GOOD1) ",\"outputs\":[{\"name\":\"OUTPUT1\",\"parameters\":{\"binary_data\":false}}],"
                 "\"parameters\":{\"binary_data_output\":true}}",
      "\"data\":[-2,", true },
    { TWO(GOOD0,
          GOOD1) ",\"outputs\":[{\"name\":\"OUTPUT1\",\"parameters\":{\"classification\":1}}]}",
      "OUTPUT1: classification", false },
    { TWO(GOOD0, GOOD1) ",\"id\":7}", "id must be", false },
};

START_TEST(test_simple)
{
    struct buf out;
    struct fault f = { 0 };
    struct simple_answer a;
    buf_init(&out, SIMPLE_ANSWER_BYTES_MAX);
    bool ok = simple_infer(span_of(simple_cases[_i].body), SPAN(""), "m", &out, &a, &f);
    ck_assert_msg(ok == simple_cases[_i].ok, "%s", f.text);
    const char *said = ok ? out.at : f.text;
    ck_assert_msg(strstr(said, simple_cases[_i].expect) != NULL, "%s", said);
    if (ok) {
        json_t *answer = json_loads(out.at, 0, NULL);
        ck_assert_ptr_nonnull(answer);
        ck_assert_uint_eq(a.elements, strstr(said, "[2,16]") ? 64 : 32);
        ck_assert_uint_eq(a.header_len, out.len);
        json_decref(answer);
    }
    buf_free(&out);
}
END_TEST

#define BINARY(name, size)                                                            \
    "{\"name\":\"" name "\",\"shape\":[1,16],\"datatype\":\"INT32\",\"parameters\":{" \
    "\"binary_data_size\":" size "}}"

static const struct {
    const char *header, *fault;
    size_t tail; /* bytes: 16 elements of 3, then 16 of 1000000, then zeros */
    bool out[2]; /* binary, by output */
} binary_cases[] = {
    { TWO(BINARY("INPUT0", "64"), BINARY("INPUT1", "64")) "}", NULL, 128, { false, false } },
    { TWO(BINARY("INPUT0", "64"),
          BINARY("INPUT1", "64")) ",\"parameters\":{\"binary_data_output\":true}}",
      NULL,
      128,
      { true, true } },
    { TWO(BINARY("INPUT0", "64"),
          BINARY("INPUT1", "64")) ",\"outputs\":[{\"name\":\"OUTPUT0\"},{\"name\":\"OUTPUT1\","
                                  "\"parameters\":{\"binary_data\":true}}]}",
      NULL,
      128,
      { false, true } },
    { TWO(BINARY("INPUT0", "64"), BINARY("INPUT1", "64")) "}", "the body ends before", 127, { 0 } },
    { TWO(BINARY("INPUT0", "64"), BINARY("INPUT1", "64")) "}",
      "1 bytes of binary data belong to no",
      129,
      { 0 } },
    { TWO(GOOD0, GOOD1) "}", "64 bytes of binary data belong to no", 64, { 0 } },
    { TWO(BINARY("INPUT0", "60"), GOOD1) "}", "binary_data_size must be 64", 64, { 0 } },
    { TWO(BINARY("INPUT0", "-64"), GOOD1) "}", "binary_data_size must be 64", 64, { 0 } },
    { TWO(BINARY("INPUT0", "\"64\""), GOOD1) "}", "binary_data_size must be 64", 64, { 0 } },
};

static uint32_t word_at(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return le32toh(word);
}

START_TEST(test_simple_binary)
{
    uint32_t words[40] = { 0 };
    struct buf out;
    struct fault f = { 0 };
    struct simple_answer a;
    for (int i = 0; i < 32; i++)
        words[i] = htole32(i < 16 ? 3 : 1000000);
    buf_init(&out, SIMPLE_ANSWER_BYTES_MAX);
    struct span tail = { (const char *)words, binary_cases[_i].tail };
    bool ok = simple_infer(span_of(binary_cases[_i].header), tail, "m", &out, &a, &f);
    ck_assert_msg(ok == !binary_cases[_i].fault, "%s", f.text);
    if (!ok)
        ck_assert_msg(strstr(f.text, binary_cases[_i].fault) != NULL, "%s", f.text);
    size_t at = a.header_len;
    for (unsigned k = 0; ok && k < 2; k++) {
        if (!binary_cases[_i].out[k])
            continue;
        for (int i = 0; i < 16; i++, at += 4)
            ck_assert_uint_eq(word_at(out.at + at), k ? (uint32_t)-999997 : 1000003);
    }
    ck_assert(!ok || at == out.len);
    buf_free(&out);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

Suite *refworker_media_suite(void)
{
    Suite *s = suite_create("refworker_media");
    TCase *t = tcase_create("media");
    tcase_add_test(t, test_embed_lengths_and_likeness);
    tcase_add_loop_test(t, test_embed_orders, 0, ROWS(embed_cases));
    tcase_add_test(t, test_embed_formats_agree);
    tcase_add_test(t, test_base64_in_pieces);
    tcase_add_loop_test(t, test_image_orders, 0, ROWS(image_cases));
    tcase_add_loop_test(t, test_png_can_be_read_back, 0, 6);
    tcase_add_loop_test(t, test_simple, 0, ROWS(simple_cases));
    tcase_add_loop_test(t, test_simple_binary, 0, ROWS(binary_cases));
    suite_add_tcase(s, t);
    return s;
}
