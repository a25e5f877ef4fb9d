/* gateway/pepper.c -- see pepper.h. */
#include "gateway/pepper.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/env.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static enum status read_file(const char *path, uint8_t *ret, size_t *ret_len, char err[static 256])
{
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(err, 256, "the pepper %.160s cannot be read: %s", path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FORBIDDEN;
    }
    if (st.st_mode & (S_IWOTH | S_IROTH)) {
        snprintf(err, 256, "the pepper %.160s can be read by everyone: chmod 0600 it", path);
        return STATUS_FORBIDDEN;
    }
    ssize_t n = read(fd, ret, PEPPER_BYTES_MAX);
    if (n < PEPPER_BYTES_MIN) {
        snprintf(err, 256, "the pepper %.160s must have at least %d bytes", path, PEPPER_BYTES_MIN);
        return STATUS_BAD_FIELD;
    }
    *ret_len = (size_t)n;
    return STATUS_OK;
}

/* Written whole under another name first: a pepper that is half on disk would
 * make every key of the store worthless. */
static enum status make_file(const char *path, const struct env *env, char err[static 256])
{
    char draft[PATH_MAX + 8];
    uint8_t bytes[PEPPER_BYTES_MIN];
    snprintf(draft, sizeof draft, "%s.new", path);
    AUTO(close_ptr) int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    env->random(env->arg, bytes, sizeof bytes);
    bool ok = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes &&
              fsync(fd) == 0 && rename(draft, path) == 0;
    digest_wipe(bytes, sizeof bytes);
    if (ok)
        return STATUS_OK;
    snprintf(err, 256, "the pepper %.160s cannot be made: %s", path, strerror(errno));
    return STATUS_STORE_FAILED;
}

enum status pepper_read(const struct conf *conf, const struct env *env, bool in_use,
                        uint8_t ret[static PEPPER_BYTES_MAX], size_t *ret_len, char err[static 256])
{
    char path[PATH_MAX];
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (*conf->pepper_file)
        return read_file(conf->pepper_file, ret, ret_len, err);
    if (credentials) {
        snprintf(path, sizeof path, "%s/pepper", credentials);
        if (access(path, R_OK) == 0)
            return read_file(path, ret, ret_len, err);
    }
    snprintf(path, sizeof path, "%s/pepper", conf->state_dir);
    enum status s = read_file(path, ret, ret_len, err);
    if (s != STATUS_NOT_FOUND)
        return s;
    if (in_use) {
        snprintf(err, 256,
                 "the pepper of the API keys is missing: put your copy of it at %.100s; "
                 "if there is none, 32 random bytes there, and new keys for everybody",
                 path);
        return STATUS_NOT_FOUND;
    }
    s = make_file(path, env, err);
    if (s != STATUS_OK)
        return s;
    log_info("pepper_made file=%s keep_a_copy_apart_from_the_store=yes", path);
    return read_file(path, ret, ret_len, err);
}
