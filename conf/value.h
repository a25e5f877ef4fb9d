/* conf/value.h -- single values as text and back: numbers, sizes, times, dates.
 *
 * Pure functions; a parser writes its result only when it returns true.
 */
#ifndef MAAS_CONF_VALUE_H
#define MAAS_CONF_VALUE_H
#include "base/buf.h"
#include "base/status.h"
#include "conf/conf.h"
#include <stdbool.h>
#include <stdint.h>

/* CONF_COUNT: "12"; CONF_BYTES: also K, M, G, powers of two; CONF_MSEC: also ms, s, m, h. */
MUST_CHECK bool value_number(enum conf_type type, const char *text, uint64_t *ret);

/* The shortest text that value_number reads as the same number.  Returns text. */
enum { VALUE_TEXT_BYTES = 32 };
char *value_number_text(enum conf_type type, uint64_t value, char text[static VALUE_TEXT_BYTES]);

/* "2026-11-24", 1970 to 9999, to Unix seconds at midnight UTC; and back. */
MUST_CHECK bool value_date(const char *text, uint64_t *ret);
char *value_date_text(uint64_t seconds, char text[static VALUE_TEXT_BYTES]);

/* "-0.25" to -250000: at most six decimals, no exponent, a JSON number as it stands. */
MUST_CHECK bool value_micros(const char *text, int64_t *ret);

/* The position of a word in "cancel|drain"; -1 when it is not there. */
int value_choice(const char *text, const char *choices);

/* No control characters; newline and tab too when `lines`. */
bool value_printable(const char *text, bool lines);

/* [a-z0-9][a-z0-9._-]{0,62}: what may stand between two slashes of a URL as it is. */
bool value_segment(const char *text, size_t len);

/* "127.0.0.1:8080", "[::1]:8080" or "name:8080". */
bool value_host_port(const char *text);
/* An absolute path of at most `max` bytes. */
bool value_path(const char *text, size_t max);

/* The text in double quotes, escaped so that it is the same string in JSON and in YAML. */
MUST_CHECK bool value_quote(struct buf *b, const char *text);

/* Of `count` names the one that was most likely meant; NULL when none is near. */
const char *value_nearest(const char *text, const char *const *names, size_t count);

#endif
