/* gateway/routes.h -- which paths there are: one array, matched on the raw target.
 *
 * A path is [level prefix] + suffix.  The prefix (/base, /domain/D, /industry/I/..)
 * narrows which models a name may mean.  Model ids contain '/': they are accepted
 * raw or as %2F, only where a row says {model}; anywhere else an encoded slash or
 * dot is refused.
 */
#ifndef MAAS_ROUTES_H
#define MAAS_ROUTES_H
#include "auth/keys.h"
#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "billing/ledger.h"
#include "conf/catalog.h"
#include "gateway/pipeline.h"
#include <stdbool.h>

enum method { METHOD_GET = 1, METHOD_HEAD = 2, METHOD_POST = 4 };
/* {"error":{..}}, {"error":"text"}, {"message":"text"}, {"type":"error","error":{..}} */
enum error_shape { ERRORS_OPENAI, ERRORS_OIP, ERRORS_COHERE, ERRORS_ANTHROPIC };

struct route_row {
    const char
        *suffix; /* "/v1/chat/completions"; "{model}" stands for a model id, other holes likewise */
    unsigned methods;  /* enum method bits */
    enum key_role key; /* who may; KEY_NONE: anybody */
    bool levels;       /* also under a level prefix */
    enum error_shape errors;
    enum capability capability; /* of the model it calls; 0: a free question */
    enum endpoint endpoint;     /* billed as; only with capability */
    stage_fn *answer;           /* the free question's own answer; else NULL */
};

extern const struct route_row route_table[];
extern const unsigned route_count;

struct target {
    const struct route_row *row;
    struct catalog_scope scope;
    struct span model; /* decoded {model}, {number} or {kind}; lies in the arena */
};

/* OK; NOT_FOUND; METHOD_NOT_ALLOWED (*ret_allow: "GET, HEAD"); BAD_FRAMING for a
 * target no client of ours sends (control characters, dot segments, %00...). */
MUST_CHECK enum status route_match(const char *method, struct span path, struct arena *a,
                                   struct target *ret, const char **ret_allow);

/* The suffix that a path which is not found ends like, but for its "/v1": what a wrong base URL was
 * to reach.  NULL: none. */
const char *route_meant(struct span path);

/* The shape of an error about a path that may not be one of ours, by what it begins with. */
enum error_shape route_errors(struct span path);

/* api_*.c */
stage_fn answer_models, answer_model, answer_usage, answer_spend, answer_costs, answer_usage_report,
    answer_cost_report, answer_invoices, answer_draft, answer_statements, answer_line_requests,
    answer_margin, answer_invoice, answer_health, answer_ready, answer_root, answer_oip_live,
    answer_oip_ready, answer_oip_server, answer_oip_model, answer_oip_model_ready;

#endif
