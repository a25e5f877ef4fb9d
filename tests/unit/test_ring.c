/* tests/unit/test_ring.c -- the rings: every byte, every wrap, every lost wake-up, every lie about positions. */
#include "backends/ring_memory.h"
#include "backends/ring_wake.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING_BYTES = 64 << 10, MAP_BYTES = RING_SIDE_BYTES + RING_BYTES, MAX = RING_BYTES / 4 - 16 };

static struct ring a, b;
static uint8_t *side_a, *side_b;

static void setup(void)
{
    side_a = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    side_b = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(side_a != MAP_FAILED && side_b != MAP_FAILED);
    ring_init(&a, side_a, side_b, RING_BYTES, RING_BYTES, MAX);
    ring_init(&b, side_b, side_a, RING_BYTES, RING_BYTES, MAX);
}

static void teardown(void)
{
    munmap(side_a, MAP_BYTES);
    munmap(side_b, MAP_BYTES);
}

static uint8_t pattern(uint32_t n, uint32_t i)
{
    return (uint8_t)(n * 131 + i * 7);
}

static bool put(struct ring *r, uint32_t n, uint32_t len)
{
    if (ring_room(r) <= len) /* 0 says that nothing fits, not even an empty frame */
        return false;
    struct wire_head h = { .len = len, .type = WIRE_DATA, .slot = n };
    uint8_t *to = ring_reserve(r, len);
    for (uint32_t i = 0; i < len; i++)
        to[i] = pattern(n, i);
    ring_commit(r, &h);
    return true;
}

/* Takes one frame and checks all of it.  False: none there. */
static bool take(struct ring *r, uint32_t n, uint32_t len)
{
    static uint8_t payload[MAX];
    struct wire_head h;
    int found = ring_next(r, &h, payload);
    ck_assert_int_ge(found, 0);
    if (!found)
        return false;
    ck_assert_uint_eq(h.slot, n);
    ck_assert_uint_eq(h.len, len);
    for (uint32_t i = 0; i < len; i++)
        if (payload[i] != pattern(n, i))
            ck_abort_msg("frame %u differs at %u", n, i);
    return true;
}

static uint32_t length_of(uint32_t n)
{
    uint32_t x = n * 2654435761u;
    return (x >> 8) % (n % 17 == 0 ? MAX : 200);
}

START_TEST(test_every_length_and_wrap)
{
    uint32_t in = 0, out = 0;
    while (out < 50000) {
        while (in < 50000 && put(&a, in, length_of(in)))
            in++;
        for (uint32_t burst = in % 7 + 1; burst-- > 0 && out < in; out++)
            ck_assert(take(&b, out, length_of(out)));
        ring_release(&b);
    }
    ck_assert(!take(&b, out, 0));
    ck_assert(!a.broken);
}
END_TEST

START_TEST(test_full_and_empty)
{
    uint32_t n = 0;
    while (put(&a, n, 1000))
        n++;
    ck_assert_uint_eq(n, RING_BYTES / ring_record_bytes(1000));
    ck_assert(take(&b, 0, 1000));
    ck_assert_uint_lt(ring_room(&a), 1000); /* not released yet */
    ring_release(&b);
    ck_assert(put(&a, n, 1000));
}
END_TEST

/* ---- a peer that lies ---- */

static const struct {
    const char *label;
    uint64_t tail; /* counted from where the reader stands */
    struct wire_head head;
    uint64_t at; /* where the reader stands */
} hostile[] = {
    { "tail not aligned", 8, { .len = 0, .type = WIRE_DATA }, 0 },
    { "tail beyond the ring", RING_BYTES + 16, { .len = 0, .type = WIRE_DATA }, 0 },
    { "tail before the head", UINT64_MAX - 15, { .len = 0, .type = WIRE_DATA }, 0 },
    { "length beyond what was written", 32, { .len = 17, .type = WIRE_DATA }, 0 },
    { "length that overflows", 32, { .len = UINT32_MAX, .type = WIRE_DATA }, 0 },
    { "length beyond a frame", RING_BYTES, { .len = MAX + 1, .type = WIRE_DATA }, 0 },
    { "PAD beyond the end", RING_BYTES, { .len = RING_BYTES, .type = WIRE_PAD }, 64 },
    { "PAD that fills the ring", RING_BYTES, { .len = RING_BYTES - 16, .type = WIRE_PAD }, 0 },
    { "PAD at the beginning", 16, { .len = 0, .type = WIRE_PAD }, 0 },
    { "PAD in the middle", 64, { .len = 16, .type = WIRE_PAD }, 4096 },
    { "PAD of half a ring", RING_BYTES / 2, { .len = RING_BYTES / 2 - 16 }, RING_BYTES / 2 },
};

START_TEST(test_hostile_producer)
{
    static uint8_t payload[MAX];
    struct wire_head h = hostile[_i].head;
    memcpy(side_b + RING_SIDE_BYTES + hostile[_i].at, &h, sizeof h);
    a.head = a.peer_tail = hostile[_i].at;
    atomic_store(&((struct ring_side *)side_b)->tail, hostile[_i].at + hostile[_i].tail);
    ck_assert_int_eq(ring_next(&a, &h, payload), -1);
}
END_TEST

START_TEST(test_hostile_consumer)
{
    static const uint64_t heads[] = { 2048, 8, UINT64_MAX, UINT64_MAX - 15 };
    ck_assert(put(&a, 0, 1000));
    atomic_store(&((struct ring_side *)side_b)->head, heads[_i]);
    ck_assert_uint_eq(ring_room(&a), 0);
    ck_assert(a.broken);
}
END_TEST

