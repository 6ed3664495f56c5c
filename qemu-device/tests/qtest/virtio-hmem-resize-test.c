/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the guest gives up memory of a tier, and takes it back.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

#define TIER_SIZE (128 * MiB)
#define FRAME 4096ull
/* Number of frames in 2 MiB. */
#define HUGE 512
#define RUNNING (HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING)
#define CONFIG_REQUESTED(tier) CONFIG(tiers[tier].requested)

typedef struct Message {
    struct virtio_hmem_resize header;
    union {
        struct virtio_hmem_run runs[VIRTIO_HMEM_MAX_RUNS + 1];
        struct virtio_hmem_paging paging;
    };
} Message;

static void set_message(Message *m, uint8_t op, uint8_t tier, uint32_t num)
{
    m->header = (struct virtio_hmem_resize) {
        .op = op,
        .tier = tier,
        .num_runs = cpu_to_le32(num),
        .free = cpu_to_le64(16 * MiB),
    };
}

static void set_run(Message *m, int i, uint64_t gfn, uint64_t num)
{
    m->runs[i] = (struct virtio_hmem_run) {
        .gfn = cpu_to_le64(gfn),
        .num = cpu_to_le64(num),
    };
}

static uint32_t message_len(const Message *m)
{
    if (m->header.op == VIRTIO_HMEM_RESIZE_REPORT && !m->header.num_runs) {
        return sizeof(m->header) + sizeof(m->paging);
    }
    return sizeof(m->header) +
        le32_to_cpu(m->header.num_runs) * sizeof(m->runs[0]);
}

/* Send the message, wait for the answer, and check the answer. */
static void send_message(Test *t, const Message *m, uint32_t status,
                         uint32_t num)
{
    uint32_t index = t->hmem.resize_vq->free_head;
    struct virtio_hmem_resized done;
    uint32_t used;
    uint64_t addr;

    addr = qvirtio_hmem_resize(&t->hmem, m, message_len(m), 0, sizeof(done));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.resize_vq, index,
                           &used, DEADLINE_US);
    g_assert_cmpint(used, ==, sizeof(done));
    qtest_memread(t->qts, addr, &done, sizeof(done));
    g_assert_cmpint(le32_to_cpu(done.status), ==, status);
    g_assert_cmpint(le32_to_cpu(done.num_runs), ==, num);
}

static void send_run(Test *t, uint8_t op, uint8_t tier, uint64_t gfn,
                     uint64_t num, uint32_t status)
{
    Message m;

    set_message(&m, op, tier, 1);
    set_run(&m, 0, gfn, num);
    send_message(t, &m, status, status == VIRTIO_HMEM_RESIZED_OK);
}

static void give(Test *t, uint8_t tier, uint64_t gfn, uint64_t num)
{
    send_run(t, VIRTIO_HMEM_RESIZE_GIVE, tier, gfn, num,
             VIRTIO_HMEM_RESIZED_OK);
}

static void take(Test *t, uint8_t tier, uint64_t gfn, uint64_t num)
{
    send_run(t, VIRTIO_HMEM_RESIZE_TAKE, tier, gfn, num,
             VIRTIO_HMEM_RESIZED_OK);
}

static void daemon_send_resize(Daemon *d, uint32_t tier, uint64_t bytes)
{
    const struct {
        struct hmem_link_header header;
        struct hmem_link_resize resize;
    } message = {
        .header = { HMEM_LINK_RESIZE, sizeof(message.resize) },
        .resize = { .tier = tier, .bytes = bytes },
    };

    daemon_send_raw(d, &message, sizeof(message));
}

static struct hmem_link_sizes daemon_recv_sizes(Daemon *d)
{
    struct hmem_link_sizes sizes;

