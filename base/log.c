/* base/log.c -- composes a line on the caller's thread, writes it on its own.
 *
 * The queue is an array of whole lines behind a mutex that is held for a copy and
 * never across a system call.  The log thread waits with poll() before it writes,
 * so that a stuck reader of stderr cannot keep log_stop from returning.
 */
#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = LOG_LINE_BYTES_MAX - 96, STUCK_MS = 1000 };

struct line {
    size_t len;
    char at[LOG_LINE_BYTES_MAX];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_t thread;
    bool running, stopping;
    size_t first, count;
    uint64_t dropped;
    uint64_t reported; /* of dropped; the log thread's own, also over a stop and a start */
    struct line lines[LOG_QUEUE_LINES];
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER };

static const struct {
    const char *name;
    int priority; /* of syslog, as the journal wants it */
} levels[] = {
    [LEVEL_ERROR] = { "error", 3 },
    [LEVEL_WARNING] = { "warning", 4 },
    [LEVEL_INFO] = { "info", 6 },
    [LEVEL_DEBUG] = { "debug", 7 },
};
static const char *const blames[] = {
    [BLAME_NONE] = "",
    [BLAME_BUG] = " blame=bug",
    [BLAME_PEER] = " blame=peer",
    [BLAME_ENV] = " blame=env",
};

static atomic_int level_most = LEVEL_INFO;
static atomic_int out = STDERR_FILENO;
enum { JOURNAL_UNKNOWN, JOURNAL_NO, JOURNAL_YES };
static atomic_int journal; /* is `out` the journal's socket */

void log_set_level(enum log_level most)
{
    level_most = (int)most;
}

bool log_level_find(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(levels[i].name, name) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

void log_to(int fd)
{
    out = fd;
    journal = JOURNAL_UNKNOWN;
}

/* The service manager names the socket's device and inode, so that a redirected stderr is seen. */
static bool is_journal(void)
{
    if (journal == JOURNAL_UNKNOWN) {
        char name[64];
        struct stat st;
        const char *told = getenv("JOURNAL_STREAM");
        bool same = told && fstat(out, &st) == 0 &&
                    snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev,
                             (uintmax_t)st.st_ino) < (int)sizeof name &&
                    strcmp(told, name) == 0;
        journal = same ? JOURNAL_YES : JOURNAL_NO;
    }
    return journal == JOURNAL_YES;
}

/* The journal keeps its own time; everybody else is told. */
static size_t put_head(char *to, size_t room, enum log_level level, enum log_blame blame)
{
    int len;
    if (is_journal()) {
        len = snprintf(to, room, "<%d>level=%s%s ", levels[level].priority, levels[level].name,
                       blames[blame]);
    } else {
        struct timespec now;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        char day[32];
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
        len = snprintf(to, room, "%s.%03dZ level=%s%s ", day, (int)(now.tv_nsec / 1000000),
                       levels[level].name, blames[blame]);
    }
    return (size_t)len;
}

/* Whether a byte could move the cursor or end the line: C0, DEL and the C1 range in UTF-8. */
static bool is_control(const char *at, size_t left)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x20 || c == 0x7f ||
           (c == 0xc2 && left > 1 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0);
}

/* Copies with control characters escaped; stops before `room` is full.  Returns the length. */
static size_t put_clean(char *to, size_t room, const char *text, size_t len)
{
    size_t used = 0;
    for (size_t i = 0; i < len && used + 5 <= room; i++) {
        if (text[i] == '\n') {
            memcpy(to + used, "\\n", 2);
            used += 2;
        } else if (is_control(text + i, len - i)) {
            used += (size_t)snprintf(to + used, 5, "\\x%02x", (unsigned char)text[i]);
        } else {
            to[used++] = text[i];
        }
    }
    return used;
}

__attribute__((format(printf, 4, 0))) static void compose(struct line *line, enum log_level level,
                                                          enum log_blame blame, const char *fmt,
                                                          va_list args)
{
    char text[TEXT_BYTES_MAX];
    int wanted = vsnprintf(text, sizeof text, fmt, args);
    size_t len = wanted < 0 ? 0 : (size_t)wanted;
    bool cut = len >= sizeof text;
    if (cut)
        len = sizeof text - 1;
    line->len = put_head(line->at, sizeof line->at, level, blame);
    line->len += put_clean(line->at + line->len, sizeof line->at - line->len - 4, text, len);
    if (cut || line->len > sizeof line->at - 9) {
        memcpy(line->at + line->len, "...", 3);
        line->len += 3;
    }
    line->at[line->len++] = '\n';
}

