/* Forms: what is understood, what is refused, and what a backend is given. */
#include "conf/catalog.h"
#include "gateway/ask.h"
#include "gateway/form.h"
#include "gen/unit_suites.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct span span_of(const char *text)
{
    return (struct span){ text, strlen(text) };
}

/* ---- the boundary ---- */

#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"

static const struct {
    const char *type, *boundary; /* NULL: there is none */
} boundaries[] = {
    { "multipart/form-data; boundary=abc", "abc" },
    { "Multipart/Form-Data;boundary=\"a b:c\"", "a b:c" },
    { "multipart/form-data; charset=utf-8; Boundary=x ", "x" },
    { "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
      "----WebKitFormBoundary7MA4YWxkTrZu0gW" },
    { "multipart/form-data; boundary=" SEVENTY, SEVENTY },
    { "multipart/form-data; boundary=" SEVENTY "x", NULL },
    { "multipart/form-data", NULL },
    { "multipart/form-data; boundary=", NULL },
    { "multipart/form-data; boundary=\"\"", NULL },
    { "multipart/form-data; boundary=\"a", NULL },
    { "multipart/form-data; boundary=\"a \"", NULL },
    { "multipart/form-data; boundary=\"a\\\"b\"", NULL },
    { "multipart/form-data; boundary=a; boundary=a", NULL },
    { "multipart/form-data; boundary=a b", NULL },
    { "multipart/form-data boundary=a", NULL },
    { "multipart/form-datax; boundary=a", NULL },
    { "multipart/mixed; boundary=a", NULL },
    { "application/json", NULL },
    { "", NULL },
};

START_TEST(test_boundaries)
{
    struct span b;
    bool ok = form_boundary(span_of(boundaries[_i].type), &b);
    ck_assert_int_eq(ok, boundaries[_i].boundary != NULL);
    if (ok)
        ck_assert(span_is(b, boundaries[_i].boundary));
}
END_TEST

/* ---- reading ---- */

#define PART(name, value) \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(more, value)                                                          \
    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n" more \
    "\r\n" value "\r\n"
#define END "--b--\r\n"