    daemon_recv_to(d, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
    return sizes;
}

/* Request a size, and check that the device's answer has it as requested. */
static void daemon_resize(Daemon *d, uint32_t tier, uint64_t bytes)
{
    daemon_send_resize(d, tier, bytes);
    g_assert_cmpint(daemon_recv_sizes(d).tiers[tier].requested, ==, bytes);
}

/* Check the size in the next message to hmemd, which the device delays. */
static void check_actual(Test *t, uint32_t tier, uint64_t bytes)
{
    struct hmem_link_sizes sizes;

    qtest_clock_step(t->qts, 10 * MS);
    sizes = daemon_recv_sizes(t->d);
    g_assert_cmpint(sizes.tiers[tier].actual, ==, bytes);
}

/* The amount of the host's memory that the machine's memory backends use. */
static uint64_t host_bytes(QTestState *qts)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd", qtest_pid(qts));
    GDir *fds = g_dir_open(dir, 0, NULL);
    uint64_t bytes = 0;
    const char *name;

    g_assert_nonnull(fds);
    while ((name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *to = g_file_read_link(path, NULL);
        struct stat st;

        if (to && strstr(to, "memfd:memory-backend-memfd") &&
            !stat(path, &st)) {
            bytes += st.st_blocks * 512ull;
        }
    }
    g_dir_close(fds);
    return bytes;
}

/* Check that @bytes were released; the messages themselves use a few pages. */
static void check_released(Test *t, uint64_t before, uint64_t bytes)
{
    g_assert_cmpint(host_bytes(t->qts), <=, before - bytes + 8 * FRAME);
}

static void fill(Test *t, uint64_t gfn, uint64_t num)
{
    qtest_memset(t->qts, gfn * FRAME, 0x5a, num * FRAME);
}

static bool reads_as(Test *t, uint64_t gfn, uint64_t num, uint8_t byte)
{
    const size_t len = num * FRAME;
    g_autofree uint8_t *data = g_malloc(len);
    size_t i;

    qtest_memread(t->qts, gfn * FRAME, data, len);
    for (i = 0; i < len; i++) {
        if (data[i] != byte) {
            return false;
        }
    }
    return true;
}

/*
 * Protocol
 */

static void test_config(void)
{
    Test t = { };
    int i;

    setup_machine(&t, "-global virtio-hmem-device.initial=:96M"
                  " -global virtio-hmem-device.minimum=16M:32M");
    g_assert_cmpint(t.d->hello.tiers[0].min, ==, 16 * MiB);
    g_assert_cmpint(t.d->hello.tiers[1].min, ==, 32 * MiB);
    g_assert_cmpint(t.d->hello.tiers[1].unit, ==, 4096);
    find_hmem(&t);
    start_driver(&t);
    for (i = 0; i < 2; i++) {
        g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG_REQUESTED(i)),
                        ==, i ? 96 * MiB : TIER_SIZE);
    }
    qtest_clock_step(t.qts, 10 * MS);
    g_assert_cmpint(daemon_recv_sizes(t.d).tiers[1].requested, ==, 96 * MiB);
    daemon_resize(t.d, 0, 64 * MiB);
    qvirtio_wait_config_isr(t.hmem.vdev, DEADLINE_US);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG_REQUESTED(0)), ==,
                    64 * MiB);
    /* The driver cannot change the field. */
    write_config(&t, CONFIG_REQUESTED(0), 0);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG_REQUESTED(0)), ==,
                    64 * MiB);
    teardown(&t);
}

/* Check that the map "given" has the frames of @num runs, and no others. */
static void check_map(Test *t, const uint64_t (*runs)[2], int num)
{
    const Daemon *d = t->d;
    const uint64_t *map = d->map + 3 * (d->hello.map_bytes / sizeof(*map));
    uint64_t gfn;
    int i;

    for (gfn = 0; gfn < d->hello.map_bytes * 8; gfn++) {
        bool given = false;

        for (i = 0; i < num; i++) {
            given |= gfn - runs[i][0] < runs[i][1];
        }
        g_assert_cmpint(map[gfn / 64] >> (gfn % 64) & 1, ==, given);
    }
}

