/* backends/worker/call.h -- one request as the library keeps it; engines see only the pointer. */
#ifndef MAASWORKER_CALL_H
#define MAASWORKER_CALL_H
#include "backends/wire.h"
#include "backends/worker/maasworker.h"

/* Output that did not fit yet, in order. */
struct wk_piece {
    struct wk_piece *next;
    size_t len, at;
    uint16_t flags;
    struct wire_data counters;
    char bytes[];
};

enum wk_call_state {
    WK_FREE,
    WK_BODY,    /* the request is still arriving */
    WK_OPEN,    /* the engine has it */
    WK_CLOSING, /* the engine has finished; pieces and FINAL still go out */
};

struct maas_call {
    struct wk_session *session;
    uint32_t slot, gen, credit;
    enum wk_call_state state;
    bool cancelled, wants_room, queued, chat_began;
    struct maas_request req;
    char *text; /* model, public model and body, each with its NUL */
    size_t text_size, body_got;
    void *data;
    int64_t created;
    struct maas_usage so_far;
    struct wk_piece *first, *last;
    struct maas_call *next_out;
    struct wire_final final;
    char message[WIRE_MESSAGE_MAX];
    uint32_t message_len;
    char utf8[4]; /* the beginning of a character whose rest comes with the next delta */
    uint32_t utf8_len;
    bool data_sent;  /* or waits to be */
    bool format_due; /* the first DATA says what the bytes are */
    struct wire_format format;
    char content_type[WIRE_CONTENT_TYPE_MAX + 1], request_type[WIRE_CONTENT_TYPE_MAX + 1];
};
#endif
