/* base/file.c -- see file.h. */
#include "base/file.h"
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static enum status failed(const char *path, char err[static 256])
{
    enum status s = errno == EEXIST ? STATUS_CONFLICT : STATUS_STORE_FAILED;
    snprintf(err, 256, "%.180s: %s", path, strerror(errno));
    return s;
}

bool file_path(char ret[static FILE_PATH_BYTES], const char *dir, const char *name)
{
    int len = snprintf(ret, FILE_PATH_BYTES, "%s/%s", dir, name);
    return len > 0 && len < FILE_PATH_BYTES;
}

enum status file_sync(const char *path, char err[static 256])
{
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? STATUS_OK : failed(path, err);
}

static enum status sync_name(const char *path, char err[static 256])
{
    const char *end = strrchr(path, '/');
    AUTO(free_ptr)
    char *dir = end ? strndup(path, end == path ? 1 : (size_t)(end - path)) : strdup(".");
    return dir ? file_sync(dir, err) : STATUS_NO_MEMORY;
}

enum status file_finish(const char *part, const char *path, char err[static 256])
{
    enum status s = file_sync(part, err);
    if (!s && renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
        s = failed(path, err);
    return s ? s : sync_name(path, err);
}

enum status file_sha256(const char *path, int64_t *ret_bytes, char hex[static DIGEST_HEX_BYTES],
                        char err[static 256])
{
    uint8_t sha256[DIGEST_BYTES];
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !digest_sha256_fd(fd, ret_bytes, sha256))
        return failed(path, err);
    digest_hex(sha256, sizeof sha256, hex);
    return STATUS_OK;
}

enum status file_write(const char *path, const char *text, char err[static 256])
{
    char part[FILE_PATH_BYTES];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part) {
        errno = ENAMETOOLONG;
        return failed(path, err);
    }
    unlink(part); /* what an earlier attempt left */
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    AUTO(fclose_ptr) FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f || fputs(text, f) < 0 || fflush(f) != 0)
        return failed(part, err);
    return file_finish(part, path, err);
}
