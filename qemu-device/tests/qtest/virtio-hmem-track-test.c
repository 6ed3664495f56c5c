/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tests of the trackers: dirty pages, accessed bits, scans by the
 * driver.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

/*
 * Dirty pages
 */

static void test_dirty_windows(void)
{
    static const uint64_t first[] = {
        0, HOLE - 1, 0x100, FAST, FAST + 1, SLOW - 1, SLOW, SLOW + 0x1234,
        END - 1,
    };
    static const uint64_t second[] = { FAST + 63, FAST + 64 };
    Test t = { };
    int i;

    setup_driver(&t);
    touch(&t, FAST + 9);
    daemon_track(t.d, 10 * MS);
    daemon_barrier(t.d);
    for (i = 0; i < ARRAY_SIZE(first); i++) {
        touch(&t, first[i]);
        touch(&t, first[i]);
    }
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 1, 10 * MS, ARRAY_SIZE(first));
    daemon_take_map(t.d, first, ARRAY_SIZE(first));

    /* hmemd is slow: one longer window, not many windows. */
    touch(&t, second[0]);
    for (i = 0; i < 5; i++) {
        qtest_clock_step(t.qts, 10 * MS);
    }
    touch(&t, second[1]);
    daemon_tick_done(t.d, 1);
    daemon_recv_tick(t.d, 2, 50 * MS, 2);
    daemon_take_map(t.d, second, 2);

    /* A quick answer does not make the next tick come earlier. */
    daemon_tick_done(t.d, 2);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 3, 10 * MS, 0);
    daemon_take_map(t.d, NULL, 0);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 3);
    g_assert_cmpint(get_stat(t.qts, "dirty-pages"), ==,
                    ARRAY_SIZE(first) + 2);
    teardown(&t);
}

/*
 * A machine of 4.5 GiB. Tier 0 is in three pieces, around the holes below 1 MiB
 * and 4 GiB, so a page's offset in its node differs from its guest address.
 */
static void setup_large(Test *t)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot("-machine pc,hmat=on -m 4608M -smp 3 -nodefaults"
                          " -object memory-backend-memfd,id=m0,size=4G"
                          " -object memory-backend-memfd,id=m1,size=512M" NUMA
                          " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                          " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                          "addr=%d", t->d->path, SLOT);
    t->qts = t->qs->qts;
    daemon_accept(t->d);
    daemon_welcome(t->d);
    find_hmem(t);
    start_driver(t);
}

/*
 * A dirty page counts 12.5 ns, and 64 clean pages count as much.  So 128 MiB of
 * dirty pages count 0.416 ms, a slice of 2 ms is four times that, and this
 * machine, all of whose pages are dirty when the log is switched on, needs 9
 * slices.
 */
#define SLICE (2 * MS)
#define LARGE_SLICES 9

/* Begin to track, and wait for the begin of the first window. */
static void track_large(Test *t, uint64_t window_ns)
{
    daemon_track(t->d, window_ns);
    daemon_barrier(t->d);
    qtest_clock_step(t->qts, (LARGE_SLICES - 2) * SLICE);
    g_assert_cmpint(get_stat(t->qts, "log-slices"), ==, LARGE_SLICES - 1);
    qtest_clock_step(t->qts, SLICE);
    g_assert_cmpint(get_stat(t->qts, "log-slices"), ==, LARGE_SLICES);
}

static void test_dirty_pieces(void)
{
    static const uint64_t gfns[] = {
        FAST, 0xbffff, 0x100000, 0x100001, 0x13ffff, 0x140000, 0x15ffff,
    };
    static const struct hmem_link_range ranges[] = {
        { .gfn = 0, .num = HOLE, .tier = 0 },
        { .gfn = 0x100, .num = 0xbff00, .tier = 0 },
        { .gfn = 0x100000, .num = 0x40000, .tier = 0 },
        { .gfn = 0x140000, .num = 0x20000, .tier = 1 },
    };
    uint64_t window_ns;
    Test t = { };
    int i;

    setup_large(&t);
    g_assert_cmpint(t.d->num_ranges, ==, ARRAY_SIZE(ranges));
    for (i = 0; i < ARRAY_SIZE(ranges); i++) {
        struct hmem_link_range range = t.d->ranges[i];

        range.hva = 0;
        g_assert_cmpmem(&range, sizeof(range), &ranges[i], sizeof(range));
    }

    window_ns = t.d->hello.min_window_ns;
    track_large(&t, window_ns);
    for (i = 0; i < ARRAY_SIZE(gfns); i++) {
        touch(&t, gfns[i]);
    }
    /* Few pages are dirty: one slice. */
    qtest_clock_step(t.qts, window_ns);
    daemon_recv_tick(t.d, 1, window_ns, ARRAY_SIZE(gfns));
    daemon_take_map(t.d, gfns, ARRAY_SIZE(gfns));
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, LARGE_SLICES + 1);
    teardown(&t);
}

/*
 * Many pages are dirty: QEMU does other work between slices, and a page belongs
 * to the window of its slice.
 */
static void test_dirty_slices(void)
{
    const uint64_t first = 0x100000, num = 768 * MiB / 4096;
    uint64_t window_ns;
    Test t = { };

    setup_large(&t);
    window_ns = t.d->hello.min_window_ns;
    /* 12.5 ns for each of 4.5 GiB. */
    g_assert_cmpint(window_ns, ==, 4608 * MiB / 4096 * 25 / 2);
    track_large(&t, window_ns);
    qtest_memset(t.qts, first << VIRTIO_HMEM_GFN_SHIFT, 1, 768 * MiB);
    qtest_clock_step(t.qts, window_ns);
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, LARGE_SLICES + 1);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 0);
    daemon_barrier(t.d);
    assert_log(&t, true);
    qtest_clock_step(t.qts, SLICE);
    daemon_recv_tick(t.d, 1, window_ns + SLICE, num);
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, LARGE_SLICES + 2);
    g_assert_cmpint(get_stat(t.qts, "log-pages"), ==, num);
    teardown(&t);
}

/* Tracking ends between two slices, and begins again. */
static void test_dirty_slices_stop(void)
{
    Test t = { };

    setup_large(&t);
    daemon_track(t.d, 1000 * MS);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, 1);
    assert_log(&t, true);
    daemon_track(t.d, 0);
    daemon_barrier(t.d);
    assert_log(&t, false);
    qtest_clock_step(t.qts, 100 * MS);
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, 1);
    daemon_track(t.d, 1000 * MS);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 100 * MS);
    touch(&t, FAST);
    qtest_clock_step(t.qts, 1000 * MS);
    g_assert_cmpint(daemon_next_tick(t.d, 1, 1000 * MS).dirty, ==, 1);
    teardown(&t);
}

/* hmemd answers between two slices: no tick is late, and no page is lost. */
static void test_dirty_slices_answer(void)
{
    uint64_t window_ns;
    Test t = { };

    setup_large(&t);
    window_ns = t.d->hello.min_window_ns;
    daemon_track_flags(t.d, window_ns, HMEM_LINK_TRACK_REST);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, window_ns);
    daemon_recv_tick(t.d, 1, window_ns, 0);
    daemon_track(t.d, window_ns);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, 1);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, (LARGE_SLICES - 1) * SLICE);
    touch(&t, FAST);
    qtest_clock_step(t.qts, window_ns);
    daemon_recv_tick(t.d, 2, window_ns, 1);
    g_assert_cmpint(get_stat(t.qts, "scans-late"), ==, 0);
    teardown(&t);
}

/* A window that is shorter than the longest possible pass. */
static void test_dirty_short(void)
{
    Test t = { };

    setup_large(&t);
    daemon_track(t.d, t.d->hello.min_window_ns - 1);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/*
 * The log is on only in windows that are not rests, and while there is a
 * driver, because the log costs the host its huge mappings, and a fault for
 * each page.
 */
static void test_dirty_log(void)
{
    static const uint64_t gfn = SLOW;
    Test t = { };

    setup(&t);
    daemon_track(t.d, 10 * MS);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 50 * MS);
    daemon_barrier(t.d);
    assert_log(&t, false);
    start_driver(&t);
    daemon_barrier(t.d);
    assert_log(&t, true);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 1, 10 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);

    /* A rest ends like any window. */
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_REST);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    assert_log(&t, false);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 2, 10 * MS, 0);
    daemon_take_map(t.d, NULL, 0);
    touch(&t, gfn);

    /* A window again: writes during the rest belong to no window. */
    daemon_track(t.d, 10 * MS);
    daemon_tick_done(t.d, 2);
    daemon_barrier(t.d);
    assert_log(&t, true);
    touch(&t, gfn + 1);
    touch(&t, gfn + 2);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 3, 10 * MS, 2);
    g_assert_cmpint(get_stat(t.qts, "log-on"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "log-pages"), ==, 3);

    /* Without a driver, there are neither windows nor rests. */
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    assert_log(&t, false);
    qtest_clock_step(t.qts, 50 * MS);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 3);

    /* When a driver comes back during a rest, the rest begins at once. */
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_REST);
    daemon_barrier(t.d);
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    daemon_barrier(t.d);
    assert_log(&t, false);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 4, 10 * MS, 0);
    daemon_track(t.d, 0);
    daemon_barrier(t.d);
    assert_log(&t, false);
    teardown(&t);
}

