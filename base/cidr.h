/* base/cidr.h -- IP addresses and ranges of them, and whether one lies in the other.
 *
 * An IPv4 address that comes dressed as IPv6 (::ffff:10.0.0.1) is taken for what it
 * is, so that no range can be walked around by writing an address in another way.
 * Pure.
 */
#ifndef MAAS_CIDR_H
#define MAAS_CIDR_H
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

struct ip {
    uint8_t bytes[16]; /* an IPv4 address has its four in front, zeros behind */
    bool v4;
};

struct cidr {
    struct ip net; /* no bit is set behind `bits` */
    uint8_t bits;  /* 0 to 32 or 128 */
};

enum { IP_TEXT_BYTES = 46, CIDR_TEXT_BYTES = IP_TEXT_BYTES + 4 };

/* False: neither IPv4 nor IPv6. */
MUST_CHECK bool ip_of_sockaddr(const struct sockaddr *a, struct ip *ret);
/* "192.0.2.1", "2001:db8::1"; no brackets, no zone, no leading zeros. */
MUST_CHECK bool ip_parse(const char *text, struct ip *ret);
char *ip_text(const struct ip *a, char text[static IP_TEXT_BYTES]); /* returns text */

/* "10.0.0.0/8", "fd00::/8"; an address alone is the range of just itself.  Bits behind
 * the length are cleared; *exact says that there were none. */
MUST_CHECK bool cidr_parse(const char *text, struct cidr *ret, bool *exact);
char *cidr_text(const struct cidr *c, char text[static CIDR_TEXT_BYTES]); /* returns text */
bool cidr_has(const struct cidr *c, const struct ip *a);
bool cidr_within(const struct cidr *inner, const struct cidr *outer);
#endif