/* The host releases memory that is given up; memory taken back is zero. */
static void test_give_and_take(void)
{
    Test t = { };
    uint64_t before;
    Message m;

    setup_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    fill(&t, SLOW, 3 * HUGE);
    before = host_bytes(t.qts);
    give(&t, 1, SLOW, HUGE);
    check_released(&t, before, 2 * MiB);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB);

    /* One message can name a single frame and a run of frames. */
    set_message(&m, VIRTIO_HMEM_RESIZE_GIVE, 1, 2);
    set_run(&m, 0, SLOW + HUGE, 1);
    set_run(&m, 1, SLOW + HUGE + 2, 100);
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_OK, 2);
    check_released(&t, before, 2 * MiB + 101 * FRAME);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB - 101 * FRAME);
    check_map(&t, (const uint64_t [][2]) {
        { SLOW, HUGE + 1 }, { SLOW + HUGE + 2, 100 },
    }, 2);
    g_assert_true(reads_as(&t, SLOW + HUGE + 1, 1, 0x5a));
    g_assert_true(reads_as(&t, SLOW + HUGE + 102, 1, 0x5a));

    take(&t, 1, SLOW, HUGE);
    take(&t, 1, SLOW + HUGE + 2, 2);
    check_actual(&t, 1, TIER_SIZE - 99 * FRAME);
    check_map(&t, (const uint64_t [][2]) {
        { SLOW + HUGE, 1 }, { SLOW + HUGE + 4, 98 },
    }, 2);
    g_assert_true(reads_as(&t, SLOW, HUGE, 0));
    g_assert_true(reads_as(&t, SLOW + HUGE + 2, 2, 0));
    /* Memory that was taken back can be given up again. */
    give(&t, 1, SLOW, HUGE);
    teardown(&t);
}

static void test_report(void)
{
    struct hmem_link_sizes sizes;
    Test t = { };
    Message m;

    setup_driver(&t);
    daemon_resize(t.d, 0, 64 * MiB);
    set_message(&m, VIRTIO_HMEM_RESIZE_REPORT, 0, 0);
    m.header.why = VIRTIO_HMEM_WHY_NODE_FULL;
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_OK, 0);
    qtest_clock_step(t.qts, 10 * MS);
    sizes = daemon_recv_sizes(t.d);
    g_assert_cmpint(sizes.tiers[0].why, ==, VIRTIO_HMEM_WHY_NODE_FULL);
    g_assert_cmpint(sizes.tiers[0].free, ==, 16 * MiB);
    /* A guest that reports too much free memory is believed up to its size. */
    m.header.free = cpu_to_le64(UINT64_MAX);
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_OK, 0);
    qtest_clock_step(t.qts, 10 * MS);
    g_assert_cmpint(daemon_recv_sizes(t.d).tiers[0].free, ==, TIER_SIZE);
    teardown(&t);
}

/* Reports tell hmemd what the guest reads again, until the driver goes. */
static void test_paging(void)
{
    static const struct hmem_link_paging none;
    Test t = { };
    struct hmem_link_paging paging;
    Message m = { };

    setup_driver(&t);
    set_message(&m, VIRTIO_HMEM_RESIZE_REPORT, 1, 0);
    m.paging = (struct virtio_hmem_paging) {
        .swapped_in = cpu_to_le64(1000),
        .refaulted = cpu_to_le64(200),
        .swapped = cpu_to_le64(30),
        .read = cpu_to_le64(1300),
        .wait_ns = cpu_to_le64(UINT64_MAX),
    };
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_OK, 0);
    qtest_clock_step(t.qts, 10 * MS);
    paging = daemon_recv_sizes(t.d).paging;
    g_assert_cmpint(paging.swapped_in, ==, 1000);
    g_assert_cmpint(paging.refaulted, ==, 200);
    g_assert_cmpint(paging.swapped, ==, 30);
    g_assert_cmpint(paging.read, ==, 1300);
    g_assert_cmphex(paging.wait_ns, ==, UINT64_MAX);

    /* Messages with runs have no counts, and leave the last ones alone. */
    daemon_resize(t.d, 1, 64 * MiB);
    give(&t, 1, SLOW, HUGE);
    qtest_clock_step(t.qts, 10 * MS);
    g_assert_cmpint(daemon_recv_sizes(t.d).paging.swapped, ==, 30);

    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    qtest_clock_step(t.qts, 10 * MS);
    paging = daemon_recv_sizes(t.d).paging;
    g_assert_cmpint(memcmp(&paging, &none, sizeof(none)), ==, 0);
    teardown(&t);

    /* A driver without the feature reports without counts. */
    t = (Test) { .hmem.refuse = 1ull << VIRTIO_HMEM_F_PAGING };
    setup_driver(&t);
    daemon_resize(t.d, 0, 64 * MiB);
    m.header.why = VIRTIO_HMEM_WHY_NODE_FULL;
    m.header.tier = 0;
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_OK, 0);
    qtest_clock_step(t.qts, 10 * MS);
    g_assert_cmpint(daemon_recv_sizes(t.d).paging.swapped_in, ==, 0);
    teardown(&t);
}

