/* tests/helpers/routes.c -- see routes.h. */
#include "tests/helpers/routes.h"

static uint64_t state = 0x9e3779b97f4a7c15u;

uint64_t test_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1du;
}

static struct route_state look(void *arg, size_t at)
{
    struct scene *s = arg;
    s->looks++;
    return s->states[at];
}

static uint32_t load(void *arg, size_t at)
{
    const struct scene *s = arg;
    return s->states[at].able ? s->states[at].running : ROUTE_DOWN;
}

void scene_open(struct scene *s, size_t count)
{
    *s = (struct scene){
        .view = { .routes = s->routes, .count = count, .look = look, .load = load, .arg = s }
    };
    for (size_t i = 0; i < count; i++) {
        s->routes[i].weight = 1;
        s->routes[i].identity = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        s->states[i] = (struct route_state){ .able = true, .room = true };
    }
    scene_seal(s);
}

void scene_seal(struct scene *s)
{
    size_t n = s->view.count;
    for (size_t i = 0; i < n; i++) {
        bool first = i == 0 || s->routes[i - 1].priority != s->routes[i].priority;
        s->routes[i].weight_sum = s->routes[i].weight + (first ? 0 : s->routes[i - 1].weight_sum);
    }
    for (size_t i = n; i-- > 0;) {
        bool last = i + 1 == n || s->routes[i + 1].priority != s->routes[i].priority;
        s->routes[i].rung_end = last ? (uint32_t)(i + 1) : s->routes[i + 1].rung_end;
    }
}