static const struct {
    const char *body, *what; /* a part of the sentence; NULL: it is fine */
    unsigned count;
} forms[] = {
    { PART("model", "m") FILE_PART("Content-Type: audio/wav\r\n", "RIFF") END, NULL, 2 },
    { FILE_PART("", "a\r\n--c\r\n-b\r--b\n\r\n") PART("model", "") "--b--", NULL, 2 },
    { "--b\r\ncontent-disposition: FORM-DATA; NAME=model\r\nX-Else: 1\r\n\r\nm\r\n--b--", NULL, 1 },
    { "--b\r\nContent-Length: 1\r\nContent-Disposition:form-data ; name=model\r\n\r\nm\r\n--b--",
      NULL, 1 },
    { FILE_PART("Content-Transfer-Encoding: binary\r\n", "x") END, NULL, 1 },
    { PART("include[]", "a") PART("include[]", "b") END, NULL, 2 },
    { "--b--\r\n", NULL, 0 },
    { "", "does not begin", 0 },
    { "\r\n" PART("model", "m") END, "does not begin", 0 },
    { "preamble\r\n" PART("model", "m") END, "does not begin", 0 },
    { "--c\r\n", "does not begin", 0 },
    { PART("model", "m"), "ends before its last", 0 },
    { PART("model", "m") "--b", "a delimiter must end its line", 0 },
    { PART("model", "m") "--b-", "a delimiter must end its line", 0 },
    { PART("model", "m") "--b--x", "something follows", 0 },
    { PART("model", "m") END "epilogue", "something follows", 0 },
    { PART("model", "m") END "\r\n", "something follows", 0 },
    { "--b \r\nContent-Disposition: form-data; name=m\r\n\r\nm\r\n--b--", "a delimiter must end",
      0 },
    { "--b\nContent-Disposition: form-data; name=m\n\nm\n--b--", "a delimiter must end", 0 },
    { PART("model", "m\r\n--bc") END, "a delimiter must end its line", 0 },
    { "--b\r\nContent-Disposition: form-data; name=m\r\n\r\nm", "ends before its last", 0 },
    { "--b\r\nContent-Disposition: form-data; name=m\r\n", "header of a part has no end", 0 },
    { "--b\r\n\r\nm\r\n--b--", "header of a part has no end", 0 },
    { "--b\r\nContent-Type: text/plain\r\n\r\nm\r\n--b--", "no Content-Disposition", 0 },
    { "--b\r\nContent-Disposition: form-data; name=m\nX: y\r\n\r\nm\r\n--b--", "must end with CRLF",
      0 },
    { "--b\r\nContent-Disposition: form-data;\r\n name=m\r\n\r\nm\r\n--b--", "must be form-data",
      0 },
    { "--b\r\nContent-Disposition : form-data; name=m\r\n\r\nm\r\n--b--", "malformed", 0 },
    { "--b\r\n: x\r\n\r\nm\r\n--b--", "malformed", 0 },
    { "--b\r\nContent-Disposition: attachment; name=m\r\n\r\nm\r\n--b--", "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data\r\n\r\nm\r\n--b--", "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nm\r\n--b--", "must be form-data",
      0 },
    { "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nm\r\n--b--", "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=\"mo\\del\"\r\n\r\nm\r\n--b--",
      "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=\"m%6fdel\"\r\n\r\nm\r\n--b--",
      "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nm\r\n--b--",
      "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=a x\r\n\r\nm\r\n--b--", "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=" SEVENTY "\r\n\r\nm\r\n--b--",
      "must be form-data", 0 },
    { "--b\r\nContent-Disposition: form-data; name=a; filename=b; filename=c\r\n\r\nm\r\n--b--",
      "two file names", 0 },
    { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n"
      "m\r\n--b--",
      "two Content-Disposition", 0 },
    { FILE_PART("Content-Type: a/b\r\nContent-Type: a/b\r\n", "x") END, "two Content-Type", 0 },
    { FILE_PART("Content-Type: multipart/mixed; boundary=c\r\n", "x") END, "a form of its own", 0 },
    { FILE_PART("Content-Type: a/b\x7f\r\n", "x") END, "printable ASCII", 0 },
    { FILE_PART("Content-Transfer-Encoding: base64\r\n", "x") END, "must be binary", 0 },
    { PART("model", "m") PART("model", "m") END, "given twice", 0 },
    { FILE_PART("", "x") FILE_PART("", "y") END, "given twice", 0 },
};

START_TEST(test_forms)
{
    struct form f;
    const char *what;
    bool ok = form_read(span_of(forms[_i].body), SPAN("b"), &f, &what);
    ck_assert_msg(ok == !forms[_i].what, "%s: %s", forms[_i].body, what ? what : "");
    if (ok)
        ck_assert_uint_eq(f.count, forms[_i].count);
    else
        ck_assert_msg(strstr(what, forms[_i].what) != NULL, "%s", what);
}
END_TEST

START_TEST(test_parts)
{
    struct form f;
    const char *what;
    static const char body[] =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x;\\\"y.mp3\"\r\n"
        "Content-Type: audio/mpeg\r\n\r\n\r\n--\r\n--x\r\n--b\r\n"
        "Content-Disposition: form-data; name=prompt; filename*=UTF-8''a%20b\r\n\r\n\r\n--b--";
    ck_assert(form_read(span_of(body), SPAN("b"), &f, &what));
    const struct form_part *p = form_find(&f, "file");
    ck_assert(p && p->file && span_is(p->filename, "x;\\\"y.mp3") &&
              span_is(p->type, "audio/mpeg"));
    ck_assert(span_is(p->value, "\r\n--\r\n--x"));
    p = form_find(&f, "prompt");
    ck_assert(p && p->file && span_is(p->filename, "UTF-8''a%20b") && p->value.len == 0);
    ck_assert_ptr_null(form_find(&f, "promp"));
}
END_TEST

