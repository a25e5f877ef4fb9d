/* tests/helpers/contract_worker.h -- a worker in a child process that does what the model's name says.
 *
 *   echo     answers with the body as it came            silent   never answers, and finishes when cancelled
 *   format   the same with the body's content type and header length
 *   count    streams {"n":0}.. as many as the body says  trickle  one event a millisecond, until cancelled
 *   big      answers with as many bytes as the body says long     one event of that many bytes
 *   garbage  writes nonsense where frames should be      refuse   fails with 400 and a message
 *   fork     dies, and leaves a child that holds its sockets open
 *   forked   the same, but the child has let go of them
 *   blind    chats without counting its output
 *   counts   says by counters alone that the body's number of tokens has been made
 *   repeat   streams the body 20 times; when it is a multiple of 3 it does not end by itself
 *   chat     OpenAI's shapes: awkward deltas, or the body   thread  answers "later" from another thread
 */
#ifndef CONTRACT_WORKER_H
#define CONTRACT_WORKER_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
    pid_t pid;
    char dir[64];      /* of its sockets */
    char address[128]; /* as the configuration would say it */
};

/* `listen` is "shm", "unix" or "tcp".  Dies with the test. */
void contract_worker_start(const char *listen, struct peer *ret);
void contract_worker_stop(struct peer *p);
/* The byte at a place of a big answer: never the same for a long time. */
char contract_byte(size_t at);
#endif
