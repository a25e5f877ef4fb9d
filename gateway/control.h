/* gateway/control.h -- signals, the service manager, the orderly end. */
#ifndef MAAS_CONTROL_H
#define MAAS_CONTROL_H
#include "gateway/daemon.h"

/* Runs the main loop until SIGTERM or SIGINT has drained the daemon.  SIGHUP
 * reloads.  Tells the service manager when it is ready, alive, stopping. */
void control_run(struct daemon *d);
/* Until control_run takes it, and after, SIGHUP would end the process: it waits instead.  Of the calling
 * thread and those that it makes. */
void control_hold_hangup(bool hold);

#endif
