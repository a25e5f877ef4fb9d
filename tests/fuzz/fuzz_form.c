/* Any bytes as a form: what is understood can be written and is then understood alike, and no
 * content can be taken for a delimiter.  The file in it, or the bytes themselves, as sound. */
#include "conf/catalog.h"
#include "gateway/ask.h"
#include "gateway/audio.h"
#include "gateway/form.h"
#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void check_written(const struct form *f, size_t body_len)
{
    struct form again;
    struct buf out;
    const char *what;
    buf_init(&out, body_len + FORM_PARTS_MAX * 512);
    assert(form_write(f, "ours", &out));
    assert(form_read(buf_span(&out), f->boundary, &again, &what));
    unsigned added = form_find(f, "model") ? 0 : 1;
    assert(again.count == f->count + added && span_is(form_find(&again, "model")->value, "ours"));
    for (unsigned i = 0; i < f->count; i++) {
        const struct form_part *was = &f->part[i], *is = &again.part[i + added];
        assert(same(was->name, is->name) && was->file == is->file);
        assert(span_is(was->name, "model") || same(was->value, is->value));
        assert(!was->file || same(was->type, is->type));
        assert(!is->file || (is->filename.len >= 1 && is->filename.len <= FORM_FILENAME_BYTES_MAX));
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = { (const char *)data, size }, boundary;
    const char *end = size ? memchr(data, '\n', size) : NULL;
    size_t head = end ? (size_t)(end - all.at) : 0;
    static struct form f;
    struct ask ask = { .n = 0 };
    struct ask_error e = { "", "" };
    uint64_t ms;
    (void)!audio_length_ms(all, &ms);
    if (!end || !form_boundary((struct span){ all.at, head }, &boundary))
        return 0;
    struct span body = { end + 1, size - head - 1 };
    enum status s = ask_form(body, boundary, CAP_TRANSCRIPTION, &f, &ask, &e);
    assert(s == STATUS_OK || *e.message);
    assert(s != STATUS_OK || (ask.audio_bytes > 0 && ask.n == 1));
    if (s != STATUS_BAD_FORM && f.count + !form_find(&f, "model") <= FORM_PARTS_MAX)
        check_written(&f, body.len);
    return 0;
}