/*
 * Windows for hmemd's own trackers: the device finds nothing, the dirty log is
 * off, and memory is at the addresses in RANGES.
 */
static void test_host(void)
{
    static const uint64_t gfns[] = { 0, HOLE - 1, FAST, SLOW, END - 1 };
    Test t = { };
    int i;

    setup(&t);
    daemon_track_with(t.d, MS, HMEM_LINK_TRACKER_HOST, 0);
    daemon_barrier(t.d);
    assert_tracker(t.qts, "host");
    for (i = 0; i < ARRAY_SIZE(gfns); i++) {
        const struct hmem_link_range *range = t.d->ranges;
        uint64_t wrote = 0x1234567890abcdef + i, found = 0;
        struct iovec local = { &found, sizeof(found) }, remote;

        qtest_writeq(t.qts, gfns[i] << VIRTIO_HMEM_GFN_SHIFT, wrote);
        while (gfns[i] >= range->gfn + range->num) {
            range++;
        }
        remote = (struct iovec) {
            (void *)(uintptr_t)(range->hva + (gfns[i] - range->gfn) *
                                HMEM_LINK_PAGE_SIZE),
            sizeof(found)
        };
        g_assert_cmpint(process_vm_readv(qtest_pid(t.qts), &local, 1, &remote,
                                         1, 0), ==, sizeof(found));
        g_assert_cmphex(found, ==, wrote);
    }
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 1, MS, 0);
    daemon_take_map(t.d, NULL, 0);
    assert_log(&t, false);
    g_assert_cmpint(get_stat(t.qts, "log-on"), ==, 0);
    daemon_tick_done(t.d, 1);
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 2, MS, 0);
    daemon_tick_done(t.d, 2);
    daemon_track(t.d, 0);
    daemon_barrier(t.d);
    assert_tracker(t.qts, "none");
    teardown(&t);
}

/* Bits that hmemd has not taken stay in the map. */
static void test_dirty_keep(void)
{
    static const uint64_t gfns[] = { FAST, SLOW };
    Test t = { };

    setup_driver(&t);
    daemon_track(t.d, MS);
    daemon_barrier(t.d);
    touch(&t, gfns[0]);
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 1, MS, 1);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    touch(&t, gfns[1]);
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 2, MS, 1);
    daemon_take_map(t.d, gfns, 2);
    teardown(&t);
}

/* Writes of the device itself to guest memory count as well. */
static void test_dirty_dma(void)
{
    struct virtio_hmem_hint h = hint(SLOW, 0, 0);
    struct hmem_link_tick tick;
    uint64_t addr, gfn;
    Test t = { };

    setup_driver(&t);
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    gfn = addr >> VIRTIO_HMEM_GFN_SHIFT;
    daemon_track(t.d, MS);
    daemon_hints(t.d, 1, &h, 1);
    recv_hints(&t, addr, 0, &h, 1);
    qtest_clock_step(t.qts, MS);
    daemon_recv_to(t.d, HMEM_LINK_TICK, &tick, sizeof(tick));
    g_assert_cmphex(t.d->map[gfn / 64] & (1ull << gfn % 64), !=, 0);
    teardown(&t);
}

static void test_dirty_change(void)
{
    static const uint64_t gfn = FAST;
    Test t = { };

    setup_driver(&t);
    daemon_track(t.d, 100 * MS);
    daemon_barrier(t.d);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 10 * MS);
    /* Windows get shorter: the current one ends now, and keeps its pages. */
    daemon_track(t.d, 10 * MS);
    daemon_recv_tick(t.d, 1, 10 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);

    /* After a stop, an answer may be late; no page is found. */
    daemon_track(t.d, 0);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 100 * MS);

    /* After a restart, ticks count from 1. */
    daemon_track(t.d, 20 * MS);
    daemon_barrier(t.d);
    touch(&t, SLOW);
    qtest_clock_step(t.qts, 20 * MS);
    daemon_recv_tick(t.d, 1, 20 * MS, 1);
    assert_tracker(t.qts, "dirty");
    daemon_track(t.d, 0);
    daemon_barrier(t.d);
    assert_tracker(t.qts, "none");
    teardown(&t);
}

/* Tracking ends with the connection. */
static void test_dirty_disconnect(void)
{
    Test t = { };

    setup_driver(&t);
    daemon_track(t.d, MS);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 1, MS, 0);
    daemon_accept(t.d);
    daemon_welcome(t.d);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 1);
    /* Ticks of an earlier connection cannot be answered. */
    daemon_tick_done(t.d, 1);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/*
 * Lockstep: stepping the clock returns only when the tick was answered, so a
 * thread does it, and no other thread talks to QEMU meanwhile.
 */

static gpointer step_thread(gpointer opaque)
{
    Test *t = opaque;

    qtest_clock_step(t->qts, 10 * MS);
    return NULL;
}

/* Track in lockstep until the device waits for the answer to tick @seq. */
static GThread *step_into_tick(Test *t, uint64_t seq, uint64_t window_ns,
                               uint64_t dirty)
{
    GThread *thread = g_thread_new("step", step_thread, t);

    daemon_recv_tick(t->d, seq, window_ns, dirty);
    return thread;
}

static GThread *setup_lockstep(Test *t)
{
    setup_driver(t);
    daemon_track_flags(t->d, 10 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    daemon_barrier(t->d);
    touch(t, FAST);
    return step_into_tick(t, 1, 10 * MS, 1);
}

static void test_lockstep_ticks(void)
{
    static const uint64_t gfn = FAST;
    Test t = { };
    GThread *thread;

    setup_driver(&t);
    qtest_clock_step(t.qts, 3 * MS);
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    daemon_barrier(t.d);
    touch(&t, FAST);
    /* The window ends at 10 ms, not at 13, whenever tracking was started. */
    thread = step_into_tick(&t, 1, 7 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);
    /* The device handles messages before the answer to the tick. */
    daemon_barrier(t.d);
    daemon_barrier(t.d);
    daemon_tick_done(t.d, 1);
    g_thread_join(thread);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 1);
    thread = step_into_tick(&t, 2, 10 * MS, 0);
    /* A length that hmemd sets in a tick holds from that tick on. */
    daemon_track_flags(t.d, 8 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    daemon_tick_done(t.d, 2);
    g_thread_join(thread);
    for (uint64_t seq = 3; seq <= 4; seq++) {
        thread = step_into_tick(&t, seq, 8 * MS, 0);
        daemon_tick_done(t.d, seq);
        g_thread_join(thread);
    }
    teardown(&t);
}

/* The guest gets the hints of a tick before its time continues. */
static void test_lockstep_hints(void)
{
    struct virtio_hmem_hint h[] = { hint(SLOW, 0, 0), hint(SLOW + 1, 0, 0) };
    struct hmem_link_tick tick;
    uint64_t addr[2];
    Test t = { };
    GThread *thread;
    int i;

    setup_driver(&t);
    for (i = 0; i < ARRAY_SIZE(addr); i++) {
        addr[i] = qvirtio_hmem_post(&t.hmem, 8192);
    }
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    /* When the guest has this batch, the device has read the message. */
    daemon_hints(t.d, 1, &h[0], 1);
    recv_hints(&t, addr[0], 0, &h[0], 1);
    thread = g_thread_new("step", step_thread, &t);
    daemon_recv_to(t.d, HMEM_LINK_TICK, &tick, sizeof(tick));
    daemon_hints(t.d, 2, &h[1], 1);
    daemon_tick_done(t.d, 1);
    g_thread_join(thread);
    g_assert_true(qvirtqueue_get_buf(t.qts, t.hmem.hint_vq, NULL, NULL));
    teardown(&t);
}

static void test_lockstep_stop(void)
{
    Test t = { };
    GThread *thread = setup_lockstep(&t);

    daemon_track(t.d, 0);
    g_thread_join(thread);
    daemon_barrier(t.d);
    /* Without lockstep, hmemd can answer later, and guest time continues. */
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    daemon_barrier(t.d);
    thread = step_into_tick(&t, 1, 10 * MS, 0);
    daemon_track(t.d, 5 * MS);
    g_thread_join(thread);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 5 * MS);
    daemon_recv_tick(t.d, 1, 5 * MS, 0);
    qtest_clock_step(t.qts, 5 * MS);
    teardown(&t);
}