/* A run beyond the request is refused; earlier runs of the message count. */
static void test_unwanted(void)
{
    Test t = { };
    Message m;

    setup_driver(&t);
    send_run(&t, VIRTIO_HMEM_RESIZE_GIVE, 1, SLOW, 1,
             VIRTIO_HMEM_RESIZED_UNWANTED);
    daemon_resize(t.d, 1, TIER_SIZE - 2 * MiB);
    set_message(&m, VIRTIO_HMEM_RESIZE_GIVE, 1, 3);
    set_run(&m, 0, SLOW, HUGE / 2);
    set_run(&m, 1, SLOW + HUGE / 2, HUGE / 2);
    set_run(&m, 2, SLOW + HUGE, 1);
    send_message(&t, &m, VIRTIO_HMEM_RESIZED_UNWANTED, 2);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB);
    /* A guest that needs memory may have more than the requested size. */
    take(&t, 1, SLOW, 1);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB + FRAME);
    teardown(&t);
}

/* Memory of a DIMM, which is not in the tier's own backend, is refused. */
static void test_refused_dimm(void)
{
    const uint64_t dimm = 0x100000;
    Test t = { };

    t.d = daemon_new();
    t.qs = qtest_pc_boot("-machine pc,hmat=on -m 256M,slots=4,maxmem=1G -smp 3"
                         " -nodefaults"
                         " -object memory-backend-memfd,id=m0,size=128M"
                         " -object memory-backend-memfd,id=m1,size=128M" NUMA
                         " -object memory-backend-memfd,id=m2,size=128M"
                         " -device pc-dimm,memdev=m2,node=1"
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d", t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
    find_hmem(&t);
    start_driver(&t);
    g_assert_cmphex(t.d->ranges[t.d->num_ranges - 1].gfn, ==, dimm);
    daemon_resize(t.d, 1, 64 * MiB);
    send_run(&t, VIRTIO_HMEM_RESIZE_GIVE, 1, dimm, 1,
             VIRTIO_HMEM_RESIZED_REFUSED);
    give(&t, 1, SLOW, 1);
    teardown(&t);
}

/* The map stays right when other memory is plugged in. */
static void test_map_plug(void)
{
    Test t = { };

    t.d = daemon_new();
    t.qs = qtest_pc_boot("-machine pc,hmat=on -m 256M,slots=4,maxmem=1G -smp 3"
                         " -nodefaults"
                         " -object memory-backend-memfd,id=m0,size=128M"
                         " -object memory-backend-memfd,id=m1,size=128M" NUMA
                         " -object memory-backend-memfd,id=m2,size=128M"
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d", t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
    find_hmem(&t);
    start_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    give(&t, 1, SLOW + 1, HUGE);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB);
    qtest_qmp_device_add(t.qts, "pc-dimm", "d2",
                         "{ 'memdev': 'm2', 'node': 1 }");
    daemon_recv_ranges(t.d, 4);
    check_map(&t, (const uint64_t [][2]) { { SLOW + 1, HUGE } }, 1);
    take(&t, 1, SLOW + 1, 1);
    check_map(&t, (const uint64_t [][2]) { { SLOW + 2, HUGE - 1 } }, 1);
    teardown(&t);
}

/* Memory of a read-only file, which the host cannot release, is refused. */
static void test_refused_host(void)
{
    g_autofree char *file = NULL;
    struct hmem_link_sizes sizes;
    Test t = { };
    int fd;

    t.d = daemon_new();
    file = g_build_filename(t.d->dir, "memory", NULL);
    fd = open(file, O_CREAT | O_RDWR, 0600);
    g_assert_cmpint(ftruncate(fd, TIER_SIZE), ==, 0);
    close(fd);
    t.qs = qtest_pc_boot("-machine pc,hmat=on -m 256M -smp 3 -nodefaults"
                         " -object memory-backend-memfd,id=m0,size=128M"
                         " -object memory-backend-file,id=m1,size=128M,"
                         "mem-path=%s,readonly=on,rom=off,share=off" NUMA
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d", file, t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
    find_hmem(&t);
    start_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    send_run(&t, VIRTIO_HMEM_RESIZE_GIVE, 1, SLOW, HUGE,
             VIRTIO_HMEM_RESIZED_REFUSED);
    qtest_clock_step(t.qts, 10 * MS);
    sizes = daemon_recv_sizes(t.d);
    g_assert_cmpint(sizes.tiers[1].why, ==, VIRTIO_HMEM_WHY_REFUSED);
    g_assert_cmpint(sizes.tiers[1].actual, ==, TIER_SIZE);
    unlink(file);
    teardown(&t);
}

/*
 * The device closes the connection when hmemd sends a wrong request.
 */

static void test_link_bad(void)
{
    static const struct {
        uint32_t tier;
        uint64_t bytes;
    } bad[] = {
        { 2, 64 * MiB }, { UINT32_MAX, 64 * MiB }, { 0, 8 * MiB },
        { 0, TIER_SIZE + FRAME }, { 0, UINT64_MAX }, { 0, 64 * MiB + 1 },
    };
    Test t = { };
    int i;

    setup_machine(&t, "-global virtio-hmem-device.minimum=16M:");
    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        daemon_send_resize(t.d, bad[i].tier, bad[i].bytes);
        daemon_expect_drop(t.d);
        daemon_accept(t.d);
        daemon_welcome(t.d);
    }
    daemon_resize(t.d, 0, 16 * MiB);
    teardown(&t);
}

/*
 * A wrong message of the guest breaks the device.
 */

typedef struct BadMessage {
    const char *name;
    uint8_t op, tier, why;
    uint32_t num;
    uint64_t gfn, frames;
    /* Bytes missing from the message; bytes for the answer (0 means 8). */
    uint32_t less, room;
    /* The second run; if it has no frames, it follows the first run. */
    uint64_t gfn2, frames2;
} BadMessage;

static const BadMessage bad_messages[] = {
#define GIVE VIRTIO_HMEM_RESIZE_GIVE
#define TAKE VIRTIO_HMEM_RESIZE_TAKE
    { "op", 3, 1, 0, 1, SLOW, 1 },
    { "tier", GIVE, 2, 0, 1, SLOW, 1 },
    { "tier-last", GIVE, 255, 0, 1, SLOW, 1 },
    { "why", GIVE, 1, VIRTIO_HMEM_WHY_MAX, 1, SLOW, 1 },
    { "no-runs", GIVE, 1, 0, 0, 0, 0 },
    { "report-runs", VIRTIO_HMEM_RESIZE_REPORT, 1, 0, 1, SLOW, 1 },
    { "many-runs", GIVE, 1, 0, VIRTIO_HMEM_MAX_RUNS + 1, SLOW, 1 },
    { "runs-beyond", GIVE, 1, 0, 2, SLOW, 1, 8 },
    { "short", GIVE, 1, 0, 0, 0, 0, 1 },
    { "no-paging", VIRTIO_HMEM_RESIZE_REPORT, 1, 0, 0, 0, 0,
      sizeof(struct virtio_hmem_paging) },
    { "short-paging", VIRTIO_HMEM_RESIZE_REPORT, 1, 0, 0, 0, 0, 1 },
    { "no-answer", GIVE, 1, 0, 1, SLOW, 1, 0, UINT32_MAX },
    { "short-answer", GIVE, 1, 0, 1, SLOW, 1, 0, 7 },
    { "long-answer", GIVE, 1, 0, 1, SLOW, 1, 0, 9 },
    { "no-frames", GIVE, 1, 0, 1, SLOW, 0 },
    { "many-frames", GIVE, 1, 0, 1, SLOW, VIRTIO_HMEM_MAX_RESIZE_FRAMES + 1 },
    { "frames-wrap", GIVE, 1, 0, 2, SLOW, 1, 0, 0, SLOW + 1, UINT64_MAX },
    { "no-memory", GIVE, 1, 0, 1, END, 1 },
    { "no-memory-last", GIVE, 1, 0, 1, UINT64_MAX, 1 },
    { "gfn-wrap", GIVE, 1, 0, 1, UINT64_MAX, 2 },
    { "hole", GIVE, 0, 0, 1, HOLE, 1 },
    { "into-hole", GIVE, 0, 0, 1, HOLE - 1, 2 },
    { "other-tier", GIVE, 1, 0, 1, FAST, 1 },
    { "two-tiers", GIVE, 0, 0, 1, SLOW - 1, 2 },
    { "beyond", GIVE, 1, 0, 1, END - 1, 2 },
    { "give-again", GIVE, 1, 0, 1, SLOW + HUGE, 1 },
    { "give-over", GIVE, 1, 0, 1, SLOW + HUGE - 1, 2 },
    { "give-twice", GIVE, 1, 0, 2, SLOW, 2, 0, 0, SLOW + 1, 1 },
    { "take-none", TAKE, 1, 0, 1, SLOW, 1 },
    { "take-over", TAKE, 1, 0, 1, SLOW + HUGE, HUGE + 1 },
    { "take-twice", TAKE, 1, 0, 2, SLOW + HUGE, 1, 0, 0, SLOW + HUGE, 1 },
#undef GIVE
#undef TAKE
};

static void test_lies(const void *data)
{
    const BadMessage *bad = data;
    Test t = { };
    Message m = { };
    uint32_t room = bad->room == UINT32_MAX ? 0 : bad->room ?: 8;
    int i;

    setup_driver(&t);
    daemon_resize(t.d, 1, 16 * MiB);
    daemon_resize(t.d, 0, 16 * MiB);
    give(&t, 1, SLOW + HUGE, HUGE);
    set_message(&m, bad->op, bad->tier, bad->num);
    m.header.why = bad->why;
    for (i = 0; i < bad->num; i++) {
        set_run(&m, i, i && bad->frames2 ? bad->gfn2 : bad->gfn + i,
                i && bad->frames2 ? bad->frames2 : bad->frames);
    }
    qvirtio_hmem_resize(&t.hmem, &m, message_len(&m) - bad->less, 0, room);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    assert_driver(t.qts, "broken");

    /* After a reset the guest has all memory again, and can give it up. */
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    give(&t, 1, SLOW + HUGE, HUGE);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB);
    teardown(&t);
}

