/* gateway/conversation.c -- see conversation.h.
 *
 * Of a long message only its length and both ends are looked at: what a choice costs
 * does not grow with the prompt. */
#include "gateway/conversation.h"
#include "base/digest.h"
#include "base/jscan.h"
#include "gateway/request.h"

enum { MESSAGES_MAX = 8, END_BYTES = 512 };

struct head {
    uint8_t bytes[(2 * END_BYTES + 8) * MESSAGES_MAX + 16];
    size_t len;
};

static void add(struct head *h, const void *bytes, size_t len)
{
    memcpy(h->bytes + h->len, bytes, len);
    h->len += len;
}

static void add_number(struct head *h, uint64_t n)
{
    add(h, &n, sizeof n);
}

static void add_message(struct head *h, struct span m)
{
    size_t first = m.len < END_BYTES ? m.len : END_BYTES, rest = m.len - first;
    size_t last = rest < END_BYTES ? rest : END_BYTES;
    add_number(h, m.len);
    add(h, m.at, first);
    add(h, m.at + m.len - last, last);
}

static bool is_users(const struct jfield *message)
{
    struct jfield role = { .key = "role" };
    return message->type == J_OBJECT && jscan_member(message->value, &role, 1) == STATUS_OK &&
           role.type == J_STRING && span_is(role.value, "\"user\"");
}

uint64_t conversation_key(const struct request *r)
{
    const struct jfield *messages = &r->ask.field[ASK_MESSAGES];
    struct jfield message;
    struct head h; /* large: only `len` bytes of it are anything */
    h.len = 0;
    uint8_t digest[DIGEST_BYTES];
    uint64_t key;
    size_t at = 0;
    if (messages->type != J_ARRAY)
        return 0;
    add_number(&h, (uint64_t)r->key->project_id);
    add_number(&h, (uint64_t)r->model->db_id);
    for (int i = 0; i < MESSAGES_MAX && jscan_element(messages->value, &at, &message); i++) {
        add_message(&h, message.value);
        if (is_users(&message))
            break;
    }
    hmac_sha256(&r->loop->daemon->conversations, h.bytes, h.len, digest);
    memcpy(&key, digest, sizeof key);
    return key ? key : 1;
}
