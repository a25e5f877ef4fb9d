/* gateway/choices.c -- see choices.h. */
#include "gateway/choices.h"
#include "gateway/kind.h"
#include "gateway/request.h"

enum { TAIL_BYTES = 1024 }; /* a finish reason stands behind the text, before the usage */

/* Inside of a string its quotes would be escaped. */
static bool tells_of_filter(struct span text)
{
    static const struct span word = SPAN("\"content_filter\"");
    return memmem(text.at, text.len, word.at, word.len) != NULL;
}

static bool has_choices(const struct request *r)
{
    return kind_of(r->target.row->capability)->output == OUTPUT_ASKED;
}

/* 1: they are not counted.  Of best_of answers nobody knows which are shown. */
static uint64_t asked_for(const struct request *r)
{
    return has_choices(r) && r->ask.field[ASK_BEST_OF].type == J_ABSENT ? r->ask.generated : 1;
}

/* With a reason that is no error. */
static bool is_finished(const struct jfield *choice)
{
    struct jfield reason = { .key = "finish_reason" };
    return choice->type == J_OBJECT && jscan_member(choice->value, &reason, 1) == STATUS_OK &&
           reason.type == J_STRING && !span_is(reason.value, "\"error\"");
}

/* The text is one JSON object, or (of a backend that lies) none: then there are no choices. */
static uint64_t count_finished(struct span text)
{
    struct jfield choices = { .key = "choices" }, choice;
    struct jscan_error error;
    uint64_t count = 0;
    size_t at = 0;
    if (jscan_object(text, &choices, 1, &error) != STATUS_OK || choices.type != J_ARRAY)
        return 0;
    while (jscan_element(choices.value, &at, &choice))
        count += is_finished(&choice);
    return count;
}

void choices_event(struct request *r, struct span event, bool carried)
{
    if (!carried && !r->work.filtered)
        r->work.filtered = tells_of_filter(event);
    if (asked_for(r) > 1)
        r->work.choices_finished += count_finished(event);
}

bool choices_filtered(const struct request *r)
{
    struct span whole = buf_span(&r->answer.body);
    if (r->ask.stream || !has_choices(r) || !whole.at)
        return r->work.filtered;
    size_t tail = whole.len < TAIL_BYTES ? whole.len : TAIL_BYTES;
    return tells_of_filter((struct span){ whole.at + whole.len - tail, tail });
}

bool choices_missing(const struct request *r)
{
    uint64_t asked = asked_for(r);
    if (asked <= 1)
        return false;
    return (r->ask.stream ? r->work.choices_finished : count_finished(buf_span(&r->answer.body))) <
           asked;
}