START_TEST(test_head_that_goes_back)
{
    ck_assert(put(&a, 0, 1000) && take(&b, 0, 1000));
    ring_release(&b);
    ck_assert_uint_gt(ring_room(&a), 0);
    atomic_store(&((struct ring_side *)side_b)->head, 0);
    ck_assert_uint_eq(ring_room(&a), 0);
    ck_assert(a.broken);
}
END_TEST

/* ---- wake-ups ---- */

START_TEST(test_bell_only_for_a_sleeper)
{
    ck_assert(put(&a, 0, 8));
    ck_assert(!ring_bell_due(&a));   /* awake */
    ck_assert(!ring_arm(&b, false)); /* there is something */
    ck_assert(take(&b, 0, 8));
    ring_release(&b);
    ck_assert(ring_arm(&b, false));
    ck_assert(!ring_bell_due(&a)); /* nothing new */
    ck_assert(put(&a, 1, 8));
    ck_assert(ring_bell_due(&a));
    ck_assert(put(&a, 2, 8));
    ck_assert(!ring_bell_due(&a)); /* once a sleep */
    ring_disarm(&b);
    ck_assert(take(&b, 1, 8) && take(&b, 2, 8));
    ring_release(&b);
    ck_assert(ring_arm(&b, false));
    ck_assert(put(&a, 3, 8));
    ck_assert(ring_bell_due(&a));
}
END_TEST

START_TEST(test_bell_for_room)
{
    uint32_t n = 0;
    while (put(&a, n, 1000))
        n++;
    ck_assert(ring_arm(&a, true));
    ck_assert(take(&b, 0, 1000));
    ck_assert(!ring_bell_due(&b)); /* not told yet */
    ring_release(&b);
    ck_assert(ring_bell_due(&b));
    ring_disarm(&a);
    ck_assert(ring_arm(&a, false) == true);
    ck_assert(take(&b, 1, 1000));
    ring_release(&b);
    ck_assert(!ring_bell_due(&b)); /* it does not wait for room any more */
    ring_disarm(&a);
    ck_assert(!ring_arm(&a, true)); /* there is room it has not seen */
}
END_TEST

/* Sleeps until the peer rings; a lost wake-up shows as a poll that times out. */
static void sleep_until_bell(struct ring *r, int fd, bool wants_room)
{
    char bell[64];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (!ring_arm(r, wants_room))
        return;
    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    ck_assert_int_ge(recv(fd, bell, sizeof bell, MSG_DONTWAIT), 1);
    ring_disarm(r);
}

static void ring_the_bell(struct ring *r, int fd)
{
    if (ring_bell_due(r) && send(fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        ck_assert_int_eq(errno, EAGAIN);
}

/* The other process: gives every frame back with the same number. */
static void echo(int fd, uint32_t frames)
{
    static uint8_t payload[MAX];
    uint32_t out = 0;
    struct wire_head h;
    bool held = false;
    while (out < frames) {
        while ((held || ring_next(&b, &h, payload) == 1) && !(held = ring_room(&b) <= h.len)) {
            memcpy(ring_reserve(&b, h.len), payload, h.len);
            ring_commit(&b, &h);
            out++;
        }
        ring_release(&b);
        ring_the_bell(&b, fd);
        if (out < frames)
            sleep_until_bell(&b, fd, held);
    }
    _exit(0);
}

START_TEST(test_forked_echo)
{
    enum { FRAMES = 200000 };
    int fds[2], status;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        echo(fds[1], FRAMES);
    uint32_t in = 0, out = 0;
    while (out < FRAMES) {
        while (in < FRAMES && put(&a, in, length_of(in) % 300))
            in++;
        while (out < in && take(&a, out, length_of(out) % 300))
            out++;
        ring_release(&a);
        ring_the_bell(&a, fds[0]);
        if (out < FRAMES)
            sleep_until_bell(&a, fds[0], in < FRAMES);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* ---- memories ---- */

START_TEST(test_seals)
{
    struct ring_memory m;
    ck_assert(ring_memory_make(&m, 42));
    ck_assert_uint_eq(m.g->magic, WIRE_MAGIC);
    ck_assert_uint_eq(m.g->session, 42);
    ck_assert_int_eq(ftruncate(m.fd_g, 0), -1);
    ck_assert_int_eq(ftruncate(m.fd_w, 0), -1);
    ck_assert_int_eq(ftruncate(m.fd_w, 64 << 20), -1);
    ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd_g, 0), MAP_FAILED);
    void *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd_w, 0);
    ck_assert_ptr_ne(w, MAP_FAILED);
    ck_assert_int_eq(fcntl(m.fd_g, F_ADD_SEALS, F_SEAL_WRITE), -1);
    munmap(w, 4096);
    ring_memory_free(&m);
    ring_memory_free(&m);
}
END_TEST

Suite *ring_suite(void);
Suite *ring_suite(void)
{
    Suite *s = suite_create("ring");
    TCase *t = tcase_create("ring");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_every_length_and_wrap);
    tcase_add_test(t, test_full_and_empty);
    tcase_add_loop_test(t, test_hostile_producer, 0, sizeof hostile / sizeof *hostile);
    tcase_add_loop_test(t, test_hostile_consumer, 0, 4);
    tcase_add_test(t, test_head_that_goes_back);
    tcase_add_test(t, test_bell_only_for_a_sleeper);
    tcase_add_test(t, test_bell_for_room);
    tcase_add_test(t, test_forked_echo);
    tcase_add_test(t, test_seals);
    suite_add_tcase(s, t);
    return s;
}
