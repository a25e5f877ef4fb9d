/* gateway/pepper.h -- the secret that API keys are digested with. */
#ifndef MAAS_PEPPER_H
#define MAAS_PEPPER_H
#include "auth/keys.h"
#include "conf/conf.h"
#include <stddef.h>
#include <stdint.h>

struct env;
enum { PEPPER_BYTES_MAX = 4096 };

/* From conf->pepper_file; else the service manager's credential "pepper"; else
 * state_dir/pepper, made at the first start.  Wipe it after use.
 * in_use: keys of the store were made with it, so none is made in its place: that would end
 * all of them without a word. */
MUST_CHECK enum status pepper_read(const struct conf *conf, const struct env *env, bool in_use,
                                   uint8_t ret[static PEPPER_BYTES_MAX], size_t *ret_len,
                                   char err[static 256]);

#endif
