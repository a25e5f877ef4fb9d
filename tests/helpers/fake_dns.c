/* tests/helpers/fake_dns.c -- see fake_dns.h. */
#include "tests/helpers/fake_dns.h"
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static char set_name[64], set_addresses[256];
static unsigned lookups, lookups_here;
static pthread_t setter;

typedef int lookup_fn(const char *node, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret);

static lookup_fn *real(void)
{
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    lookup_fn *fn;
    memcpy(&fn, &symbol, sizeof fn);
    return fn;
}

void fake_dns_set(const char *name, const char *addresses)
{
    pthread_mutex_lock(&lock);
    if (strcmp(set_name, name) != 0)
        lookups = lookups_here = 0;
    snprintf(set_name, sizeof set_name, "%s", name);
    snprintf(set_addresses, sizeof set_addresses, "%s", addresses);
    setter = pthread_self();
    pthread_mutex_unlock(&lock);
}

static unsigned read_counter(const unsigned *counter)
{
    pthread_mutex_lock(&lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&lock);
    return n;
}

unsigned fake_dns_lookups(void)
{
    return read_counter(&lookups);
}

unsigned fake_dns_lookups_here(void)
{
    return read_counter(&lookups_here);
}

static bool is_set(const char *node, char addresses[static sizeof set_addresses])
{
    pthread_mutex_lock(&lock);
    bool mine = node && set_name[0] && strcmp(node, set_name) == 0;
    if (mine) {
        lookups++;
        lookups_here += pthread_equal(setter, pthread_self()) != 0;
        memcpy(addresses, set_addresses, sizeof set_addresses);
    }
    pthread_mutex_unlock(&lock);
    return mine;
}

/* One list out of one lookup for each address; glibc frees a list entry by entry. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    char addresses[sizeof set_addresses], *rest = addresses, *one;
    if (!is_set(node, addresses))
        return real()(node, service, hints, ret);
    struct addrinfo plain = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    struct addrinfo **tail = ret;
    *ret = NULL;
    while ((one = strsep(&rest, ","))) {
        if (*one && real()(one, service, &plain, tail) != 0)
            return EAI_FAIL;
        while (*tail)
            tail = &(*tail)->ai_next;
    }
    return *ret ? 0 : EAI_NONAME;
}
