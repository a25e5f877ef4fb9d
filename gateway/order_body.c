/* gateway/order_body.c -- see order_body.h. */
#include "gateway/order_body.h"
#include "gateway/form.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include "gateway/rewrite.h"
#include <stdlib.h>
#include <string.h>

/* What writing a form anew can add: heads of parts that were shorter, a model's name. */
enum { FORM_ROOM_BYTES = FORM_PARTS_MAX * 512 };

static enum status json_body(struct request *r, const struct kind *kind)
{
    bool text = kind->output == OUTPUT_ASKED; /* else it has no words for a cap or a usage chunk */
    const struct rewrite how = {
        .backend_model = r->work.route->model,
        .recipe = kind->traits & KIND_RECIPE ? &r->work.served->recipe : NULL,
        .max_out = text ? r->ask.max_out : 0,
        .want_usage = text && r->ask.stream,
    };
    return rewrite_body(r->work.body, &r->ask, &how, &r->work.body_memory, &r->work.body);
}

static const char *form_type(struct arena *a, struct span boundary)
{
    bool plain = true; /* as an unquoted parameter */
    for (size_t i = 0; i < boundary.len; i++)
        plain = plain && !strchr("()<>@,;:\\\"/[]?= ", boundary.at[i]);
    const char *quote = plain ? "" : "\"";
    return arena_printf(a, "multipart/form-data; boundary=%s%.*s%s", quote, (int)boundary.len,
                        boundary.at, quote);
}

static enum status form_body(struct request *r)
{
    struct work *w = &r->work;
    struct buf out;
    size_t len = 0;
    buf_init(&out, r->in.body_len + FORM_ROOM_BYTES);
    w->format.content_type = form_type(r->arena, r->form->boundary);
    bool ok = w->format.content_type && form_write(r->form, w->route->model, &out);
    w->body_memory = ok ? buf_take(&out, &len) : NULL;
    w->body = (struct span){ w->body_memory, len };
    buf_free(&out);
    return w->body_memory ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Tensors do not name the model: the way to it does.  They pass byte for byte. */
static void tensor_format(struct request *r)
{
    if (r->in.tensor_headers)
        r->work.format = (struct backend_format){ .content_type = "application/octet-stream",
                                                  .tensors = true,
                                                  .header_len = r->in.tensor_header_len };
}

enum status order_body(struct request *r)
{
    const struct kind *kind = kind_of(r->target.row->capability);
    struct work *w = &r->work;
    free(w->body_memory);
    w->body_memory = NULL;
    w->body = (struct span){ r->in.body, r->in.body_len };
    w->format = (struct backend_format){ .content_type = NULL };
    if (kind->body == BODY_FORM)
        return form_body(r);
    if (kind->body == BODY_JSON)
        return json_body(r, kind);
    tensor_format(r);
    return STATUS_OK;
}