static void write_line(const struct line *line)
{
    for (size_t done = 0; done < line->len;) {
        ssize_t n = write(out, line->at + done, line->len - done);
        if (n < 0 && errno != EINTR)
            return; /* nobody is left to be told */
        done += n > 0 ? (size_t)n : 0;
    }
}

/* True when the line was taken (or dropped); false when the caller has to write it. */
static bool enqueue(const struct line *line)
{
    pthread_mutex_lock(&queue.lock);
    bool running = queue.running, was_empty = queue.count == 0;
    if (running && queue.count < LOG_QUEUE_LINES) {
        struct line *slot = &queue.lines[(queue.first + queue.count++) % LOG_QUEUE_LINES];
        slot->len = line->len;
        memcpy(slot->at, line->at, line->len);
    } else if (running) {
        queue.dropped++;
    }
    pthread_mutex_unlock(&queue.lock);
    if (running && was_empty)
        pthread_cond_signal(&queue.filled);
    return running;
}

void log_write(enum log_level level, enum log_blame blame, const char *fmt, ...)
{
    if ((int)level > level_most)
        return;
    struct line line;
    int saved = errno;
    va_list args;
    va_start(args, fmt);
    compose(&line, level, blame, fmt, args);
    va_end(args);
    if (!enqueue(&line))
        write_line(&line);
    errno = saved;
}

static void write_now(enum log_level level, enum log_blame blame, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void write_now(enum log_level level, enum log_blame blame, const char *fmt, ...)
{
    struct line line;
    va_list args;
    va_start(args, fmt);
    compose(&line, level, blame, fmt, args);
    va_end(args);
    write_line(&line);
}

static bool is_stopping(void)
{
    pthread_mutex_lock(&queue.lock);
    bool stopping = queue.stopping;
    pthread_mutex_unlock(&queue.lock);
    return stopping;
}

/* A line is shorter than PIPE_BUF, so a write after POLLOUT does not block. */
static bool wait_writable(void)
{
    struct pollfd p = { .fd = out, .events = POLLOUT };
    while (poll(&p, 1, STUCK_MS) <= 0)
        if (is_stopping())
            return false;
    return true;
}

/* The oldest line, which stays in the queue while it is written; NULL: stopped and empty. */
static const struct line *wait_line(uint64_t *ret_dropped)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.count == 0 && !queue.stopping)
        pthread_cond_wait(&queue.filled, &queue.lock);
    if (queue.count == 0)
        queue.running = false; /* from here on callers write for themselves */
    const struct line *line = queue.count ? &queue.lines[queue.first] : NULL;
    *ret_dropped = queue.dropped;
    pthread_mutex_unlock(&queue.lock);
    return line;
}

static void forget_line(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.first = (queue.first + 1) % LOG_QUEUE_LINES;
    queue.count--;
    pthread_mutex_unlock(&queue.lock);
}

/* Nobody reads and we are to stop: what is queued is lost. */
static void *give_up(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.dropped += queue.count;
    queue.count = 0;
    queue.running = false;
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

static void *log_thread(void *arg)
{
    (void)arg;
    uint64_t dropped;
    const struct line *line;
    while ((line = wait_line(&dropped))) {
        if (!wait_writable())
            return give_up();
        write_line(line);
        forget_line();
        if (dropped > queue.reported && wait_writable())
            write_now(LEVEL_WARNING, BLAME_ENV, "log_lines_dropped lines=%llu",
                      (unsigned long long)(dropped - queue.reported));
        queue.reported = dropped;
    }
    return NULL;
}

bool log_start(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    pthread_mutex_lock(&queue.lock);
    if (!queue.running) {
        queue.stopping = false;
        queue.running = pthread_create(&queue.thread, NULL, log_thread, NULL) == 0;
    }
    bool running = queue.running;
    pthread_mutex_unlock(&queue.lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return running;
}

void log_stop(void)
{
    pthread_mutex_lock(&queue.lock);
    bool running = queue.running;
    queue.stopping = true;
    pthread_mutex_unlock(&queue.lock);
    if (!running)
        return;
    pthread_cond_signal(&queue.filled);
    pthread_join(queue.thread, NULL);
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&queue.lock);
    uint64_t dropped = queue.dropped;
    pthread_mutex_unlock(&queue.lock);
    return dropped;
}

char *log_quote(const char *text, char buf[static LOG_QUOTE_BYTES])
{
    size_t used = 0;
    buf[used++] = '"';
    for (; *text && used + 4 <= LOG_QUOTE_BYTES; text++) {
        if (*text == '"' || *text == '\\')
            buf[used++] = '\\';
        buf[used++] = *text;
    }
    buf[used++] = '"';
    buf[used] = '\0';
    return buf;
}