/* hmemd goes: the wait ends, and the next hmemd finds a working device. */
static void check_lockstep_over(Test *t, GThread *thread)
{
    g_thread_join(thread);
    daemon_accept(t->d);
    daemon_welcome(t->d);
    daemon_barrier(t->d);
    /* Tracking has stopped. */
    qtest_clock_step(t->qts, 100 * MS);
    daemon_barrier(t->d);
    daemon_track_flags(t->d, 10 * MS, HMEM_LINK_TRACK_LOCKSTEP);
    daemon_barrier(t->d);
    thread = step_into_tick(t, 1, 10 * MS, 0);
    daemon_tick_done(t->d, 1);
    g_thread_join(thread);
    teardown(t);
}

static void test_lockstep_close(void)
{
    Test t = { };
    GThread *thread = setup_lockstep(&t);

    daemon_close(t.d);
    check_lockstep_over(&t, thread);
}

/* hmemd goes in the middle of the answer. */
static void test_lockstep_cut(void)
{
    static const struct {
        struct hmem_link_header header;
        uint32_t half;
    } cut = {
        .header = {
            HMEM_LINK_TICK_DONE, sizeof(struct hmem_link_tick_done),
        },
        .half = 1,
    };
    Test t = { };
    GThread *thread = setup_lockstep(&t);

    daemon_send_raw(t.d, &cut, sizeof(cut));
    daemon_close(t.d);
    check_lockstep_over(&t, thread);
}

static void test_lockstep_bad(void)
{
    Test t = { };
    GThread *thread = setup_lockstep(&t);

    daemon_tick_done(t.d, 2);
    daemon_expect_drop(t.d);
    check_lockstep_over(&t, thread);
}

/* A signal still ends QEMU. */
static void test_lockstep_signal(void)
{
    Test t = { };
    GThread *thread = setup_lockstep(&t);

    kill(qtest_pid(t.qts), SIGTERM);
    daemon_expect_drop(t.d);
    g_thread_join(thread);
    teardown(&t);
}

/*
 * Accessed bits, from a plugin whose access log is a file
 */

#define LOG_PLUGIN "tests/qtest/libvirtio-hmem-log.so"

typedef struct Log {
    char *path;
    /* Bits as in a map, for frames 0 .. END - 1. */
    uint64_t *accessed;
    uint64_t *dirty;
} Log;

#define LOG_BYTES (END / 8)

/* Returns false if QEMU is built without plugins. */
static bool setup_log(Test *t, Log *log)
{
    g_autofree char *extra = NULL;
    int fd;

    if (access(LOG_PLUGIN, R_OK) < 0) {
        g_test_skip("no plugins");
        return false;
    }
    fd = g_file_open_tmp("virtio-hmem-XXXXXX", &log->path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 2 * LOG_BYTES), ==, 0);
    log->accessed = mmap(NULL, 2 * LOG_BYTES, PROT_READ | PROT_WRITE,
                         MAP_SHARED, fd, 0);
    g_assert_true(log->accessed != MAP_FAILED);
    close(fd);
    log->dirty = log->accessed + LOG_BYTES / sizeof(uint64_t);
    extra = g_strdup_printf("-plugin " LOG_PLUGIN ",log=%s", log->path);
    setup_machine(t, extra);
    g_assert_cmphex(t->d->hello.trackers, ==,
                    HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT |
                    HMEM_LINK_TRACKER_HOST | HMEM_LINK_TRACKER_SIM);
    return true;
}

static void teardown_log(Test *t, Log *log)
{
    teardown(t);
    munmap(log->accessed, 2 * LOG_BYTES);
    unlink(log->path);
    g_free(log->path);
}

/* Wait, because the device rearms in a timer. */
static void wait_clear(const uint64_t *map, uint64_t gfn)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_US;

    while (map_test(map, gfn)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static void track_log(Test *t, Log *log, uint32_t flags)
{
    static const uint64_t set[] = { FAST, END - 1 };
    int i;

    /*
     * These bits were set before tracking begins, which clears them.  The
     * device clears in parts, the last frame last.
     */
    for (i = 0; i < ARRAY_SIZE(set); i++) {
        map_set(log->accessed, set[i]);
        map_set(log->dirty, set[i]);
    }
    daemon_track_with(t->d, 10 * MS, HMEM_LINK_TRACKER_SIM, flags);
    for (i = 0; i < ARRAY_SIZE(set); i++) {
        wait_clear(log->accessed, set[i]);
        wait_clear(log->dirty, set[i]);
    }
}

static void recv_log_tick(Test *t, uint64_t seq, uint64_t accessed,
                          uint64_t dirty)
{
    const struct hmem_link_tick tick = daemon_next_tick(t->d, seq, 10 * MS);

    g_assert_cmpint(tick.accessed, ==, accessed);
    g_assert_cmpint(tick.dirty, ==, dirty);
}

static void test_sim_windows(void)
{
    static const uint64_t used[] = { 0, HOLE - 1, FAST, SLOW, END - 1 };
    static const uint64_t left[] = { 0, HOLE - 1, END - 1 };
    Test t = { };
    Log log;
    int i;

    if (!setup_log(&t, &log)) {
        return;
    }
    track_log(&t, &log, 0);
    for (i = 0; i < ARRAY_SIZE(used); i++) {
        map_set(log.accessed, used[i]);
    }
    map_set(log.dirty, SLOW);
    /* Bits for frames that are not guest memory do not count. */
    map_set(log.accessed, HOLE);
    map_set(log.dirty, HOLE);
    qtest_clock_step(t.qts, 10 * MS);
    recv_log_tick(&t, 1, ARRAY_SIZE(used), 1);
    daemon_take(t.d, accessed_map(t.d), used, ARRAY_SIZE(used));
    daemon_take_map(t.d, &used[3], 1);

    /* Two are to be looked at again, and one that does not exist. */
    map_set(rearm_map(t.d), FAST);
    map_set(rearm_map(t.d), SLOW);
    map_set(rearm_map(t.d), HOLE);
    daemon_tick_done(t.d, 1);
    wait_clear(log.accessed, SLOW);
    g_assert_false(map_test(log.accessed, FAST));
    g_assert_false(map_test(log.dirty, SLOW));
    g_assert_true(map_test(log.accessed, HOLE));
    g_assert_true(map_test(log.dirty, HOLE));
    g_assert_false(map_test(rearm_map(t.d), FAST));
    g_assert_false(map_test(rearm_map(t.d), SLOW));

    /* The other frames are found until they are rearmed. */
    qtest_clock_step(t.qts, 10 * MS);
    recv_log_tick(&t, 2, ARRAY_SIZE(left), 0);
    daemon_take(t.d, accessed_map(t.d), left, ARRAY_SIZE(left));
    g_assert_cmpint(get_stat(t.qts, "accessed-pages"), ==,
                    ARRAY_SIZE(used) + ARRAY_SIZE(left));
    g_assert_cmpint(get_stat(t.qts, "dirty-pages"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "rearmed-pages"), ==, 2);

    /* A late answer belongs to the earlier tracking. */
    daemon_track(t.d, 0);
    map_set(rearm_map(t.d), END - 1);
    daemon_tick_done(t.d, 2);
    daemon_barrier(t.d);
    g_assert_true(map_test(log.accessed, END - 1));
    teardown_log(&t, &log);
}

/*
 * A slow daemon: one longer window, which begins after its frames were rearmed.
 */
static void test_sim_slow(void)
{
    Test t = { };
    Log log;

    if (!setup_log(&t, &log)) {
        return;
    }
    track_log(&t, &log, 0);
    map_set(log.accessed, FAST);
    map_set(log.accessed, SLOW);
    qtest_clock_step(t.qts, 10 * MS);
    recv_log_tick(&t, 1, 2, 0);
    qtest_clock_step(t.qts, 30 * MS);
    map_set(rearm_map(t.d), FAST);
    daemon_tick_done(t.d, 1);
    g_assert_cmpint(daemon_next_tick(t.d, 2, 30 * MS).accessed, ==, 1);
    teardown_log(&t, &log);
}

/* In lockstep, frames are rearmed before guest time continues. */
static void test_sim_lockstep(void)
{
    Test t = { };
    GThread *thread;
    Log log;

    if (!setup_log(&t, &log)) {
        return;
    }
    track_log(&t, &log, HMEM_LINK_TRACK_LOCKSTEP);
    assert_tracker(t.qts, "sim");
    map_set(log.accessed, FAST);
    map_set(log.accessed, SLOW);
    thread = g_thread_new("step", step_thread, &t);
    recv_log_tick(&t, 1, 2, 0);
    map_set(rearm_map(t.d), FAST);
    daemon_tick_done(t.d, 1);
    g_thread_join(thread);
    g_assert_false(map_test(log.accessed, FAST));
    g_assert_true(map_test(log.accessed, SLOW));
    teardown_log(&t, &log);
}

/* Change from one tracker to another: each begins again. */
static void test_sim_change(void)
{
    static const uint64_t gfn = SLOW;
    Test t = { };
    Log log;

    if (!setup_log(&t, &log)) {
        return;
    }
    track_log(&t, &log, 0);
    qtest_clock_step(t.qts, 10 * MS);
    recv_log_tick(&t, 1, 0, 0);
    find_hmem(&t);
    start_driver(&t);
    daemon_track(t.d, 10 * MS);
    daemon_barrier(t.d);
    touch(&t, gfn);
    map_set(log.accessed, FAST);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 1, 10 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);
    track_log(&t, &log, 0);
    teardown_log(&t, &log);
}

