/* base/cidr.c -- see cidr.h. */
#include "base/cidr.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { V4_BYTES = 4, V6_BYTES = 16, PREFIX_DIGITS_MAX = 3 };

static struct ip from_v4(const void *bytes)
{
    struct ip a = { .v4 = true };
    memcpy(a.bytes, bytes, V4_BYTES);
    return a;
}

static struct ip from_v6(const uint8_t bytes[static V6_BYTES])
{
    static const uint8_t mapped[V6_BYTES - V4_BYTES] = { [10] = 0xff, [11] = 0xff };
    struct ip a = { .v4 = false };
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return from_v4(bytes + sizeof mapped);
    memcpy(a.bytes, bytes, V6_BYTES);
    return a;
}

bool ip_of_sockaddr(const struct sockaddr *a, struct ip *ret)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    switch (a->sa_family) {
    case AF_INET:
        memcpy(&v4, a, sizeof v4);
        *ret = from_v4(&v4.sin_addr);
        return true;
    case AF_INET6:
        memcpy(&v6, a, sizeof v6);
        *ret = from_v6(v6.sin6_addr.s6_addr);
        return true;
    default:
        return false;
    }
}

bool ip_parse(const char *text, struct ip *ret)
{
    uint8_t bytes[V6_BYTES];
    if (inet_pton(AF_INET, text, bytes) == 1)
        *ret = from_v4(bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        *ret = from_v6(bytes);
    else
        return false;
    return true;
}

char *ip_text(const struct ip *a, char text[static IP_TEXT_BYTES])
{
    inet_ntop(a->v4 ? AF_INET : AF_INET6, a->bytes, text, IP_TEXT_BYTES);
    return text;
}

static bool bit(const struct ip *a, unsigned at)
{
    return a->bytes[at / 8] >> (7 - at % 8) & 1;
}

/* False when a bit behind the prefix was set. */
static bool clear_behind(struct ip *a, unsigned bits)
{
    bool clean = true;
    for (unsigned i = bits; i < 8 * V6_BYTES; i++) {
        clean = clean && !bit(a, i);
        a->bytes[i / 8] = (uint8_t)(a->bytes[i / 8] & ~(0x80u >> i % 8));
    }
    return clean;
}

static bool parse_bits(const char *text, unsigned most, uint8_t *ret)
{
    unsigned bits = 0;
    size_t len = strlen(text);
    if (len < 1 || len > PREFIX_DIGITS_MAX || strspn(text, "0123456789") != len)
        return false;
    for (; *text; text++)
        bits = bits * 10 + (unsigned)(*text - '0');
    *ret = (uint8_t)bits;
    return bits <= most;
}

/* A mapped address with a length is refused: people disagree on what the length counts. */
bool cidr_parse(const char *text, struct cidr *ret, bool *exact)
{
    char address[IP_TEXT_BYTES];
    struct cidr c;
    size_t len = strcspn(text, "/");
    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!ip_parse(address, &c.net))
        return false;
    unsigned most = c.net.v4 ? 8 * V4_BYTES : 8 * V6_BYTES;
    c.bits = (uint8_t)most;
    if (text[len] == '/' &&
        ((c.net.v4 && strchr(address, ':')) || !parse_bits(text + len + 1, most, &c.bits)))
        return false;
    *exact = clear_behind(&c.net, c.bits);
    *ret = c;
    return true;
}

char *cidr_text(const struct cidr *c, char text[static CIDR_TEXT_BYTES])
{
    char address[IP_TEXT_BYTES];
    snprintf(text, CIDR_TEXT_BYTES, "%s/%u", ip_text(&c->net, address), c->bits);
    return text;
}

bool cidr_has(const struct cidr *c, const struct ip *a)
{
    if (c->net.v4 != a->v4 || memcmp(c->net.bytes, a->bytes, c->bits / 8) != 0)
        return false;
    for (unsigned i = c->bits / 8 * 8; i < c->bits; i++)
        if (bit(&c->net, i) != bit(a, i))
            return false;
    return true;
}

bool cidr_within(const struct cidr *inner, const struct cidr *outer)
{
    return inner->bits >= outer->bits && cidr_has(outer, &inner->net);
}
