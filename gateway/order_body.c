/* gateway/order_body.c -- see order_body.h. */
#include "gateway/order_body.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include "gateway/rewrite.h"
#include <stdlib.h>

static enum status json_body(struct request *r, bool recipe)
{
    const struct rewrite how = {
        .backend_model = r->work.route->model,
        .recipe = recipe ? &r->work.served->recipe : NULL,
        .max_out = r->ask.max_out,
        .want_usage = r->ask.stream,
    };
    return rewrite_body(r->work.body, &r->ask, &how, &r->work.body_memory, &r->work.body);
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
    if (kind->body != BODY_TENSORS)
        return json_body(r, kind->recipe);
    tensor_format(r);
    return STATUS_OK;
}