/* A paused VM does not age. */
static void test_dirty_paused(void)
{
    Test t = { };

    setup_driver(&t);
    daemon_track(t.d, MS);
    daemon_barrier(t.d);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK);
    touch(&t, FAST);
    daemon_barrier(t.d);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 0);
    qtest_clock_step(t.qts, MS);
    daemon_recv_tick(t.d, 1, MS, 1);
    teardown(&t);
}

/*
 * Scans by the guest's driver
 */

static void test_gpt_windows(void)
{
    static const uint64_t used[] = { 1, HOLE - 1, FAST, FAST + 63, SLOW + 64 };
    const struct virtio_hmem_frames rearm[] = {
        frames_of(FAST, 1), frames_of(SLOW + 64, 1),
    };
    ScanBuffer buffer;
    uint64_t id;
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    g_assert_cmpint(get_stat(t.qts, "scans"), ==, 1);
    assert_log(&t, false);
    id = collect_scan(&t);
    set_report(&r, id, 2, false);
    r.frames[0] = frames_of(0, 2);
    /* The report also has frames that are not guest memory or no memory. */
    r.frames[1] = frames_of(HOLE - 64, 1ull << 63);
    send_report(&t, &r);
    set_report(&r, id, 5, true);
    r.frames[0] = frames_of(HOLE, UINT64_MAX);
    r.frames[1] = frames_of(FAST, 1 | 1ull << 63);
    r.frames[2] = frames_of(SLOW + 64, 1);
    r.frames[3] = frames_of(END, UINT64_MAX);
    r.frames[4] = frames_of(UINT64_MAX - 127, UINT64_MAX);
    send_report(&t, &r);
    recv_gpt_tick(&t, 1, 10 * MS, ARRAY_SIZE(used));
    daemon_take(t.d, accessed_map(t.d), used, ARRAY_SIZE(used));

    /* Two are to be looked at again, and one that does not exist. */
    map_set(rearm_map(t.d), FAST);
    map_set(rearm_map(t.d), SLOW + 64);
    map_set(rearm_map(t.d), HOLE);
    gpt_tick_done(&t, 1);
    qtest_clock_step(t.qts, 9 * MS);
    buffer = post_scan(&t, SCAN_BUFFER(300));
    g_assert_true(map_test(rearm_map(t.d), FAST));
    qtest_clock_step(t.qts, 1 * MS);
    id = recv_scan(&t, buffer, collect_flags(&t) |
                   VIRTIO_HMEM_SCAN_LAST, rearm, ARRAY_SIZE(rearm));
    g_assert_false(map_test(rearm_map(t.d), FAST));
    finish_scan(&t, id);
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    g_assert_cmpint(get_stat(t.qts, "scans"), ==, 3);
    g_assert_cmpint(get_stat(t.qts, "log-on"), ==, 0);
    g_assert_cmpint(get_stat(t.qts, "scans-late"), ==, 0);
    g_assert_cmpint(get_stat(t.qts, "rearmed-pages"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "accessed-pages"), ==, ARRAY_SIZE(used));
    teardown(&t);
}

/* Memory in so many pieces that several share a word of the map. */
static void test_gpt_shadow(void)
{
    /* Frames in a part of the firmware's shadow, and how many parts are RAM. */
    const uint64_t part = 4, num = 6;
    uint64_t used[2 + 6 * 4], n = 0, i, id;
    QPCIDevice *bridge;
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    bridge = qpci_device_find(t.qs->pcibus, QPCI_DEVFN(0, 0));
    /* Every second piece. */
    for (i = 0; i < num; i++) {
        qpci_config_writeb(bridge, 0x5a + i, 0x03);
        daemon_recv_ranges(t.d, 3 + i);
    }

    id = collect_scan(&t);
    set_report(&r, id, 3, true);
    r.frames[0] = frames_of(HOLE - 64, 1ull << 63);
    r.frames[1] = frames_of(HOLE, UINT64_MAX);
    r.frames[2] = frames_of(FAST, 1);
    send_report(&t, &r);
    used[n++] = HOLE - 1;
    for (i = 0; i < num * part; i++) {
        used[n++] = HOLE + i / part * 2 * part + i % part;
    }
    used[n++] = FAST;
    recv_gpt_tick(&t, 1, 10 * MS, n);
    daemon_take(t.d, accessed_map(t.d), used, n);
    g_free(bridge);
    teardown(&t);
}

/*
 * Written frames are reported after accessed frames, sorted separately.  Only
 * the driver knows about them.
 */
static void test_gpt_written(void)
{
    static const uint64_t written[] = { FAST + 1, FAST + 63, SLOW + 64 };
    struct hmem_link_tick tick;
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    set_report(&r, collect_scan(&t), 1, false);
    qtest_writeb(t.qts, (SLOW + 7) << 12, 1);
    r.frames[0] = frames_of(SLOW + 64, 3);
    send_report(&t, &r);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN);
    r.frames[0] = frames_of(FAST, 2 | 1ull << 63);
    send_report(&t, &r);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN |
                                 VIRTIO_HMEM_ACCESS_LAST);
    r.header.num_frames = cpu_to_le32(2);
    r.frames[0] = frames_of(SLOW + 64, 1);
    r.frames[1] = frames_of(END, UINT64_MAX);
    send_report(&t, &r);
    tick = daemon_next_tick(t.d, 1, 10 * MS);
    g_assert_cmpint(tick.accessed, ==, 2);
    g_assert_cmpint(tick.dirty, ==, ARRAY_SIZE(written));
    g_assert_cmpint(tick.flags, ==, 0);
    daemon_take_map(t.d, written, ARRAY_SIZE(written));
    g_assert_true(map_test(accessed_map(t.d), SLOW + 65));
    g_assert_cmpint(get_stat(t.qts, "dirty-pages"), ==, ARRAY_SIZE(written));

    /* The next scan begins with accessed frames again. */
    gpt_tick_done(&t, 1);
    set_report(&r, collect_scan(&t), 1, true);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&t, &r);
    tick = daemon_next_tick(t.d, 2, 10 * MS);
    g_assert_cmpint(tick.accessed, ==, 1);
    g_assert_cmpint(tick.dirty, ==, 0);
    teardown(&t);
}

/* A driver without the feature is not asked for written frames. */
static void test_gpt_not_written(void)
{
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_WRITTEN };
    struct hmem_link_tick tick;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    qtest_writeb(t.qts, (SLOW + 7) << 12, 1);
    tick = daemon_next_tick(t.d, 1, 10 * MS);
    g_assert_cmpint(tick.dirty, ==, 0);
    g_assert_false(map_test(t.d->map, SLOW + 7));
    teardown(&t);
}

/* A daemon that does not want written frames is not told, and costs less. */
static void test_gpt_accessed(void)
{
    struct hmem_link_tick tick;
    Test t = { };
    Report r;

    setup_gpt(&t, HMEM_LINK_TRACK_ACCESSED);
    set_report(&r, collect_scan(&t), 1, true);
    r.frames[0] = frames_of(SLOW + 64, 3);
    send_report(&t, &r);
    tick = daemon_next_tick(t.d, 1, 10 * MS);
    g_assert_cmpint(tick.accessed, ==, 2);
    g_assert_cmpint(tick.dirty, ==, 0);

    /* The daemon changes its mind: all frames are rearmed for writes, too. */
    daemon_track_gpt(t.d, 0);
    t.accessed = false;
    clear_scan(&t);
    set_report(&r, collect_scan(&t), 0, false);
    r.header.num_frames = cpu_to_le32(1);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN |
                                 VIRTIO_HMEM_ACCESS_LAST);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&t, &r);
    tick = daemon_next_tick(t.d, 1, 10 * MS);
    g_assert_cmpint(tick.dirty, ==, 1);
    teardown(&t);
}

