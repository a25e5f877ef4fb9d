/* base/version.h -- the one place that says which release this is. */
#ifndef MAAS_VERSION_H
#define MAAS_VERSION_H

#define MAAS_VERSION "0.1.0"

#endif
