/* gateway/admin_socket.c -- directory, stale file, mode, peer: the checks of the admin socket.
 *
 * Under systemd's PrivateUsers=yes root and the service's own user are the two ids
 * that keep their numbers, which are just the two that are let in.
 */
#include "gateway/admin_socket.h"
#include "base/cleanup.h"
#include "gateway/unix_path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 16 };

static enum status refuse(char err[static 256], const char *path, const char *why)
{
    snprintf(err, 256, "admin socket %s: %s", path, why);
    return STATUS_BAD_FIELD;
}

static enum status check_directory(const char *path, char err[static 256])
{
    char dir[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    memcpy(dir, path, len);
    snprintf(dir + len, sizeof dir - len, "%s", slash ? "/" : ".");
    struct stat st;
    if (stat(dir, &st) != 0)
        return refuse(err, path, strerror(errno));
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return refuse(err, path, "its directory belongs to another user");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return refuse(err, path, "others can write to its directory: chmod go-w it");
    return STATUS_OK;
}

enum status admin_socket_listen(const char *path, int *ret_fd, char err[static 256])
{
    struct sockaddr_un address;
    const char *why;
    if (unix_path_address(path, &address, &why) != STATUS_OK)
        return refuse(err, path, why);
    enum status status = check_directory(path, err);
    if (status != STATUS_OK)
        return status;
    if (unix_path_clear(&address, &why) != STATUS_OK)
        return refuse(err, path, why);
    AUTO(close_ptr) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return refuse(err, path, strerror(errno));
    mode_t before = umask(0177);
    bool bound = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    bool listening = bound && listen(fd, BACKLOG) == 0;
    int reason = errno;
    umask(before);
    if (bound && !listening)
        unlink(path);
    if (!listening)
        return refuse(err, path, strerror(reason));
    *ret_fd = fd;
    fd = -1;
    return STATUS_OK;
}

bool admin_peer_allowed(int fd, struct ucred *ret)
{
    socklen_t len = sizeof *ret;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &len) != 0)
        return false;
    return ret->uid == 0 || ret->uid == geteuid();
}