/* The tick says that the scan left something out. */
static void test_gpt_incomplete(void)
{
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    set_report(&r, collect_scan(&t), 1, true);
    r.header.flags |= cpu_to_le32(VIRTIO_HMEM_ACCESS_INCOMPLETE);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&t, &r);
    g_assert_cmpint(daemon_next_tick(t.d, 1, 10 * MS).flags, ==,
                    HMEM_LINK_TICK_INCOMPLETE);
    gpt_tick_done(&t, 1);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(daemon_next_tick(t.d, 2, 10 * MS).flags, ==, 0);
    teardown(&t);
}

/*
 * A request tells the length of the look at a frame: the time since the end of
 * the last scan, however late this scan begins.  The first request has 0.
 */
static void test_gpt_look(void)
{
    ScanBuffer buffer;
    uint64_t id;
    Test t = { };

    setup_gpt(&t, 0);
    g_assert_cmpint(t.look_ns, ==, 0);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    /* hmemd is slow: the scan begins when hmemd has answered. */
    qtest_clock_step(t.qts, 15 * MS);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    gpt_tick_done(&t, 1);
    finish_scan(&t, recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, NULL, 0));
    g_assert_cmpint(t.look_ns, ==, 15 * MS);
    recv_gpt_tick(&t, 2, 15 * MS, 0);
    gpt_tick_done(&t, 2);
    /* The driver is slow: the next look begins when the scan has ended. */
    id = collect_scan(&t);
    qtest_clock_step(t.qts, 7 * MS);
    finish_scan(&t, id);
    recv_gpt_tick(&t, 3, 17 * MS, 0);
    gpt_tick_done(&t, 3);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    teardown(&t);
}

/* If hmemd wants long looks, they last from scan to scan.  Tracking goes on. */
static void test_gpt_long_look(void)
{
    Test t = { };

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    daemon_track_gpt(t.d, HMEM_LINK_TRACK_LONG);
    gpt_tick_done(&t, 1);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 0);
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    daemon_track_gpt(t.d, 0);
    gpt_tick_done(&t, 2);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    recv_gpt_tick(&t, 3, 10 * MS, 0);
    teardown(&t);
}

/*
 * Looks within a scan: the driver rearms everything first, and no frames
 * afterwards.  The frames that hmemd wants to rearm wait for the next scan.
 * A scan that takes longer than a window is not late.
 */
static void test_gpt_look_within(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    const uint32_t flags = VIRTIO_HMEM_SCAN_REPORT | VIRTIO_HMEM_SCAN_LOOK |
        VIRTIO_HMEM_SCAN_REARM_ALL | VIRTIO_HMEM_SCAN_LAST;
    ScanBuffer buffer;
    uint64_t id;
    Report r;
    Test t = { };

    setup_gpt(&t, HMEM_LINK_TRACK_ACCESSED);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    map_set(rearm_map(t.d), FAST);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    daemon_track_gpt(t.d, HMEM_LINK_TRACK_ACCESSED | HMEM_LINK_TRACK_WITHIN);
    gpt_tick_done(&t, 1);
    qtest_clock_step(t.qts, 12 * MS);
    id = recv_scan(&t, buffer, flags, NULL, 0);
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    qtest_clock_step(t.qts, 100 * MS);
    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 2);
    send_report(&t, &r);
    recv_gpt_tick(&t, 2, 112 * MS, 1);
    g_assert_cmpint(get_stat(t.qts, "scans-late"), ==, 0);
    daemon_track_gpt(t.d, HMEM_LINK_TRACK_ACCESSED);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    gpt_tick_done(&t, 2);
    qtest_clock_step(t.qts, 10 * MS);
    finish_scan(&t, recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, &rearm, 1));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    recv_gpt_tick(&t, 3, 10 * MS, 0);
    teardown(&t);
}

/* If hmemd wants written frames too, looks last from scan to scan. */
static void test_gpt_look_within_written(void)
{
    Test t = { };

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    daemon_track_gpt(t.d, HMEM_LINK_TRACK_WITHIN);
    gpt_tick_done(&t, 1);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    teardown(&t);
}

/* A driver without the feature gets requests without the length of a look. */
static void test_gpt_no_look(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_LOOK };
    ScanBuffer buffer;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    map_set(rearm_map(t.d), FAST);
    /* A buffer of the smallest size suffices. */
    buffer = post_scan(&t, SCAN_BUFFER(256) - sizeof(struct virtio_hmem_look));
    gpt_tick_done(&t, 1);
    qtest_clock_step(t.qts, 10 * MS);
    finish_scan(&t, recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, &rearm, 1));
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    g_assert_cmpint(t.look_ns, ==, 0);
    teardown(&t);
}

/* Receive a request, and report after 5 ms that the scan took this long. */
static void scan_for(Test *t, uint64_t cost_ns)
{
    Report r;

    set_report(&r, collect_scan(t), 0, true);
    r.cost.ns = cpu_to_le64(cost_ns);
    qtest_clock_step(t->qts, 5 * MS);
    send_report(t, &r);
}

/* A tick tells the cost that the driver reports, if this time has passed. */
static void test_gpt_cost(void)
{
    static const uint64_t costs[][2] = {
        { 2 * MS, 2 * MS }, { 6 * MS, 5 * MS }, { UINT64_MAX, 5 * MS },
        /* 0 would mean that there was no scan. */
        { 0, 1 },
    };
    Test t = { };
    int i;

    setup_gpt(&t, 0);
    for (i = 0; i < ARRAY_SIZE(costs); i++) {
        scan_for(&t, costs[i][0]);
        g_assert_cmpint(daemon_next_tick(t.d, i + 1, 15 * MS).scan_ns, ==,
                        costs[i][1]);
        gpt_tick_done(&t, i + 1);
    }
    teardown(&t);
}

/* Without the feature, the whole time from request to report counts. */
static void test_gpt_no_cost(void)
{
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_COST };

    setup_gpt(&t, 0);
    scan_for(&t, 0);
    g_assert_cmpint(daemon_next_tick(t.d, 1, 15 * MS).scan_ns, ==, 5 * MS);
    teardown(&t);
}

/* If hmemd wants it, the number of cleared bits comes before the tick. */
static void test_gpt_cleared(void)
{
    struct hmem_link_cleared cleared;
    Test t = { };
    Report r;
    int i;

    setup_gpt(&t, HMEM_LINK_TRACK_CLEARED);
    for (i = 1; i <= 2; i++) {
        set_report(&r, collect_scan(&t), 0, true);
        r.cost.cleared = cpu_to_le64(i == 1 ? 7 : UINT64_MAX - 1);
        qtest_clock_step(t.qts, 5 * MS);
        send_report(&t, &r);
        daemon_recv_to(t.d, HMEM_LINK_CLEARED, &cleared, sizeof(cleared));
        g_assert_cmpuint(cleared.bits, ==, i == 1 ? 7 : UINT64_MAX - 1);
        daemon_next_tick(t.d, i, 15 * MS);
        gpt_tick_done(&t, i);
    }
    teardown(&t);
}

/* A driver that does not tell its cost tells no number of bits either. */
static void test_gpt_no_cleared(void)
{
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_COST };

    setup_gpt(&t, HMEM_LINK_TRACK_CLEARED);
    scan_for(&t, 0);
    daemon_next_tick(t.d, 1, 15 * MS);
    teardown(&t);
}

/* A request that needs two buffers, of which the second comes late. */
static void test_gpt_parts(void)
{
    struct virtio_hmem_frames rearm[300];
    ScanBuffer buffer;
    uint64_t id;
    Test t = { };
    int i;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    for (i = 0; i < ARRAY_SIZE(rearm); i++) {
        rearm[i] = frames_of(SLOW + i * 64, 1ull << i % 64);
        map_set(rearm_map(t.d), SLOW + i * 64 + i % 64);
    }
    buffer = post_scan(&t, SCAN_BUFFER(256));
    gpt_tick_done(&t, 1);
    qtest_clock_step(t.qts, 10 * MS);
    id = recv_scan(&t, buffer, collect_flags(&t), rearm, 256);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    g_assert_cmpint(recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, rearm + 256,
                              ARRAY_SIZE(rearm) - 256), ==, id);
    finish_scan(&t, id);
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    g_assert_cmpint(get_stat(t.qts, "rearmed-pages"), ==, ARRAY_SIZE(rearm));
    gpt_tick_done(&t, 2);
    g_assert_cmpint(collect_scan(&t), >, id);
    teardown(&t);
}

