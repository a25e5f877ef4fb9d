/* tests/helpers/certs.h -- a small authority for tests, made anew each time.
 *
 * In the directory are then, each valid for an hour:
 *   ca.pem                        the root
 *   server.pem, server.key        127.0.0.1, ::1 and "up.test", by the root
 *   old.pem, old.key              127.0.0.1, but not valid for an hour already
 *   client.pem, client.key        with clientAuth, by an intermediate whose certificate follows
 *   client.enc                    its key, encrypted
 *   stranger.pem, stranger.key    a client of an authority that nobody knows
 */
#ifndef MAAS_CERTS_H
#define MAAS_CERTS_H

enum { CERTS_PATH_BYTES = 96 };

/* Returns path: "DIR/name". */
char *certs_path(const char *dir, const char *name, char path[static CERTS_PATH_BYTES]);
void certs_make(char dir[static CERTS_PATH_BYTES]); /* the name of a new directory */
void certs_remove(const char *dir);
#endif
