/* conf/egress.c -- see egress.h: the refused ranges, the key `egress_allow`, and the
 * addresses that stand in the file. */
#include "conf/egress.h"
#include "conf/draft.h"
#include <stdio.h>

enum { HOST_BYTES = 256 };

#define V4(a, b, c, d, length)                                         \
    {                                                                  \
        .net = { .bytes = { a, b, c, d }, .v4 = true }, .bits = length \
    }

/* From the special-purpose registries (RFC 6890) what can be no server, and the places where
 * clouds keep what their tenants must not fetch.  Loopback and private ranges are not here:
 * that is where engines run. */
/* clang-format off */
static const struct {
    struct cidr range;
    const char *why;
} refused[] = {
    { V4(0, 0, 0, 0, 8), "0.0.0.0/8 is no host's address" },
    { V4(100, 100, 100, 200, 32), "100.100.100.200 is a cloud's metadata service" },
    { V4(168, 63, 129, 16, 32), "168.63.129.16 is a cloud's own host service" },
    { V4(169, 254, 0, 0, 16), "169.254.0.0/16 is link-local, where clouds keep their metadata service" },
    { V4(192, 0, 0, 0, 24), "192.0.0.0/24 is kept for protocols and a cloud's metadata service" },
    { V4(224, 0, 0, 0, 4), "224.0.0.0/4 is multicast" },
    { V4(240, 0, 0, 0, 4), "240.0.0.0/4 is reserved, its last address broadcast" },
    { { { { 0 }, false }, 128 }, ":: is no host's address" },
    { { { { 0x01 }, false }, 64 }, "100::/64 is discarded" },
    { { { { 0x20, 0x01 }, false }, 32 }, "2001::/32 is tunnelled (Teredo)" },
    { { { { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, false }, 128 },
      "fd00:ec2::254 is a cloud's metadata service" },
    { { { { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 }, false }, 128 },
      "fd20:ce::254 is a cloud's metadata service" },
    { { { { 0xfe, 0x80 }, false }, 10 }, "fe80::/10 is link-local" },
    { { { { 0xfe, 0xc0 }, false }, 10 }, "fec0::/10 is site-local and given up" },
    { { { { 0xff }, false }, 8 }, "ff00::/8 is multicast" },
};
/* clang-format on */

/* Is there an entry that lies inside the refused range and has the address? */
static bool opened(const struct egress *e, const struct cidr *range, const struct ip *address)
{
    for (size_t i = 0; e && i < e->count; i++)
        if (cidr_within(&e->allowed[i], range) && cidr_has(&e->allowed[i], address))
            return true;
    return false;
}

static const char *refused_range(const struct egress *e, const struct ip *address)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (cidr_has(&refused[i].range, address) && !opened(e, &refused[i].range, address))
            return refused[i].why;
    return NULL;
}

/* A translator on the way turns some IPv6 addresses into the IPv4 address that they carry:
 * NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible (RFC 4291).  -1: none. */
static int carried_at(const struct ip *a)
{
    static const struct {
        struct cidr range;
        int at;
    } carriers[] = {
        { { { { 0x00, 0x64, 0xff, 0x9b }, false }, 96 }, 12 },
        { { { { 0x20, 0x02 }, false }, 16 }, 2 },
        { { { { 0 }, false }, 96 }, 12 },
    };
    static const uint8_t zeros[15];
    if (memcmp(a->bytes, zeros, sizeof zeros) == 0) /* :: and ::1 are themselves */
        return -1;
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++)
        if (cidr_has(&carriers[i].range, a))
            return carriers[i].at;
    return -1;
}

const char *egress_refusal(const struct egress *e, const struct ip *address)
{
    struct ip carried = { .v4 = true };
    const char *why = refused_range(e, address);
    int at = carried_at(address);
    if (!why && at >= 0) {
        memcpy(carried.bytes, address->bytes + at, 4);
        why = refused_range(e, &carried);
    }
    if (why || !e || !e->allowed)
        return why;
    for (size_t i = 0; i < e->count; i++)
        if (cidr_has(&e->allowed[i], address))
            return NULL;
    return "no range of egress_allow has it";
}

bool egress_same(const struct egress *a, const struct egress *b)
{
    static const struct egress none;
    a = a ? a : &none;
    b = b ? b : &none;
    if (!a->allowed != !b->allowed || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!cidr_within(&a->allowed[i], &b->allowed[i]) ||
            !cidr_within(&b->allowed[i], &a->allowed[i]))
            return false;
    return true;
}

/* ---- the key ---- */

static enum status read_range(struct conf_reader *r, const struct yaml_node *n, struct cidr *ret)
{
    const char *text;
    char right[CIDR_TEXT_BYTES];
    bool exact;
    enum status status = conf_text(r, n, &text);
    if (status)
        return status;
    if (!cidr_parse(text, ret, &exact))
        return conf_fail(r, n, "'%.60s' is not a range of addresses, e.g. 10.0.0.0/8 or fd00::/8",
                         text);
    if (!exact)
        return conf_fail(r, n, "'%.60s' has bits behind its length; did you mean '%s'?", text,
                         cidr_text(ret, right));
    return STATUS_OK;
}

/* Not refused when no backend is reached over the network: it is a limit, and limits may come
 * before what they are for. */
READER(read_egress)
{
    struct egress *e = field;
    enum status status = conf_want(r, value, YAML_LIST);
    if (!status && value->count > k->max)
        return conf_fail(r, value, "has %zu ranges; at most %llu", value->count,
                         (unsigned long long)k->max);
    struct cidr *ranges = arena_alloc(r->keep, (value->count + 1) * sizeof *ranges);
    if (!ranges)
        return conf_no_memory(r);
    size_t count = 0;
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = read_range(r, n, &ranges[count++]);
    *e = (struct egress){ .allowed = ranges, .count = count };
    return status;
}

/* ---- addresses in the file ---- */

/* The host of "http://HOST:PORT/path" or of "HOST:PORT", without the brackets of IPv6. */
static void host_of(const char *address, char host[static HOST_BYTES])
{
    const char *scheme = strstr(address, "://");
    const char *from = scheme ? scheme + 3 : address;
    size_t bracket = *from == '[' ? 1 : 0;
    size_t len = strcspn(from + bracket, bracket ? "]" : ":/");
    snprintf(host, HOST_BYTES, "%.*s", (int)(len < HOST_BYTES ? len : HOST_BYTES - 1),
             from + bracket);
}

enum status egress_check_address(struct conf_reader *r, const struct yaml_node *n,
                                 const char *address, const struct egress *e)
{
    char host[HOST_BYTES];
    struct ip ip;
    host_of(address, host);
    const char *why = ip_parse(host, &ip) ? egress_refusal(e, &ip) : NULL;
    if (!why)
        return STATUS_OK;
    return conf_fail(r, n, "%s is refused: %s; egress_allow can open it", host, why);
}

enum status egress_check(struct conf_reader *r, const struct yaml_node *map, const struct egress *e)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < r->backend_count; i++) {
        struct catalog_backend *b = &r->backends[i];
        b->egress = e;
        status =
            egress_check_address(r, yaml_get(yaml_get(map, b->name), "address"), b->address, e);
    }
    return status;
}