/* In a rest the device requests no scan, and set bits stay. */
static void test_gpt_rest(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    Test t = { };
    uint64_t id;
    int i;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    daemon_track_with(t.d, 20 * MS, HMEM_LINK_TRACKER_GPT,
                      HMEM_LINK_TRACK_REST);
    gpt_tick_done(&t, 1);
    for (i = 2; i <= 4; i++) {
        struct hmem_link_tick tick;

        map_set(rearm_map(t.d), FAST);
        qtest_clock_step(t.qts, 20 * MS);
        tick = daemon_next_tick(t.d, i, 20 * MS);
        g_assert_cmpint(tick.dirty, ==, 0);
        g_assert_cmpint(tick.accessed, ==, 0);
        g_assert_cmpint(tick.scan_ns, ==, 0);
        g_assert_true(map_test(rearm_map(t.d), FAST));
        if (i < 4) {
            gpt_tick_done(&t, i);
        }
    }
    g_assert_cmpint(get_stat(t.qts, "scans"), ==, 2);
    daemon_track_gpt(t.d, 0);
    gpt_tick_done(&t, 4);
    id = rearm_scan(&t, &rearm, 1);
    finish_scan(&t, id);
    daemon_next_tick(t.d, 5, 10 * MS);
    g_assert_false(map_test(rearm_map(t.d), FAST));
    teardown(&t);
}

/* Receive a request for nothing but an account. */
static uint64_t recv_ask(Test *t, ScanBuffer buffer)
{
    uint64_t id = recv_scan(t, buffer, VIRTIO_HMEM_SCAN_ACCOUNT |
                            VIRTIO_HMEM_SCAN_LAST, NULL, 0);

    g_assert_cmpint(t->look_ns, ==, 0);
    return id;
}

/* The last report of a scan has an account, which comes before the tick. */
static void test_account_scan(void)
{
    struct virtio_hmem_account account = some_account();
    Test t = { };
    Report r;

    setup_gpt(&t, HMEM_LINK_TRACK_ACCOUNT);
    set_report(&r, collect_scan(&t), 1, true);
    r.frames[0] = frames_of(FAST, 3);
    send_account(&t, &r, &account);
    daemon_recv_account(t.d, &account);
    recv_gpt_tick(&t, 1, 10 * MS, 2);
    gpt_tick_done(&t, 1);

    /* A driver may do without. */
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    gpt_tick_done(&t, 2);

    /* hmemd does not want it any more. */
    daemon_track_gpt(t.d, 0);
    clear_scan(&t);
    set_report(&r, collect_scan(&t), 0, true);
    send_account(&t, &r, &account);
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    teardown(&t);
}

/*
 * The device asks for an account after a window without a scan.  It asks once,
 * and a scan that is due meanwhile waits for the answer.
 */
static void test_account_rest(void)
{
    struct virtio_hmem_account account = some_account();
    ScanBuffer ask, scan;
    uint64_t id;
    Test t = { };
    Report r;

    setup_gpt(&t, HMEM_LINK_TRACK_ACCOUNT);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    daemon_track_with(t.d, 20 * MS, HMEM_LINK_TRACKER_GPT,
                      HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCOUNT);
    gpt_tick_done(&t, 1);
    ask = post_scan(&t, SCAN_BUFFER(256));
    qtest_clock_step(t.qts, 20 * MS);
    recv_gpt_tick(&t, 2, 20 * MS, 0);
    id = recv_ask(&t, ask);
    set_report(&r, id, 0, true);
    send_account(&t, &r, &account);
    daemon_recv_account(t.d, &account);
    gpt_tick_done(&t, 2);

    ask = post_scan(&t, SCAN_BUFFER(256));
    qtest_clock_step(t.qts, 20 * MS);
    recv_gpt_tick(&t, 3, 20 * MS, 0);
    g_assert_cmpint(recv_ask(&t, ask), ==, id + 1);
    gpt_tick_done(&t, 3);
    qtest_clock_step(t.qts, 20 * MS);
    recv_gpt_tick(&t, 4, 20 * MS, 0);
    daemon_track_gpt(t.d, HMEM_LINK_TRACK_ACCOUNT);
    gpt_tick_done(&t, 4);
    qtest_clock_step(t.qts, 10 * MS);
    account.entries = cpu_to_le64(2);
    set_report(&r, id + 1, 0, true);
    send_account(&t, &r, &account);
    daemon_recv_account(t.d, &account);
    scan = post_scan(&t, SCAN_BUFFER(256));
    g_assert_cmpint(recv_scan(&t, scan, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, NULL, 0), ==, id + 2);
    finish_scan(&t, id + 2);
    recv_gpt_tick(&t, 5, 10 * MS, 0);
    teardown(&t);
}

/* Other trackers make no scan, so each window ends with a question. */
static void test_account_dirty(void)
{
    struct virtio_hmem_account account = some_account();
    ScanBuffer ask;
    Test t = { };
    Report r;
    int i;

    setup_driver(&t);
    daemon_track_with(t.d, 10 * MS, HMEM_LINK_TRACKER_DIRTY,
                      HMEM_LINK_TRACK_ACCOUNT);
    daemon_barrier(t.d);
    for (i = 1; i <= 3; i++) {
        ask = post_scan(&t, SCAN_BUFFER(256));
        qtest_clock_step(t.qts, 10 * MS);
        daemon_next_tick(t.d, i, 10 * MS);
        set_report(&r, recv_ask(&t, ask), 0, true);
        account.left_out = cpu_to_le64(i);
        send_account(&t, &r, &account);
        daemon_recv_account(t.d, &account);
        daemon_tick_done(t.d, i);
        daemon_barrier(t.d);
    }
    g_assert_cmpint(get_stat(t.qts, "scans"), ==, 0);
    teardown(&t);
}

/* A driver without the feature, or without scans, is not asked. */
static void account_refused(uint64_t refuse)
{
    Test t = { .hmem.refuse = refuse };

    setup_driver(&t);
    daemon_track_with(t.d, 10 * MS, HMEM_LINK_TRACKER_HOST,
                      HMEM_LINK_TRACK_ACCOUNT);
    daemon_barrier(t.d);
    if (t.hmem.scan_vq) {
        post_scan(&t, SCAN_BUFFER(256));
    }
    qtest_clock_step(t.qts, 10 * MS);
    daemon_next_tick(t.d, 1, 10 * MS);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    if (t.hmem.scan_vq) {
        g_assert_false(qvirtqueue_get_buf(t.qts, t.hmem.scan_vq, NULL, NULL));
    }
    teardown(&t);
}

static void test_account_refused(void)
{
    account_refused(1ull << VIRTIO_HMEM_F_ACCOUNT);
    account_refused(1ull << VIRTIO_HMEM_F_ACCESS |
                    1ull << VIRTIO_HMEM_F_WRITTEN |
                    1ull << VIRTIO_HMEM_F_INCOMPLETE |
                    1ull << VIRTIO_HMEM_F_LOOK | 1ull << VIRTIO_HMEM_F_COST);
}

/* A slow driver: hmemd is told, and nothing else happens. */
static void test_gpt_late(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    uint64_t id;
    Test t = { };

    setup_gpt(&t, 0);
    id = collect_scan(&t);
    qtest_clock_step(t.qts, 9 * MS);
    g_assert_cmpint(get_stat(t.qts, "scans-late"), ==, 0);
    qtest_clock_step(t.qts, 21 * MS);
    daemon_recv_state(t.d, running | HMEM_LINK_SCAN_LATE);
    g_assert_cmpint(get_stat(t.qts, "scans-late"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 0);
    /* Pages can still move. */
    pass_hint(&t, 1, SLOW, 0, 0);
    finish_scan(&t, id);
    daemon_recv_state(t.d, running);
    recv_gpt_tick(&t, 1, 40 * MS, 0);
    teardown(&t);
}

/* The driver comes after tracking began, goes, and comes back. */
static void test_gpt_driver(void)
{
    uint64_t id;
    Test t = { };
    Report r;

    setup(&t);
    daemon_track_gpt(t.d, 0);
    qtest_clock_step(t.qts, 50 * MS);
    daemon_barrier(t.d);
    start_driver(&t);
    clear_scan(&t);
    id = collect_scan(&t);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING |
                      HMEM_LINK_SCAN_LATE);
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    qtest_clock_step(t.qts, 50 * MS);
    daemon_barrier(t.d);

    /* Tracking begins again, and the old scan is forgotten. */
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    g_assert_cmpint(clear_scan(&t), >, id);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    set_report(&r, id, 0, true);
    post_report(&t, &r);
    expect_broken(&t);
    teardown(&t);
}

