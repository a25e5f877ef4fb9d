/* base/file.h -- files that have their name only when they are whole and on the disk. */
#ifndef MAAS_FILE_H
#define MAAS_FILE_H
#include "base/digest.h"
#include "base/status.h"
#include <stdbool.h>

enum { FILE_PATH_BYTES = 4096 };

/* DIR/NAME; false: it is too long. */
MUST_CHECK bool file_path(char ret[static FILE_PATH_BYTES], const char *dir, const char *name);

/* What the file or directory holds becomes the disk's.  No database may be open on it in this
 * process: closing a second descriptor would drop its locks.  err: one sentence. */
MUST_CHECK enum status file_sync(const char *path, char err[static 256]);

/* `part`, written and closed, becomes `path`, which must not exist (CONFLICT); both the content
 * and the name are on the disk when it returns.  They lie in one directory. */
MUST_CHECK enum status file_finish(const char *part, const char *path, char err[static 256]);

MUST_CHECK enum status file_sha256(const char *path, int64_t *ret_bytes,
                                   char hex[static DIGEST_HEX_BYTES], char err[static 256]);
/* The text as the new file `path`, by way of PATH.part. */
MUST_CHECK enum status file_write(const char *path, const char *text, char err[static 256]);
#endif
