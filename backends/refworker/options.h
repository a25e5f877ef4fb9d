/* backends/refworker/options.h -- the command line of maasgate-refworker. */
#ifndef REFWORKER_OPTIONS_H
#define REFWORKER_OPTIONS_H
#include <stdbool.h>
#include <stdint.h>

enum { OPTION_LISTEN_MAX = 16, OPTION_CORPUS_MAX = 16 };

struct options { /* strings are those of argv */
    const char *listen[OPTION_LISTEN_MAX], *corpus[OPTION_CORPUS_MAX];
    unsigned listen_count, corpus_count; /* corpus: at least the installed one */
    const char *name;
    uint32_t token_delay_ms;
    bool prefix_cache, print_port, help;
};

/* False and a sentence in err. */
bool options_read(int argc, char **argv, struct options *ret, char err[static 256]);
void options_print_help(void);
#endif
