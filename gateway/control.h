/* gateway/control.h -- signals, the service manager, the orderly end. */
#ifndef MAAS_CONTROL_H
#define MAAS_CONTROL_H
#include "gateway/daemon.h"

/* Runs the main loop until SIGTERM or SIGINT has drained the daemon.  SIGHUP
 * reloads.  Tells the service manager when it is ready, alive, stopping. */
void control_run(struct daemon *d);

#endif
