/* gateway/process_facts.c -- see process_facts.h. */
#include "gateway/process_facts.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_ns(void)
{
    struct timespec t = { 0 };
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The second number of statm: pages. */
static uint64_t resident_bytes(void)
{
    uint64_t all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%" SCNu64 " %" SCNu64, &all, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
    uint64_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    for (const struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count - 1; /* that of the folder itself */
}

struct process_facts process_facts(void)
{
    struct rlimit files = { 0 };
    getrlimit(RLIMIT_NOFILE, &files);
    return (struct process_facts){ .cpu_ns = cpu_ns(),
                                   .resident_bytes = resident_bytes(),
                                   .open_fds = open_fds(),
                                   .max_fds = files.rlim_cur };
}
