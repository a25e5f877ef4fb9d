/* base/log.h -- one line a fact, on stderr, and whose fault it is.
 *
 * A caller never waits for I/O: after log_start a line is copied into a bounded
 * queue which the log thread empties; when the queue is full the line is dropped
 * and counted, and the count is logged.  Before log_start and after log_stop a
 * line is written at once.  Any thread may log.
 *
 * Text is `event key=value key=value`.  Control characters are escaped, so that a
 * line stays one line; use log_quote for a value that comes from outside and may
 * contain spaces.  Priorities are sent as <N> only when stderr is the journal.
 */
#ifndef MAAS_LOG_H
#define MAAS_LOG_H
#include <stdbool.h>
#include <stdint.h>

enum { LOG_LINE_BYTES_MAX = 2048, LOG_QUEUE_LINES = 512, LOG_QUOTE_BYTES = 160 };

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* A bug is ours; a peer is a client or a backend that broke its protocol; the
 * environment is the disk, the memory, the network, the configuration. */
enum log_blame { BLAME_NONE, BLAME_BUG, BLAME_PEER, BLAME_ENV };

void log_write(enum log_level level, enum log_blame blame, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_bug(...)     log_write(LEVEL_ERROR, BLAME_BUG, __VA_ARGS__)
#define log_env(...)     log_write(LEVEL_ERROR, BLAME_ENV, __VA_ARGS__)
#define log_peer(...)    log_write(LEVEL_WARNING, BLAME_PEER, __VA_ARGS__)
#define log_warning(...) log_write(LEVEL_WARNING, BLAME_NONE, __VA_ARGS__)
#define log_info(...)    log_write(LEVEL_INFO, BLAME_NONE, __VA_ARGS__)
#define log_debug(...)   log_write(LEVEL_DEBUG, BLAME_NONE, __VA_ARGS__)

void log_set_level(enum log_level most); /* default LEVEL_INFO */
bool log_level_find(const char *name, enum log_level *ret);

/* Where lines go; stderr unless told. */
void log_to(int fd);

bool log_start(void); /* false: no thread; lines are still written, at once */
void log_stop(void);  /* writes what is queued; nothing when not started */
uint64_t log_dropped(void);

/* "text" in double quotes with quotes and backslashes escaped, cut to fit. Returns buf. */
char *log_quote(const char *text, char buf[static LOG_QUOTE_BYTES]);
#endif
