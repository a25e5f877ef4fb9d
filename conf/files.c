/* conf/files.c -- files that the configuration names and that are read with it. */
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/draft.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static enum status cannot_read(struct conf_reader *r, const struct yaml_node *at)
{
    char sentence[128];
    return conf_fail(r, at, "'%.200s' cannot be read: %s", at->text,
                     strerror_r(errno, sentence, sizeof sentence));
}

/* The room is taken once: a copy that realloc leaves behind could not be wiped. */
static enum status read_all(struct conf_reader *r, const struct yaml_node *at, int fd, size_t max,
                            struct conf_file *ret)
{
    ret->at = malloc(max + 1);
    ret->room = max + 1;
    if (!ret->at)
        return conf_no_memory(r);
    while (ret->len <= max) {
        ssize_t n = read(fd, ret->at + ret->len, max + 1 - ret->len);
        if (n < 0)
            return cannot_read(r, at);
        if (n == 0)
            return STATUS_OK;
        ret->len += (size_t)n;
    }
    return conf_fail(r, at, "'%.200s' holds more than %zu bytes", at->text, max);
}

enum status conf_file(struct conf_reader *r, const struct yaml_node *at, size_t max, bool secret,
                      struct conf_file *ret)
{
    AUTO(close_ptr) int fd = open(at->text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot_read(r, at);
    if (!S_ISREG(st.st_mode))
        return conf_fail(r, at, "'%.200s' is not a regular file", at->text);
    if (secret && st.st_mode & S_IROTH)
        return conf_fail(r, at, "'%.120s' can be read by everyone; run: chmod 600 %.120s", at->text,
                         at->text);
    if (st.st_size > (off_t)max)
        return conf_fail(r, at, "'%.200s' holds %lld bytes; at most %zu", at->text,
                         (long long)st.st_size, max);
    return read_all(r, at, fd, max, ret);
}

void conf_file_wipe(struct conf_file *f)
{
    if (f->at)
        digest_wipe(f->at, f->room);
    free(f->at);
    *f = (struct conf_file){ 0 };
}