/* Answer tick 1, and give the driver the first part of the frames to rearm. */
static void begin_rearm(Test *t)
{
    ScanBuffer buffer = post_scan(t, SCAN_BUFFER(256));
    int i;

    for (i = 0; i < 300; i++) {
        map_set(rearm_map(t->d), SLOW + i * 64);
    }
    gpt_tick_done(t, 1);
    qtest_clock_step(t->qts, 10 * MS);
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.scan_vq, buffer.index,
                           NULL, DEADLINE_US);
}

/* Tracking ends and begins again while the driver is at a scan. */
static void test_gpt_change(void)
{
    const struct virtio_hmem_frames found = frames_of(FAST, 1);
    ScanBuffer buffer;
    uint64_t id;
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    id = collect_scan(&t);
    daemon_track(t.d, 0);
    daemon_track_gpt(t.d, 0);
    daemon_hint(t.d, 1, END, 0, 0);
    daemon_recv_reject(t.d, 1, HMEM_LINK_REJECT_INVALID, 0);
    qtest_clock_step(t.qts, 5 * MS);
    set_report(&r, id, 1, true);
    r.frames[0] = found;
    send_report(&t, &r);
    /* That scan belonged to no window; now the first window can begin. */
    buffer = post_scan(&t, SCAN_BUFFER(256));
    id = recv_scan(&t, buffer, clear_flags(&t) |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    g_assert_false(map_test(accessed_map(t.d), FAST));
    finish_scan(&t, id);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);

    /* In the middle of a request, whose rest is dropped then. */
    begin_rearm(&t);
    daemon_track(t.d, 0);
    daemon_hint(t.d, 1, END, 0, 0);
    daemon_recv_reject(t.d, 1, HMEM_LINK_REJECT_INVALID, 0);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    id = recv_scan(&t, buffer, collect_flags(&t) |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    finish_scan(&t, id);
    daemon_track_gpt(t.d, 0);
    g_assert_cmpint(clear_scan(&t), >, id);
    teardown(&t);
}

/* hmemd goes in the middle of a scan; another hmemd takes over. */
static void test_gpt_disconnect(void)
{
    uint64_t id;
    Test t = { };

    setup_gpt(&t, 0);
    id = collect_scan(&t);
    daemon_accept(t.d);
    daemon_welcome(t.d);
    daemon_track_gpt(t.d, 0);
    finish_scan(&t, id);
    g_assert_cmpint(clear_scan(&t), >, id);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    teardown(&t);
}

/* In lockstep, scans take guest time, but hmemd does not. */
static void test_gpt_lockstep(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    Test t = { };
    Report r;

    setup_gpt(&t, HMEM_LINK_TRACK_LOCKSTEP);
    set_report(&r, collect_scan(&t), 0, true);
    /* Until the tick is answered, QEMU does nothing for the test either. */
    post_report(&t, &r);
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    map_set(rearm_map(t.d), FAST);
    daemon_tick_done(t.d, 1);
    qvirtio_wait_used_elem(t.qts, t.hmem.vdev, t.hmem.access_vq,
                           t.hmem.access_vq->free_head - 1, NULL, DEADLINE_US);
    set_report(&r, rearm_scan(&t, &rearm, 1), 0, true);
    post_report(&t, &r);
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    daemon_tick_done(t.d, 2);
    teardown(&t);
}

/* Boot with these properties of the device. */
static void setup_properties(Test *t, const char *properties)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot(MACHINE " -chardev socket,id=hmemd,path=%s"
                          " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                          "addr=%d,%s", t->d->path, SLOT, properties);
    t->qts = t->qs->qts;
    daemon_accept(t->d);
    daemon_welcome(t->d);
}

/* hmemd cannot use a tracker that the user has forbidden. */
static void test_forbidden(void)
{
    Test t = { };

    setup_properties(&t, "track-dirty=off");
    g_assert_cmphex(t.d->hello.trackers, ==,
                    HMEM_LINK_TRACKER_GPT | HMEM_LINK_TRACKER_HOST);
    daemon_track(t.d, t.d->hello.min_window_ns);
    daemon_expect_drop(t.d);
    teardown(&t);

    t = (Test) { };
    setup_properties(&t, "track-host=off,track-dirty=off,access=off");
    g_assert_cmphex(t.d->hello.trackers, ==, 0);
    teardown(&t);
}

/* hmemd cannot request a shorter window than the user allows. */
static void test_min_window(void)
{
    Test t = { };

    setup_properties(&t, "min-window=250");
    g_assert_cmpuint(t.d->hello.min_window_ns, ==, 250 * MS);
    daemon_track(t.d, 250 * MS - 1);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/* The property access=off removes the queues. */
static void test_gpt_off(void)
{
    Test t = { };

    setup_properties(&t, "access=off");
    g_assert_cmphex(t.d->hello.trackers, ==,
                    HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_HOST);
    t.pci = find_device(t.qs, SLOT);
    g_assert_cmphex(qvirtio_get_features(&t.pci->vdev) &
                    1ull << VIRTIO_HMEM_F_ACCESS, ==, 0);
    daemon_track_gpt(t.d, 0);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/*
 * Faults of a guest about scans, given the id of a scan that asks for a report.
 */

static void bad_report_one(Test *t, uint64_t id, uint64_t gfn, uint64_t mask)
{
    Report r;

    set_report(&r, id, 2, true);
    r.frames[0] = frames_of(FAST, 1);
    r.frames[1] = frames_of(gfn, mask);
    post_report(t, &r);
}

static void bad_report_empty(Test *t, uint64_t id)
{
    qvirtio_hmem_report(&t->hmem, NULL, 0);
}

static void bad_report_short(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, true);
    qvirtio_hmem_report(&t->hmem, &r, REPORT_HEAD - 1);
}

static void bad_report_truncated(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 1);
    qvirtio_hmem_report(&t->hmem, &r, REPORT_BUFFER(1) - 1);
}

static void bad_report_num_wraps(Test *t, uint64_t id)
{
    Report r;

    /* 16 times this is 2^32 */
    set_report(&r, id, 1u << 28, true);
    qvirtio_hmem_report(&t->hmem, &r, sizeof(r));
}

static void bad_report_too_many(Test *t, uint64_t id)
{
    g_autofree Report *r = g_malloc0(REPORT_BUFFER(4096));
    int i;

    set_report(r, id, 4096, true);
    for (i = 0; i < 4096; i++) {
        ((struct virtio_hmem_frames *)((char *)r + REPORT_HEAD))[i] =
            frames_of(i * 64, 1);
    }
    qvirtio_hmem_report(&t->hmem, r, REPORT_BUFFER(4096));
}

static void bad_report_flags(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, true);
    r.header.flags |= cpu_to_le32(16);
    post_report(t, &r);
}

/* Accessed frames after written frames. */
static void bad_report_after_written(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 1, false);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN);
    r.frames[0] = frames_of(FAST, 1);
    send_report(t, &r);
    bad_report_with(t, id, 1, VIRTIO_HMEM_ACCESS_LAST);
}

static void bad_report_written_back(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 1, false);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN);
    r.frames[0] = frames_of(SLOW, 1);
    send_report(t, &r);
    bad_report_with(t, id, 1, VIRTIO_HMEM_ACCESS_WRITTEN |
                    VIRTIO_HMEM_ACCESS_LAST);
}

static void bad_report_written_nothing(Test *t, uint64_t id)
{
    bad_report_with(t, id, 0, VIRTIO_HMEM_ACCESS_WRITTEN);
}

/* A report with a flag that was not negotiated. */
static void bad_report_written(Test *t, uint64_t id)
{
    bad_report_with(t, id, 1, VIRTIO_HMEM_ACCESS_WRITTEN |
                    VIRTIO_HMEM_ACCESS_LAST);
}

static void bad_report_incomplete(Test *t, uint64_t id)
{
    bad_report_with(t, id, 0, VIRTIO_HMEM_ACCESS_INCOMPLETE |
                    VIRTIO_HMEM_ACCESS_LAST);
}

static void bad_report_incomplete_early(Test *t, uint64_t id)
{
    bad_report_with(t, id, 1, VIRTIO_HMEM_ACCESS_INCOMPLETE);
}

static void bad_report_account(Test *t, uint64_t id)
{
    const struct virtio_hmem_account account = some_account();
    Report r;

    set_report(&r, id, 0, true);
    post_account(t, &r, &account, sizeof(account));
}

static void bad_report_account_early(Test *t, uint64_t id)
{
    const struct virtio_hmem_account account = some_account();
    Report r;

    set_report(&r, id, 1, false);
    r.frames[0] = frames_of(FAST, 1);
    post_account(t, &r, &account, sizeof(account));
}

static void bad_report_account_short(Test *t, uint64_t id)
{
    const struct virtio_hmem_account account = some_account();
    Report r;

    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 1);
    post_account(t, &r, &account, sizeof(account) - 1);
}