/*
 * The guest says that the answer belongs at the address of the device's status
 * register.  Writing there must not reset the device, which is using its queue.
 */
static void test_reentry(void)
{
    Test t = { };
    Message m;
    int i;

    setup_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    set_message(&m, VIRTIO_HMEM_RESIZE_GIVE, 1, 1);
    for (i = 0; i < 3; i++) {
        set_run(&m, 0, SLOW + i, 1);
        qvirtio_hmem_resize(&t.hmem, &m, message_len(&m),
                            register_addr(&t, COMMON(device_status)),
                            sizeof(struct virtio_hmem_resized));
    }
    daemon_barrier(t.d);
    assert_driver(t.qts, "ok");
    check_actual(&t, 1, TIER_SIZE - 3 * FRAME);
    teardown(&t);
}

/*
 * Reset
 */

static void test_reset(void)
{
    Test t = { };

    setup_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    fill(&t, SLOW, HUGE);
    give(&t, 1, SLOW, HUGE);
    check_actual(&t, 1, TIER_SIZE - 2 * MiB);
    qtest_system_reset(t.qts);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    check_actual(&t, 1, TIER_SIZE);
    check_map(&t, NULL, 0);
    /* The requested size stays. */
    find_hmem(&t);
    start_driver(&t);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG_REQUESTED(1)), ==,
                    64 * MiB);
    g_assert_true(reads_as(&t, SLOW, HUGE, 0));
    give(&t, 1, SLOW, HUGE);
    teardown(&t);
}

