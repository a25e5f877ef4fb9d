/* gateway/ask_text.c -- bodies that ask for text: chat and completions. */
#include "gateway/ask_parts.h"

enum { BEST_OF_MAX = 20, PROMPTS_MAX = 2048 };

enum status ask_chat(struct ask *a, struct ask_error *e)
{
    int64_t completion = 0;
    enum status s = ask_want(a, ASK_MESSAGES, 1u << J_ARRAY, "an array of messages", e);
    if (s == STATUS_OK && jscan_array_count(a->field[ASK_MESSAGES].value) == 0)
        s = ask_problem(e, STATUS_BAD_FIELD, "messages", "'messages' must not be empty");
    if (s == STATUS_OK)
        s = ask_stream(a, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_N, ASK_CHOICES_MAX, &a->n, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_MAX_TOKENS, ASK_OUTPUT_TOKENS_MAX, &a->max_out, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_MAX_COMPLETION_TOKENS, ASK_OUTPUT_TOKENS_MAX, &completion, e);
    if (s == STATUS_OK && completion && a->max_out && completion != a->max_out)
        s = ask_problem(e, STATUS_BAD_FIELD, "max_completion_tokens",
                        "'max_tokens' and 'max_completion_tokens' contradict each other");
    if (completion)
        a->max_out = completion;
    a->generated = (uint64_t)a->n;
    return s;
}

/* The first byte of an array's first element: '"', '[', a digit.  The array has been validated. */
static char first_of(struct span array)
{
    size_t at = 1;
    while (memchr(" \t\r\n", array.at[at], 4))
        at++;
    return array.at[at];
}

/* A string, an array of strings, an array of token ids (one prompt) or an array of those. */
static enum status read_prompts(const struct ask *a, uint64_t *ret, struct ask_error *e)
{
    const struct jfield *f = &a->field[ASK_PROMPT];
    enum status s = ask_want(a, ASK_PROMPT, 1u << J_STRING | 1u << J_ARRAY,
                             "a string or an array of strings or token ids", e);
    *ret = 1;
    if (s != STATUS_OK || f->type == J_STRING)
        return s;
    size_t count = jscan_array_count(f->value);
    if (count == 0)
        return ask_problem(e, STATUS_BAD_FIELD, "prompt", "'prompt' must not be empty");
    char first = first_of(f->value);
    if (first != '"' && first != '[') /* ids, or what the backend will refuse */
        return STATUS_OK;
    if (count > PROMPTS_MAX)
        return ask_problem(e, STATUS_BAD_FIELD, "prompt", "'prompt' may have at most %d elements",
                           PROMPTS_MAX);
    *ret = count;
    return STATUS_OK;
}

/* Each prompt is answered best_of times, of which n are shown; all of it is output. */
enum status ask_completions(struct ask *a, struct ask_error *e)
{
    uint64_t prompts = 1;
    int64_t best_of = 0;
    enum status s = read_prompts(a, &prompts, e);
    if (s == STATUS_OK)
        s = ask_stream(a, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_N, ASK_CHOICES_MAX, &a->n, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_BEST_OF, BEST_OF_MAX, &best_of, e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_MAX_TOKENS, ASK_OUTPUT_TOKENS_MAX, &a->max_out, e);
    if (s == STATUS_OK && best_of && best_of < a->n)
        s = ask_problem(e, STATUS_BAD_FIELD, "best_of", "'best_of' must not be less than 'n'");
    if (s == STATUS_OK && best_of > 1 && a->stream)
        s = ask_problem(e, STATUS_BAD_FIELD, "best_of", "a stream cannot have 'best_of'");
    a->generated = prompts * (uint64_t)(best_of > a->n ? best_of : a->n);
    return s;
}
