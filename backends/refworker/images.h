/* backends/refworker/images.h -- answers image generations with patterns. */
#ifndef REFWORKER_IMAGES_H
#define REFWORKER_IMAGES_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include <jansson.h>

enum { IMAGES_MAX = 4, IMAGE_SIZE_DEFAULT = 512, IMAGE_SIDE_MAX = 4096 };

struct image_order {
    json_t *tree; /* owns the prompt */
    struct span prompt;
    uint32_t count, size; /* size x size pixels */
};

MUST_CHECK bool image_order_read(struct span body, struct image_order *ret, struct fault *fault);

void images_start(struct jobs *jobs, struct maas_call *call);
#endif
