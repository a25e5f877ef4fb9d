/* gateway/help.h -- what the daemon says of itself. */
#ifndef MAAS_HELP_H
#define MAAS_HELP_H
#include <stdbool.h>
#include <stdio.h>

void help_usage(FILE *out);
void help_version(FILE *out); /* with the libraries that are really loaded */
/* Every error answer; docs/errors.md is this in Markdown. */
void help_errors(FILE *out, bool markdown);

#endif