/* When hmemd connects again, the device sends the present sizes. */
static void test_reconnect(void)
{
    struct hmem_link_sizes sizes;
    Test t = { };

    setup_driver(&t);
    daemon_resize(t.d, 1, 64 * MiB);
    give(&t, 1, SLOW, HUGE);
    daemon_close(t.d);
    daemon_accept(t.d);
    daemon_welcome(t.d);
    qtest_clock_step(t.qts, 10 * MS);
    sizes = daemon_recv_sizes(t.d);
    g_assert_cmpint(sizes.tiers[1].actual, ==, TIER_SIZE - 2 * MiB);
    g_assert_cmpint(sizes.tiers[1].requested, ==, 64 * MiB);
    g_assert_cmpint(sizes.tiers[0].actual, ==, TIER_SIZE);
    check_map(&t, (const uint64_t [][2]) { { SLOW, HUGE } }, 1);
    teardown(&t);
}

/* A driver without the feature works, and so does a device without it. */
static void test_feature(void)
{
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_RESIZE |
                              1ull << VIRTIO_HMEM_F_PAGING };

    setup_driver(&t);
    g_assert_null(t.hmem.resize_vq);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG_REQUESTED(0)), ==,
                    0);
    daemon_resize(t.d, 0, 64 * MiB);
    pass_hint(&t, 1, FAST, 0, 1);
    teardown(&t);

    t = (Test) { };
    setup_machine(&t, "-global virtio-hmem-device.resize=off"
                  " -global virtio-hmem-device.access=off");
    g_assert_cmpint(t.d->hello.tiers[0].unit, ==, 0);
    find_hmem(&t);
    start_driver(&t);
    g_assert_null(t.hmem.resize_vq);
    daemon_send_resize(t.d, 0, 64 * MiB);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/* The queue has the same number in a device without scans. */
