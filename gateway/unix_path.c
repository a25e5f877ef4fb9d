/* gateway/unix_path.c -- see unix_path.h. */
#include "gateway/unix_path.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static enum status refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return STATUS_BAD_FIELD;
}

enum status unix_path_address(const char *path, struct sockaddr_un *ret, const char **ret_why)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof ret->sun_path)
        return refuse(ret_why, "the path must have 1 to 107 bytes");
    memcpy(ret->sun_path, path, len + 1);
    return STATUS_OK;
}

enum status unix_path_clear(const struct sockaddr_un *address, const char **ret_why)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? STATUS_OK : refuse(ret_why, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return refuse(ret_why, "something that is not a socket has that name");
    AUTO(close_ptr) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return refuse(ret_why, strerror(errno));
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
        errno != ECONNREFUSED)
        return refuse(ret_why, "another daemon answers there");
    return unlink(address->sun_path) == 0 ? STATUS_OK : refuse(ret_why, strerror(errno));
}
