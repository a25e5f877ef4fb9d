/* conf/time_band.h -- hours of the week in which a price holds: "UTC Mon-Fri 01:00-04:00".
 *
 * Days and hours are those of UTC: a zone with summer time has an hour that comes twice,
 * and a price must say what it is.  Windows are half-open, [from, to), and may not pass
 * midnight: an evening and a morning are two bands.  Pure, any thread.
 */
#ifndef MAAS_CONF_TIME_BAND_H
#define MAAS_CONF_TIME_BAND_H
#include "base/span.h"
#include "base/status.h"
#include <stdint.h>

enum { TIME_WINDOWS_MAX = 4, TIME_DAY_MINUTES = 24 * 60, TIME_WEEK_MINUTES = 7 * 24 * 60 };

struct time_window {
    uint16_t from, to; /* minutes of the day */
};

struct time_band {
    uint8_t days;  /* bit 0 is Monday; 0: always, and then there are no windows */
    uint8_t count; /* windows, in ascending order, none touching another */
    struct time_window window[TIME_WINDOWS_MAX];
};

/* "UTC", days, windows, with `gap` between them: a space in a file of settings, a slash in a
 * price book.  Days: "Mon-Fri", "Sat", "Mon,Wed"; windows: "01:00-04:00,06:00-10:00", to 24:00.
 * NULL: read; else what is wrong, a static sentence. */
MUST_CHECK const char *time_band_read(struct span text, char gap, struct time_band *ret);

/* The one text for a band: each day by its name.  Returns buf; "" for always. */
enum { TIME_BAND_TEXT_BYTES = 96 };
char *time_band_text(const struct time_band *b, char gap, char buf[static TIME_BAND_TEXT_BYTES]);

bool time_band_holds(const struct time_band *b, int64_t us); /* us since 1970, >= 0 */
bool time_band_holds_minute(const struct time_band *b,
                            unsigned minute); /* of the week, from Monday */
#endif