static void test_without_access(void)
{
    Test t = { };

    setup_machine(&t, "-global virtio-hmem-device.access=off");
    find_hmem(&t);
    start_driver(&t);
    g_assert_null(t.hmem.scan_vq);
    daemon_resize(t.d, 1, 64 * MiB);
    give(&t, 1, SLOW, HUGE);
    teardown(&t);
}

/*
 * Properties
 */

static const struct {
    const char *name;
    const char *args;
    const char *error;
} realize_errors[] = {
    { "number", "{ 'initial': '64M' }",
      "'initial' has 1 sizes, but the machine has 2 tiers" },
    { "word", "{ 'minimum': ':much' }",
      "'minimum' has 'much' for tier 1, which is no size such as 4G" },
    { "large", "{ 'initial': '129M:' }",
      "'initial' has '129M' for tier 0, which has 0x8000000 bytes in units of "
      "0x1000" },
    { "part", "{ 'initial': '4097:' }",
      "'initial' has '4097' for tier 0, which has 0x8000000 bytes in units of "
      "0x1000" },
    { "minimum", "{ 'initial': ':32M', 'minimum': ':64M' }",
      "'initial' has 0x2000000 bytes for tier 1, less than its 'minimum'" },
    { "off", "{ 'initial': ':32M', 'resize': false }",
      "'initial' and 'minimum' are for a device with 'resize=on'" },
};

static void test_realize(void)
{
    QTestState *qts = qtest_init(MACHINE);
    int i;

    for (i = 0; i < ARRAY_SIZE(realize_errors); i++) {
        QDict *args = qdict_from_jsonf_nofail(realize_errors[i].args, NULL);
        QDict *response;

        qdict_put_str(args, "driver", "virtio-hmem");
        response = qtest_qmp(qts, "{ 'execute': 'device_add',"
                             " 'arguments': %p }", args);
        g_assert_cmpstr(qdict_get_str(qdict_get_qdict(response, "error"),
                                      "desc"), ==, realize_errors[i].error);
        qobject_unref(response);
    }
    qtest_quit(qts);
}

/*
 * Migration
 */

static void set_bandwidth(QTestState *qts, uint64_t bytes)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { 'max-bandwidth': %" PRIu64
                             " } }", bytes);
}

