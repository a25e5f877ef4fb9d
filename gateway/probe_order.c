/* gateway/probe_order.c -- which model a probe asks, and what: the least that each kind of model
 * answers. */
#include "base/cleanup.h"
#include "gateway/kind.h"
#include "gateway/probe_parts.h"
#include <jansson.h>

enum { TENSOR_ELEMENTS_MAX = 64 * 1024, FIRST_RATE = 8000, SILENCE_BYTES = 1600 };

/* ---- what is asked ---- */

#define BOUNDARY "maasgate-probe-4f1c"

/* "@" stands for the model's name in quotes.  In this order one is chosen, the cheapest that tells
 * most first. */
static const struct question {
    enum capability capability;
    const char *json, *stream; /* more members for a stream; NULL: it does not stream */
} questions[] = {
    { CAP_CHAT,
      "{\"model\":@,\"messages\":[{\"role\":\"user\",\"content\":\"Say OK.\"}],"
      "\"max_tokens\":1",
      ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" },
    { CAP_COMPLETIONS, "{\"model\":@,\"prompt\":\"Say OK.\",\"max_tokens\":1",
      ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" },
    { CAP_EMBEDDINGS, "{\"model\":@,\"input\":\"OK\"", NULL },
    { CAP_RERANK, "{\"model\":@,\"query\":\"OK\",\"documents\":[\"OK\",\"no\"]", NULL },
    { CAP_MODERATION, "{\"model\":@,\"input\":\"OK\"", NULL },
    { CAP_INFER, NULL, NULL },
    { CAP_TRANSCRIPTION, NULL, NULL },
    { CAP_TRANSLATION, NULL, NULL },
    { CAP_SPEECH, "{\"model\":@,\"input\":\"OK\",\"voice\":\"alloy\"", NULL },
    { CAP_IMAGES, "{\"model\":@,\"prompt\":\"a dot\",\"n\":1", NULL },
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

static bool write_json(struct probe *p, const struct question *q)
{
    const char *at = strchr(q->json, '@');
    AUTO(json_decref_ptr) json_t *name = json_string(p->route->model);
    AUTO(free_ptr) char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    return quoted && buf_printf(&p->body, "%.*s%s%s%s}", (int)(at - q->json), q->json, quoted,
                                at + 1, p->order.stream ? q->stream : "");
}

/* A tenth of a second of silence, as WAV. */
static bool write_silence(struct buf *b)
{
    static const unsigned char head[44] =
        "RIFF\x64\x06\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        "\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
        "data\x40\x06\x00";
    static const char silence[SILENCE_BYTES];
    return buf_add(b, head, sizeof head) && buf_add(b, silence, sizeof silence);
}

static bool write_form(struct probe *p)
{
    p->order.format.content_type = "multipart/form-data; boundary=" BOUNDARY;
    return buf_printf(&p->body,
                      "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%s"
                      "\r\n--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; "
                      "filename=\"silence.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
                      p->route->model) &&
           write_silence(&p->body) && buf_text(&p->body, "\r\n--" BOUNDARY "--\r\n");
}

/* ---- tensors: zeros of the shape that the configuration gives ---- */

static const char *zero_of(const char *datatype)
{
    if (strcmp(datatype, "BOOL") == 0)
        return "false";
    return strcmp(datatype, "BYTES") == 0 ? "\"\"" : "0";
}

/* Any size is 1. */
static json_int_t shape_of(const json_t *input, json_t **ret)
{
    json_int_t elements = 1;
    json_t *size;
    size_t i;
    *ret = json_array();
    json_array_foreach (json_object_get(input, "shape"), i, size) {
        json_int_t n = json_integer_value(size);
        n = n > 0 ? n : 1;
        elements = elements <= TENSOR_ELEMENTS_MAX ? elements * n : elements;
        json_array_append_new(*ret, json_integer(n));
    }
    return elements;
}

static bool write_tensor(struct buf *b, const json_t *input, json_int_t *room)
{
    AUTO(json_decref_ptr) json_t *shape = NULL;
    json_int_t elements = shape_of(input, &shape);
    const char *type = json_string_value(json_object_get(input, "datatype"));
    AUTO(json_decref_ptr)
    json_t *head = json_pack("{s:O,s:O,s:O}", "name", json_object_get(input, "name"), "shape",
                             shape, "datatype", json_object_get(input, "datatype"));
    AUTO(free_ptr) char *text = head ? json_dumps(head, JSON_COMPACT) : NULL;
    *room -= elements;
    bool ok =
        text && *room >= 0 && buf_add(b, text, strlen(text) - 1) && buf_text(b, ",\"data\":[");
    for (json_int_t i = 0; ok && i < elements; i++)
        ok = buf_printf(b, "%s%s", i ? "," : "", zero_of(type));
    return ok && buf_text(b, "]}");
}

static enum status write_tensors(struct probe *p)
{
    struct json_problem ignored;
    AUTO(json_decref_ptr) json_t *tensors = NULL;
    const char *json = p->model->tensor_json;
    json_int_t room = TENSOR_ELEMENTS_MAX;
    json_t *input;
    size_t i;
    if (!*json)
        return admin_refuse(p->job, STATUS_BAD_FIELD, "model",
                            "'%s' has no 'tensor' in the configuration, so nobody knows what to "
                            "send it",
                            p->model->id);
    if (json_read_text((struct span){ json, strlen(json) }, &tensors, &ignored) != STATUS_OK)
        return STATUS_NO_MEMORY;
    bool ok = buf_text(&p->body, "{\"inputs\":[");
    json_array_foreach (json_object_get(tensors, "inputs"), i, input)
        ok = ok && (i == 0 || buf_text(&p->body, ",")) && write_tensor(&p->body, input, &room);
    if (room < 0)
        return admin_refuse(p->job, STATUS_BAD_FIELD, "model",
                            "the inputs of '%s' have more than %d elements", p->model->id,
                            TENSOR_ELEMENTS_MAX);
    return ok && buf_text(&p->body, "]}") ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- who is asked ---- */

static enum status refuse_names(struct admin_job *job, const char *field, const char *what,
                                struct buf *names)
{
    enum status s = admin_refuse(job, STATUS_NOT_FOUND, field, "%s%.180s", what,
                                 names->at ? names->at : "none");
    buf_free(names);
    return s;
}

static bool add_name(struct buf *names, const char *name)
{
    return buf_printf(names, "%s%s", names->len ? ", " : "", name);
}

static enum status find_backend(struct probe *p, const struct catalog *c)
{
    struct buf names;
    buf_init(&names, 512);
    for (size_t i = 0; i < c->backend_count && !p->conf; i++) {
        if (strcmp(c->backends[i].name, p->job->args.name) == 0)
            p->conf = &c->backends[i];
        else if (!add_name(&names, c->backends[i].name))
            continue; /* the list is long enough */
    }
    if (!p->conf)
        return refuse_names(p->job, "name", "there is no such backend; there are: ", &names);
    buf_free(&names);
    return STATUS_OK;
}

static const struct question *question_for(const struct catalog_model *m)
{
    for (size_t i = 0; i < QUESTIONS; i++)
        if (m->capabilities & questions[i].capability)
            return &questions[i];
    return NULL;
}

/* By its id, or by the backend's own name for it. */
static bool is_wanted(const char *wanted, const struct catalog_model *m,
                      const struct catalog_route *r)
{
    return !wanted || strcmp(wanted, m->id) == 0 || strcmp(wanted, r->model) == 0;
}

/* The first model whose question comes first. */
static const struct question *find_model(struct probe *p, const struct catalog *c,
                                         struct buf *names)
{
    const struct question *best = NULL;
    for (const struct catalog_model *m = c->models; m < c->models + c->model_count; m++)
        for (const struct catalog_route *r = m->routes; r < m->routes + m->route_count; r++) {
            const struct question *q = question_for(m);
            if (r->backend != p->conf || !q)
                continue;
            if (!is_wanted(p->job->args.model, m, r)) {
                if (!add_name(names, m->id))
                    continue; /* the list is long enough */
            } else if (!best || q < best) {
                best = q;
                p->model = m;
                p->route = r;
            }
        }
    return best;
}

static enum status write_body(struct probe *p, const struct question *q)
{
    if (q->capability == CAP_INFER)
        return write_tensors(p);
    bool ok = q->json ? write_json(p, q) : write_form(p);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* As a request would be given them, within the patience of who asks. */
static void set_timeouts(struct probe *p)
{
    const struct conf *conf = p->job->daemon->conf;
    const struct catalog_backend *b = p->conf;
    uint64_t asked = (uint64_t)p->job->args.timeout_ms;
    uint64_t total = asked ? asked : PROBE_TIMEOUT_MS;
    uint64_t first =
        b->first_byte_timeout_ms ? b->first_byte_timeout_ms : conf->first_byte_timeout_ms;
    uint64_t chunk = b->chunk_timeout_ms ? b->chunk_timeout_ms : conf->chunk_timeout_ms;
    p->order.first_byte_timeout_ms = lesser(total, first);
    p->order.chunk_timeout_ms = lesser(total, chunk);
    p->order.total_timeout_ms = total;
}

enum status probe_choose(struct probe *p, const struct catalog *c)
{
    struct buf names;
    enum status s = find_backend(p, c);
    if (s != STATUS_OK)
        return s;
    buf_init(&names, 512);
    const struct question *q = find_model(p, c, &names);
    if (!q)
        return refuse_names(p->job, "model",
                            "that model has no route to this backend; these have: ", &names);
    buf_free(&names);
    if (p->job->args.stream && !q->stream)
        return admin_refuse(p->job, STATUS_BAD_FIELD, "stream", "'%s' does not stream",
                            p->model->id);
    p->capability = q->capability;
    p->order = (struct backend_order){
        .capability = q->capability,
        .model = p->route->model,
        .public_model = p->model->id,
        .stream = p->job->args.stream,
        .any_format = kind_of(q->capability)->traits & KIND_ANY,
        .max_out = 1,
    };
    set_timeouts(p);
    s = write_body(p, q);
    p->order.body = buf_span(&p->body);
    return s;
}
