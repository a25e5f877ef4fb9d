/* backends/refworker/service.c -- from a request to the job that answers it. */
#include "backends/refworker/service.h"
#include "backends/refworker/chat.h"
#include "backends/refworker/embeddings.h"
#include "backends/refworker/images.h"
#include "backends/refworker/moderation.h"
#include "backends/refworker/rerank.h"
#include "backends/refworker/simple.h"
#include <stdio.h>

/* Every model but the text models, which are as many as there are corpus files. */
static const struct {
    const char *name;
    enum maas_capability capability;
    void (*start)(struct jobs *jobs, struct maas_call *call);
} engines[] = {
    { "hash-embed", MAAS_EMBEDDINGS, embeddings_start },
    { "pattern-image", MAAS_IMAGES, images_start },
    { "simple", MAAS_INFER, simple_start },
    { "hash-rerank", MAAS_RERANK, rerank_start },
    { "word-list", MAAS_MODERATION, moderation_start },
};

enum { ENGINES = sizeof engines / sizeof *engines };

void service_names(const struct service *s, char *text, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < s->models.count + ENGINES && len < size; i++) {
        const char *name =
            i < s->models.count ? s->models.text[i].name : engines[i - s->models.count].name;
        len += (size_t)snprintf(text + len, size - len, "%s%s", i ? ", " : "", name);
    }
}

static void refuse_unknown(const struct service *s, struct maas_call *call, const char *model)
{
    char names[128], text[FAULT_TEXT_BYTES];
    service_names(s, names, sizeof names);
    snprintf(text, sizeof text, "model: the reference worker has no '%.40s'; it has %.110s", model,
             names);
    maas_call_fail(call, 400, text, NULL);
}

static void refuse(struct maas_call *call, const char *why)
{
    maas_call_fail(call, 400, why, NULL);
}

static void start_engine(struct service *s, struct maas_call *call, const struct maas_request *req)
{
    size_t i = 0;
    while (i < ENGINES && strcmp(engines[i].name, req->model) != 0)
        i++;
    if (i == ENGINES)
        refuse_unknown(s, call, req->model);
    else if (req->capability != engines[i].capability)
        refuse(call, "model: it does not do what this endpoint asks for");
    else if (req->stream)
        refuse(call, "stream: of the reference worker's models only those of text can stream");
    else
        engines[i].start(&s->jobs, call);
}

static void on_request(struct maas_call *call, const struct maas_request *req, void *arg)
{
    struct service *s = arg;
    const struct ngram *text = models_find(&s->models, req->model);
    const struct chat_limits limits = { req->max_output_tokens, s->token_delay_ms, s->prefix,
                                        req->capability == MAAS_COMPLETIONS };
    if (!text)
        start_engine(s, call, req);
    else if (req->capability != MAAS_CHAT && req->capability != MAAS_COMPLETIONS)
        refuse(call, "model: it does not do what this endpoint asks for");
    else
        chat_start(&s->jobs, call, text, &limits);
}

/* A call without a job is one that has just been failed: the library may still speak of it. */
static void on_cancel(struct maas_call *call, void *arg)
{
    (void)arg;
    if (maas_call_data(call))
        job_cancel(maas_call_data(call));
}

static void on_writable(struct maas_call *call, void *arg)
{
    (void)arg;
    if (maas_call_data(call))
        job_writable(maas_call_data(call));
}

static void on_gone(struct maas_call *call, void *arg)
{
    (void)arg;
    if (maas_call_data(call))
        job_gone(maas_call_data(call));
}

const struct maas_handler service_handler = { on_request, on_cancel, on_writable, on_gone };