/* The number of frames of guest memory that were sent. */
static uint64_t frames_sent(QTestState *qts)
{
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
    QDict *ram = qdict_get_qdict(qdict_get_qdict(response, "return"), "ram");
    uint64_t num = qdict_get_int(ram, "normal") +
        qdict_get_int(ram, "duplicate");

    qobject_unref(response);
    return num;
}

/*
 * Most of tier 1 is given up.  QEMU neither sends that memory nor makes a host
 * allocate it.  Memory that the guest takes back during migration is sent.
 */
static void test_migration(void)
{
    const uint64_t given = 96 * MiB / FRAME;
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    g_autofree char *incoming = NULL;
    struct hmem_link_sizes sizes;
    uint64_t gfn, before;

    setup_driver(&from);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    incoming = g_strdup_printf("-incoming %s", uri);
    setup_machine(&to, incoming);
    daemon_resize(from.d, 1, 16 * MiB);
    fill(&from, SLOW, 1024);
    for (gfn = SLOW; gfn < SLOW + given;
         gfn += VIRTIO_HMEM_MAX_RESIZE_FRAMES / 2) {
        give(&from, 1, gfn, VIRTIO_HMEM_MAX_RESIZE_FRAMES / 2);
    }
    check_actual(&from, 1, 32 * MiB);
    before = host_bytes(from.qts);

    set_bandwidth(from.qts, 4096);
    qtest_qmp_assert_success(from.qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': %s } }", uri);
    daemon_recv_state(from.d, RUNNING | HMEM_LINK_MIGRATING);
    send_run(&from, VIRTIO_HMEM_RESIZE_GIVE, 1, END - HUGE, HUGE,
             VIRTIO_HMEM_RESIZED_BUSY);
    take(&from, 1, SLOW, HUGE);
    fill(&from, SLOW, 1);
    set_bandwidth(from.qts, 1ull << 40);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, RUNNING);
    g_assert_cmpint(frames_sent(from.qts), <, END - given + 4 * HUGE);
    /* QEMU reads other memory in order to send it, so the host allocates it. */
    g_assert_cmpint(host_bytes(from.qts), <=,
                    MAX(before, 256 * MiB - given * FRAME + 2 * MiB));
    g_assert_cmpint(host_bytes(to.qts), <=,
                    256 * MiB - given * FRAME + 2 * MiB);

    qtest_clock_step(to.qts, 10 * MS);
    sizes = daemon_recv_sizes(to.d);
    g_assert_cmpint(sizes.tiers[1].actual, ==, 34 * MiB);
    g_assert_cmpint(sizes.tiers[1].requested, ==, 16 * MiB);
    check_map(&to, (const uint64_t [][2]) {
        { SLOW + HUGE, given - HUGE },
    }, 1);
    g_assert_true(reads_as(&to, SLOW, 1, 0x5a));
    g_assert_true(reads_as(&to, SLOW + 1, HUGE - 1, 0));
    take(&to, 1, SLOW + HUGE, HUGE);
    g_assert_true(reads_as(&to, SLOW + HUGE, HUGE, 0));
    give(&to, 1, SLOW, HUGE);
    teardown(&to);
    teardown(&from);
}

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
        { "resize/config", test_config },
        { "resize/give-and-take", test_give_and_take },
        { "resize/report", test_report },
        { "resize/paging", test_paging },
        { "resize/unwanted", test_unwanted },
        { "resize/refused-dimm", test_refused_dimm },
        { "resize/map-plug", test_map_plug },
        { "resize/refused-host", test_refused_host },
        { "resize/link-bad", test_link_bad },
        { "resize/reentry", test_reentry },
        { "resize/reset", test_reset },
        { "resize/reconnect", test_reconnect },
        { "resize/feature", test_feature },
        { "resize/without-access", test_without_access },
        { "resize/realize", test_realize },
        { "resize/migration", test_migration },
    };
    int i;

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
    for (i = 0; i < ARRAY_SIZE(bad_messages); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/resize/lies/%s",
                                                bad_messages[i].name);

        qtest_add_data_func(name, &bad_messages[i], test_lies);
    }
    return g_test_run();
}
