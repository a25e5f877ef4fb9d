/* gateway/words.c -- see words.h. */
#include "gateway/words.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "gateway/daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_BYTES_MAX = 256 << 10, NAME_BYTES_MAX = 80 };

static enum status trouble(char err[static 256], const char *path)
{
    snprintf(err, 256, "%.180s: %s", path, strerror(errno));
    return STATUS_STORE_FAILED;
}

static void path_of(const struct daemon *d, const char *suffix, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/disabled_backends%s", d->conf->state_dir, suffix);
}

enum status words_load(struct daemon *d, char err[static 256])
{
    char path[PATH_MAX], line[NAME_BYTES_MAX];
    path_of(d, "", path);
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? STATUS_OK : trouble(err, path);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        (void)roster_say(&d->roster, line, WORD_DISABLED);
    }
    fclose(file);
    return STATUS_OK;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static bool sync_directory(const char *dir)
{
    AUTO(close_ptr) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

/* A new file in the place of the old one, so that a crash leaves one of them whole. */
static enum status replace(const struct daemon *d, const struct buf *text, char err[static 256])
{
    char path[PATH_MAX], next[PATH_MAX];
    path_of(d, "", path);
    path_of(d, ".new", next);
    AUTO(close_ptr) int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_all(fd, text->at, text->len) || fsync(fd) != 0)
        return trouble(err, next);
    if (rename(next, path) != 0 || !sync_directory(d->conf->state_dir))
        return trouble(err, path);
    return STATUS_OK;
}

enum status words_store(struct daemon *d, char err[static 256])
{
    AUTO(buf_free) struct buf text;
    const struct catalog *c = d->conf->catalog;
    bool ok = true;
    buf_init(&text, WORDS_BYTES_MAX);
    for (size_t i = 0; ok && i < c->backend_count; i++)
        if (roster_word(&d->roster, c->backends[i].name) == WORD_DISABLED)
            ok = buf_printf(&text, "%s\n", c->backends[i].name);
    if (ok)
        return replace(d, &text, err);
    snprintf(err, 256, "out of memory");
    return STATUS_NO_MEMORY;
}
