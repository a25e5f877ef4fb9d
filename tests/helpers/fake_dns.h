/* tests/helpers/fake_dns.h -- a resolver that tests hold in their hands.
 *
 * It stands in front of the C library's getaddrinfo for the whole test program, so it
 * is asked by libuv and by libcurl alike.  Names that a test has not set go through.
 */
#ifndef MAAS_FAKE_DNS_H
#define MAAS_FAKE_DNS_H

/* From now on `name` is at these addresses: "192.0.2.1,::1"; "" it does not exist. */
void fake_dns_set(const char *name, const char *addresses);
unsigned fake_dns_lookups(void); /* of that name, since it was set first */
/* Of these on the thread that set the name: a loop thread must never wait for a lookup. */
unsigned fake_dns_lookups_here(void);
#endif
