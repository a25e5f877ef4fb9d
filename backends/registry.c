/* backends/registry.c -- every driver there is, written out so that it can be found by reading. */
#include "backends/http_driver.h"
#include "backends/session.h"

const struct backend_driver *backend_driver_find(enum transport t)
{
    switch (t) {
    case TRANSPORT_SHM:
        return &backend_shm_driver;
    case TRANSPORT_SOCKET:
        return &backend_socket_driver;
    case TRANSPORT_HTTP:
        return &backend_http_driver;
    }
    return NULL;
}
