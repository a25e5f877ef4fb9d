/* backends/refworker/images.c -- an image answer: some rows a turn are drawn, compressed and sent. */
#include "backends/refworker/images.h"
#include "backends/refworker/base64.h"
#include "backends/refworker/pattern.h"
#include "backends/refworker/png.h"
#include <stdlib.h>
#include <time.h>

enum {
    TURN_PIXELS = 16 * 1024,
    /* A turn's rows, should they not compress at all, as base64 and with the JSON around them. */
    OUT_BYTES_MAX = 128 * 1024,
};

struct images {
    struct job job;
    struct image_order order;
    struct buf raw, out; /* PNG bytes; the answer */
    size_t sent;
    struct pattern pattern;
    struct png png;
    struct base64 base64;
    uint32_t done, row; /* images; rows of the one being drawn */
    bool closed;
};

static void images_usage(const struct job *j, struct maas_usage *ret)
{
    ret->images = ((const struct images *)j)->done;
}

static void images_free(struct job *j)
{
    struct images *i = (struct images *)j;
    json_decref(i->order.tree);
    png_free(&i->png);
    buf_free(&i->raw);
    buf_free(&i->out);
    free(i);
}

/* What the PNG writer has made so far, into the answer. */
static bool move_raw(struct images *i)
{
    bool ok = base64_add(&i->base64, i->raw.at, i->raw.len, &i->out);
    buf_clear(&i->raw);
    return ok;
}

static bool begin_image(struct images *i)
{
    bool ok = i->done ? buf_text(&i->out, ",{\"b64_json\":\"")
                      : buf_printf(&i->out, "{\"created\":%lld,\"data\":[{\"b64_json\":\"",
                                   (long long)time(NULL));
    pattern_choose(i->order.prompt, i->done, i->order.size, &i->pattern);
    return ok && png_begin(&i->png, i->order.size, i->order.size, &i->raw);
}

static bool end_image(struct images *i)
{
    bool ok = png_end(&i->png, &i->raw) && move_raw(i) && base64_end(&i->base64, &i->out) &&
              buf_text(&i->out, "\"}");
    png_free(&i->png);
    i->png = (struct png){ 0 };
    i->row = 0;
    i->done++;
    return ok;
}

static bool close_answer(struct images *i)
{
    i->closed = true;
    return buf_printf(&i->out, "],\"output_format\":\"png\",\"size\":\"%ux%u\"}", i->order.size,
                      i->order.size);
}

static bool draw_some(struct images *i)
{
    uint8_t rgb[3 * IMAGE_SIDE_MAX];
    uint32_t rows = TURN_PIXELS / i->order.size;
    if (i->row == 0 && !begin_image(i))
        return false;
    for (; rows > 0 && i->row < i->order.size; rows--) {
        pattern_row(&i->pattern, i->row++, rgb);
        if (!png_row(&i->png, rgb, &i->raw))
            return false;
    }
    if (!move_raw(i) || (i->row == i->order.size && !end_image(i)))
        return false;
    return i->done < i->order.count || close_answer(i);
}

static enum job_next images_turn(struct job *j)
{
    struct images *i = (struct images *)j;
    struct maas_usage usage = MAAS_USAGE_NONE;
    if (i->out.len == 0 && !i->closed && !draw_some(i))
        return job_out_of_memory(j);
    int rc = job_send_body(j->call, &i->out, &i->sent);
    if (rc != MAAS_OK)
        return job_after_refusal(j, rc);
    if (!i->closed)
        return JOB_MORE;
    images_usage(j, &usage);
    maas_call_finish(j->call, &usage);
    return JOB_DONE;
}

void images_start(struct jobs *jobs, struct maas_call *call)
{
    static const struct job_kind kind = { images_turn, images_usage, images_free };
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct images *i = calloc(1, sizeof *i);
    if (!i) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return;
    }
    buf_init(&i->raw, OUT_BYTES_MAX);
    buf_init(&i->out, OUT_BYTES_MAX);
    if (!image_order_read((struct span){ req->body, req->body_len }, &i->order, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        images_free(&i->job);
        return;
    }
    job_start(jobs, &i->job, &kind, call);
}
