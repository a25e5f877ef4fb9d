/* tests/faults/backend/script.h -- what the backend does with a request, read from JSON.
 *
 * tests/faults/README.md is the text of the language; the table of verbs is in script.c.
 */
#ifndef FAULTS_SCRIPT_H
#define FAULTS_SCRIPT_H
#include "base/span.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verb {
    V_WAIT,
    V_ROLE,
    V_TOKENS,
    V_SAY,
    V_USAGE,
    V_FINISH,
    V_USAGE_EVENT,
    V_DONE,
    V_FINAL,
    V_BODY,
    V_HEAD,
    V_BYTES,
    V_FRAME,
    V_CUT,
    V_FIN,
    V_RESET,
    V_HANG,
    V_EXIT,
    V_STOP,
    V_KILL,
    V_ORPHAN,
    V_HARM,
};

struct step {
    enum verb verb;
    int64_t n;      /* its number: ms, tokens, code, bytes; ASKED: what the prompt says */
    json_t *value;  /* its argument; NULL: none.  The script owns it. */
    json_t *object; /* the whole step, for its options; NULL: it was a word */
};

enum { ASKED = -1 };

enum on_cancel { CANCEL_FINAL, CANCEL_DEAF, CANCEL_SILENT };

struct rule {
    json_t *when; /* NULL: always */
    unsigned met; /* requests that matched so far, for "nth" */
    struct step *steps;
    size_t count;
    enum on_cancel cancelled;
};

struct script {
    unsigned refs;
    json_t *tree;
    struct rule *rules, *connections;
    size_t rule_count, connection_count;
    bool journal_tokens, journal_requests, pong;
    uint32_t slots;
};

struct asked { /* what a rule may look at */
    const char *path, *model;
    bool stream;
    struct span body, headers; /* headers: as they came; empty where there are none */
};

/* NULL and a sentence in err.  NULL text: the script that answers everything well. */
struct script *script_new(const char *text, size_t len, char err[static 256]);
struct script *script_ref(struct script *s);
void script_unref(struct script *s);
/* The first rule that fits; NULL: none does. */
struct rule *script_find(struct script *s, const struct asked *a);
/* Of the nth connection, counted from 1; NULL: nothing unusual. */
struct rule *script_connection(struct script *s, unsigned nth);
int64_t step_option(const struct step *s, const char *name, int64_t otherwise);
const char *step_text(const struct step *s, const char *name); /* NULL: not there */
#endif