/* So many parts, and each of its limits; the byte beyond is refused. */
START_TEST(test_limits)
{
    struct form f;
    const char *what;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int extra = 0; extra < 2; extra++) {
        buf_clear(&b);
        for (int i = 0; i < FORM_PARTS_MAX + extra; i++)
            ck_assert(buf_text(&b, PART("a[]", "x")));
        ck_assert(buf_text(&b, END));
        ck_assert_int_eq(form_read(buf_span(&b), SPAN("b"), &f, &what), !extra);

        buf_clear(&b);
        ck_assert(buf_printf(&b, "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n%*s\r\n" END,
                             FORM_TEXT_BYTES_MAX + extra, ""));
        ck_assert_int_eq(form_read(buf_span(&b), SPAN("b"), &f, &what), !extra);

        buf_clear(&b);
        static const char first[] = "Content-Disposition: form-data; name=a\r\nX: ";
        int fill = FORM_HEAD_BYTES_MAX - 4 - (int)strlen(first) + extra;
        ck_assert(buf_printf(&b, "--b\r\n%s%*s\r\n\r\nx\r\n" END, first, fill, ""));
        ck_assert_int_eq(form_read(buf_span(&b), SPAN("b"), &f, &what), !extra);
    }
    buf_free(&b);
}
END_TEST

/* ---- writing ---- */

static const struct {
    const char *filename, *written;
} filenames[] = {
    { "speech.mp3", "speech.mp3" },
    { "", "file" },
    { "/etc/passwd", "passwd" },
    { "..\\..\\windows\\a.wav", "a.wav" },
    { "../", "file" },
    { "..", "_." },
    { ".htaccess", "_htaccess" },
    { "a b;c=\\\"d.ogg", "_d.ogg" },
    { "x\r\nContent-Type: y", NULL },
    { "\xe5\xbd\x95\xe9\x9f\xb3.m4a", "______.m4a" },
    { "$(rm -rf).wav", "__rm_-rf_.wav" },
};

START_TEST(test_filenames)
{
    char body[400], expected[400];
    struct form f;
    const char *what;
    struct buf b;
    buf_init(&b, 1 << 16);
    snprintf(body, sizeof body,
             "--b\r\nContent-Disposition: form-data; name=file; filename=\"%s\"\r\n\r\nx\r\n--b--",
             filenames[_i].filename);
    bool ok = form_read(span_of(body), SPAN("b"), &f, &what);
    ck_assert_int_eq(ok, filenames[_i].written != NULL);
    if (ok) {
        ck_assert(form_write(&f, "m", &b));
        snprintf(expected, sizeof expected,
                 PART("model", "m") "--b\r\nContent-Disposition: form-data; name=\"file\"; "
                                    "filename=\"%s\"\r\n\r\nx\r\n" END,
                 filenames[_i].written);
        ck_assert_str_eq(b.at, expected);
    }
    buf_free(&b);
}
END_TEST

/* The model is ours, wherever theirs stood; nothing else changes, and it can be read again. */
START_TEST(test_write)
{
    static const char *const bodies[] = {
        PART("model", "theirs") FILE_PART("Content-Type: audio/wav\r\n", "RI\r\nFF")
            PART("x[]", "1") PART("x[]", "2") END,
        FILE_PART("Content-Type: audio/wav\r\n", "RI\r\nFF") PART("x[]", "1") PART("x[]", "2")
            PART("model", "theirs") END,
        PART("x[]", "1") FILE_PART("Content-Type: audio/wav\r\n", "RI\r\nFF") PART("x[]", "2") END,
    };
    struct form f, again;
    const char *what;
    struct buf b;
    buf_init(&b, 1 << 16);
    ck_assert(form_read(span_of(bodies[_i]), SPAN("b"), &f, &what));
    ck_assert(form_write(&f, "ours/of any-length", &b));
    ck_assert(form_read(buf_span(&b), SPAN("b"), &again, &what));
    ck_assert_uint_eq(again.count, 4);
    ck_assert(span_is(form_find(&again, "model")->value, "ours/of any-length"));
    ck_assert(span_is(form_find(&again, "file")->value, "RI\r\nFF"));
    ck_assert(span_is(form_find(&again, "file")->type, "audio/wav"));
    ck_assert(span_is(form_find(&again, "x[]")->value, "1"));
    buf_free(&b);
}
END_TEST

