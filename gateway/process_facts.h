/* gateway/process_facts.h -- what the kernel counts of this process, for the metrics. */
#ifndef MAAS_PROCESS_FACTS_H
#define MAAS_PROCESS_FACTS_H
#include <stdint.h>

struct process_facts {
    uint64_t cpu_ns, resident_bytes;
    uint64_t open_fds, max_fds; /* 0: not known */
};

/* Any thread; reads /proc, so it takes as long as there are descriptors. */
struct process_facts process_facts(void);

#endif
