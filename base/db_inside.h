/* base/db_inside.h -- what db.c and db_open.c share; for nobody else. */
#ifndef MAAS_DB_INSIDE_H
#define MAAS_DB_INSIDE_H
#include "base/db.h"
#include <sqlite3.h>

enum { DB_ERR_BYTES = 256, DB_STMT_BUCKETS = 256 };
/* Of the file and of its write-ahead log (SQLite's file format, section 4). */
enum { PAGE_BYTES = 4096, WAL_HEAD_BYTES = 32, WAL_FRAME_HEAD_BYTES = 24 };

struct db_stmt {
    struct db_stmt *next; /* in its bucket */
    struct db *db;
    const char *sql;
    sqlite3_stmt *st;
    int bind_rc;         /* the first binding that failed */
    int64_t deadline_ns; /* 0: none */
};

struct db {
    sqlite3 *sqlite;
    enum db_mode mode;
    bool lost, in_tx;
    int rc; /* extended code of the last failure */
    char error[DB_ERR_BYTES];
    uint64_t deadline_ms;
    const atomic_bool *stop; /* NULL: never */
    const struct db_stmt *stepping;
    struct db_stmt *buckets[DB_STMT_BUCKETS];
};

/* Makes the layer of db_gather.c the one that files are opened by.  Once, before the first. */
void db_gather_register(void);
/* Keeps the failure for db_status and db_error, and decides whether the writer is lost. */
void db_note(struct db *db, int rc);
#endif