/* ---- what it asks for ---- */

static const struct {
    const char *body;
    enum status want;
    const char *param, *model;
    bool stream;
} asks[] = {
    { PART("model", "m") FILE_PART("", "x") END, STATUS_OK, "", "m", false },
    { FILE_PART("", "x") PART("stream", "true") END, STATUS_OK, "", "", true },
    { FILE_PART("", "x") PART("stream", "false") PART("language", "de") END, STATUS_OK, "", "",
      false },
    { PART("model", "m") END, STATUS_MISSING_FIELD, "file", "", false },
    { PART("file", "x") END, STATUS_BAD_FIELD, "file", "", false },
    { FILE_PART("", "") END, STATUS_BAD_FIELD, "file", "", false },
    { FILE_PART("", "x") PART("stream", "yes") END, STATUS_BAD_FIELD, "stream", "", false },
    { FILE_PART("", "x") PART("model[]", "m") END, STATUS_BAD_FIELD, "model", "", false },
    { FILE_PART("", "x") PART("model[0]", "m") END, STATUS_BAD_FIELD, "model", "", false },
    { FILE_PART("", "x") PART("file[]", "m") END, STATUS_BAD_FIELD, "file", "", false },
    { FILE_PART("", "x") PART("base_url", "http://x") END, STATUS_UNSUPPORTED_FIELD, "base_url", "",
      false },
    { FILE_PART("", "x") PART("api_key", "k") END, STATUS_UNSUPPORTED_FIELD, "api_key", "", false },
    { FILE_PART("", "x") PART("models", "m") END, STATUS_OK, "", "", false },
    { FILE_PART("", "x") PART("model", SEVENTY SEVENTY SEVENTY SEVENTY) END, STATUS_BAD_FIELD,
      "model", "", false },
    { PART("model", "m") PART("model", "n") FILE_PART("", "x") END, STATUS_BAD_FORM, "", "",
      false },
    { "{\"model\":\"m\"}", STATUS_BAD_FORM, "", "", false },
};

START_TEST(test_asks)
{
    struct form f;
    struct ask a = { .n = 0 };
    struct ask_error e = { "", "" };
    struct span body = span_of(asks[_i].body);
    enum status s = ask_form(body, SPAN("b"), CAP_TRANSCRIPTION, &f, &a, &e);
    ck_assert_msg(s == asks[_i].want, "%s: %s", status_info(s)->name, e.message);
    ck_assert_str_eq(e.param, asks[_i].param);
    if (s != STATUS_OK)
        return;
    ck_assert_str_eq(a.model, asks[_i].model);
    ck_assert_int_eq(a.stream, asks[_i].stream);
    ck_assert(a.n == 1 && a.generated == 1 && a.audio_bytes == 1 && !a.audio_known);
    ck_assert_uint_eq(a.most.input_tokens_max, body.len);
    s = ask_form(body, SPAN("b"), CAP_TRANSLATION, &f, &(struct ask){ .n = 0 }, &e);
    ck_assert_int_eq(s, a.stream ? STATUS_UNSUPPORTED_FIELD : STATUS_OK);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

Suite *form_suite(void)
{
    Suite *s = suite_create("form");
    TCase *t = tcase_create("forms");
    tcase_add_loop_test(t, test_boundaries, 0, ROWS(boundaries));
    tcase_add_loop_test(t, test_forms, 0, ROWS(forms));
    tcase_add_test(t, test_parts);
    tcase_add_test(t, test_limits);
    tcase_add_loop_test(t, test_filenames, 0, ROWS(filenames));
    tcase_add_loop_test(t, test_write, 0, 3);
    tcase_add_loop_test(t, test_asks, 0, ROWS(asks));
    suite_add_tcase(s, t);
    return s;
}