static void bad_report_id(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id + 1, 0, true);
    post_report(t, &r);
}

static void bad_report_finished(Test *t, uint64_t id)
{
    Report r;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    set_report(&r, id, 0, true);
    post_report(t, &r);
}

static void bad_report_id_zero(Test *t, uint64_t id)
{
    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    post_report(t, &(Report) { .header.flags =
                               cpu_to_le32(VIRTIO_HMEM_ACCESS_LAST) });
}

static void bad_report_nothing(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, false);
    post_report(t, &r);
}

/* A report before the driver has all of the request. */
static void bad_report_early(Test *t, uint64_t id)
{
    Report r;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    begin_rearm(t);
    set_report(&r, id + 1, 0, true);
    post_report(t, &r);
}

static void bad_report_unasked(Test *t, uint64_t id)
{
    ScanBuffer buffer;
    Report r;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    daemon_track(t->d, 0);
    daemon_track_gpt(t->d, 0);
    buffer = post_scan(t, SCAN_BUFFER(256));
    id = recv_scan(t, buffer, clear_flags(t) |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 1);
    post_report(t, &r);
}

/* Entries in the report of a scan that only clears. */
static void bad_report_written_unasked(Test *t, uint64_t id)
{
    ScanBuffer buffer;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    daemon_track(t->d, 0);
    daemon_track_gpt(t->d, 0);
    buffer = post_scan(t, SCAN_BUFFER(256));
    id = recv_scan(t, buffer, clear_flags(t) |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    bad_report_with(t, id, 0, VIRTIO_HMEM_ACCESS_WRITTEN |
                    VIRTIO_HMEM_ACCESS_LAST);
}

static void bad_report_align(Test *t, uint64_t id)
{
    bad_report_one(t, id, SLOW + 1, 1);
}

static void bad_report_mask(Test *t, uint64_t id)
{
    bad_report_one(t, id, SLOW, 0);
}

static void bad_report_twice(Test *t, uint64_t id)
{
    bad_report_one(t, id, FAST, 2);
}

static void bad_report_back(Test *t, uint64_t id)
{
    bad_report_one(t, id, FAST - 64, 1);
}

/* Entries that are not sorted across two reports of one scan. */
static void bad_report_back_later(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 1, false);
    r.frames[0] = frames_of(SLOW, 1);
    send_report(t, &r);
    bad_report_one(t, id, SLOW, 1);
}

static void bad_report_gfn_huge(Test *t, uint64_t id)
{
    bad_report_one(t, id, UINT64_MAX - 63, 1);
}

static void bad_report_writable(Test *t, uint64_t id)
{
    uint64_t addr = guest_alloc(t->hmem.alloc, 4096);
    uint32_t head = qvirtqueue_add(t->qts, t->hmem.access_vq, addr, 4096, true,
                                   false);

    qvirtqueue_kick(t->qts, t->hmem.vdev, t->hmem.access_vq, head);
}

/* Faults in the buffer for the next request. */
static void bad_scan_buffer(Test *t, uint64_t id, uint32_t len, bool write)
{
    uint64_t addr = guest_alloc(t->hmem.alloc, 8192);
    uint32_t head;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    head = qvirtqueue_add(t->qts, t->hmem.scan_vq, addr, len, write, false);
    qvirtqueue_kick(t->qts, t->hmem.vdev, t->hmem.scan_vq, head);
    gpt_tick_done(t, 1);
    qtest_clock_step(t->qts, 10 * MS);
}

static void bad_scan_short(Test *t, uint64_t id)
{
    bad_scan_buffer(t, id, SCAN_BUFFER(256) - 1, true);
}

static void bad_scan_readable(Test *t, uint64_t id)
{
    bad_scan_buffer(t, id, 8192, false);
}

static const struct BadGuest bad_scanners[] = {
    { "report-empty", bad_report_empty },
    { "report-short", bad_report_short },
    { "report-truncated", bad_report_truncated },
    { "report-num-wraps", bad_report_num_wraps },
    { "report-too-many", bad_report_too_many },
    { "report-flags", bad_report_flags },
    { "report-after-written", bad_report_after_written },
    { "report-written-back", bad_report_written_back },
    { "report-written-nothing", bad_report_written_nothing },
    { "report-written", bad_report_written, VIRTIO_HMEM_F_WRITTEN },
    { "report-written-unasked", bad_report_written_unasked },
    { "report-incomplete", bad_report_incomplete, VIRTIO_HMEM_F_INCOMPLETE },
    { "report-incomplete-early", bad_report_incomplete_early },
    { "report-account", bad_report_account, VIRTIO_HMEM_F_ACCOUNT },
    { "report-account-early", bad_report_account_early },
    { "report-account-short", bad_report_account_short },
    { "report-id", bad_report_id },
    { "report-id-zero", bad_report_id_zero },
    { "report-finished", bad_report_finished },
    { "report-nothing", bad_report_nothing },
    { "report-early", bad_report_early },
    { "report-unasked", bad_report_unasked },
    { "report-align", bad_report_align },
    { "report-mask", bad_report_mask },
    { "report-twice", bad_report_twice },
    { "report-back", bad_report_back },
    { "report-back-later", bad_report_back_later },
    { "report-gfn-huge", bad_report_gfn_huge },
    { "report-writable", bad_report_writable },
    { "scan-short", bad_scan_short },
    { "scan-readable", bad_scan_readable },
};

static void test_bad_scanner(const void *data)
{
    const struct BadGuest *bad = data;
    Test t = { .hmem.refuse = bad->refuse ? 1ull << bad->refuse : 0 };

    setup_gpt(&t, 0);
    bad->act(&t, collect_scan(&t));
    expect_broken(&t);
    teardown(&t);
}

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
        { "dirty/windows", test_dirty_windows },
        { "dirty/pieces", test_dirty_pieces },
        { "dirty/slices", test_dirty_slices },
        { "dirty/slices-answer", test_dirty_slices_answer },
        { "dirty/slices-stop", test_dirty_slices_stop },
        { "dirty/short", test_dirty_short },
        { "dirty/log", test_dirty_log },
        { "dirty/keep", test_dirty_keep },
        { "host", test_host },
        { "dirty/dma", test_dirty_dma },
        { "dirty/change", test_dirty_change },
        { "dirty/disconnect", test_dirty_disconnect },
        { "dirty/paused", test_dirty_paused },
        { "lockstep/ticks", test_lockstep_ticks },
        { "lockstep/hints", test_lockstep_hints },
        { "lockstep/stop", test_lockstep_stop },
        { "lockstep/close", test_lockstep_close },
        { "lockstep/cut", test_lockstep_cut },
        { "lockstep/bad", test_lockstep_bad },
        { "lockstep/signal", test_lockstep_signal },
        { "sim/windows", test_sim_windows },
        { "sim/slow", test_sim_slow },
        { "sim/lockstep", test_sim_lockstep },
        { "sim/change", test_sim_change },
        { "gpt/windows", test_gpt_windows },
        { "gpt/shadow", test_gpt_shadow },
        { "gpt/written", test_gpt_written },
        { "gpt/not-written", test_gpt_not_written },
        { "gpt/accessed", test_gpt_accessed },
        { "gpt/incomplete", test_gpt_incomplete },
        { "gpt/look", test_gpt_look },
        { "gpt/long-look", test_gpt_long_look },
        { "gpt/look-within", test_gpt_look_within },
        { "gpt/look-within-written", test_gpt_look_within_written },
        { "gpt/cleared", test_gpt_cleared },
        { "gpt/no-cleared", test_gpt_no_cleared },
        { "gpt/no-look", test_gpt_no_look },
        { "gpt/cost", test_gpt_cost },
        { "gpt/no-cost", test_gpt_no_cost },
        { "gpt/parts", test_gpt_parts },
        { "gpt/rest", test_gpt_rest },
        { "account/scan", test_account_scan },
        { "account/rest", test_account_rest },
        { "account/dirty", test_account_dirty },
        { "account/refused", test_account_refused },
        { "gpt/late", test_gpt_late },
        { "gpt/driver", test_gpt_driver },
        { "gpt/change", test_gpt_change },
        { "gpt/disconnect", test_gpt_disconnect },
        { "gpt/lockstep", test_gpt_lockstep },
        { "gpt/off", test_gpt_off },
        { "forbidden", test_forbidden },
        { "min-window", test_min_window },
    };
    int i;

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
    for (i = 0; i < ARRAY_SIZE(bad_scanners); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/guest/bad/%s",
                                                bad_scanners[i].name);

        qtest_add_data_func(name, &bad_scanners[i], test_bad_scanner);
    }
    return g_test_run();
}
