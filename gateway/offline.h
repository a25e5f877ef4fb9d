/* gateway/offline.h -- what maasgated does to a store while no daemon uses it; exit codes. */
#ifndef MAAS_OFFLINE_H
#define MAAS_OFFLINE_H

enum { OFFLINE_ISSUED_MAX = 64 };

struct offline_restore {
    const char *file;
    const char *issued[OFFLINE_ISSUED_MAX]; /* "MG-2026=57", or "none" */
    unsigned issued_count;
};

/* 0: done, told on stdout.  1: nothing was changed; the reason is on stderr. */
int offline_restore(const char *conf_path, const struct offline_restore *r);
/* The audit of a backup, an archive or a store: 0 clean, 1 not, or it cannot be read. */
int offline_audit(const char *file);
#endif
