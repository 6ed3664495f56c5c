/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the device between a fake hmemd and a fake driver.
 *
 * The test is both of them.  It never relies on how long something takes: to
 * see that a message was handled it waits for what must follow, and the
 * deadlines are only there so that a hung test ends.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-hmem.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "hw/virtio/hmem_link.h"

#define DEADLINE_MS (300 * 1000)
#define DEADLINE_US (DEADLINE_MS * 1000ll)
#define MS 1000000ull

/* Tier 0 is 128 MiB with the firmware's hole under 1 MiB, tier 1 follows. */
#define HOLE 0xc0
#define FAST 0x200
#define SLOW 0x8000
#define END 0x10000

#define NODES                                                               \
    " -m 256M -smp 1 -nodefaults"                                           \
    " -object memory-backend-memfd,id=m0,size=128M"                         \
    " -object memory-backend-memfd,id=m1,size=128M"
#define NUMA                                                                \
    " -numa node,nodeid=0,memdev=m0,cpus=0"                                 \
    " -numa node,nodeid=1,memdev=m1,initiator=0"
#define LB(target, type, what)                                              \
    " -numa hmat-lb,initiator=0,target=" #target ",hierarchy=memory,"       \
    "data-type=" type "," what
#define HMAT                                                                \
    LB(0, "access-latency", "latency=80")                                   \
    LB(1, "read-latency", "latency=300")                                    \
    LB(1, "write-latency", "latency=500")                                   \
    LB(0, "access-bandwidth", "bandwidth=20G")                              \
    LB(1, "read-bandwidth", "bandwidth=6G")                                 \
    LB(1, "write-bandwidth", "bandwidth=2G")
#define MACHINE "-machine pc,hmat=on" NODES NUMA HMAT
#define UUID "12345678-9abc-def0-1234-56789abcdef0"
#define DEVICE_PATH "/machine/peripheral/hmem0"
#define SLOT 4

/*
 * hmemd
 */

typedef struct Daemon {
    char *dir;
    char *path;
    int listener;
    int fd;
    struct hmem_link_hello hello;
    struct hmem_link_state state;
    struct hmem_link_range ranges[16];
    uint32_t num_ranges;
    /* Dirty, accessed, rearm. */
    uint64_t *map;
} Daemon;

static size_t maps_size(const Daemon *d)
{
    return HMEM_LINK_MAPS * d->hello.map_bytes;
}

static Daemon *daemon_new(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Daemon *d = g_new0(Daemon, 1);

    d->dir = g_dir_make_tmp("virtio-hmem-XXXXXX", NULL);
    g_assert_nonnull(d->dir);
    d->path = g_build_filename(d->dir, "hmemd.sock", NULL);
    g_assert_cmpint(g_strlcpy(addr.sun_path, d->path, sizeof(addr.sun_path)),
                    <, sizeof(addr.sun_path));
    d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(d->listener, >=, 0);
    g_assert_cmpint(bind(d->listener, (void *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(d->listener, 1), ==, 0);
    d->fd = -1;
    return d;
}

static void daemon_close(Daemon *d)
{
    if (d->map) {
        munmap(d->map, maps_size(d));
        d->map = NULL;
    }
    if (d->fd >= 0) {
        close(d->fd);
        d->fd = -1;
    }
}

static void daemon_free(Daemon *d)
{
    daemon_close(d);
    close(d->listener);
    unlink(d->path);
    rmdir(d->dir);
    g_free(d->path);
    g_free(d->dir);
    g_free(d);
}

static void wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    g_assert_cmpint(poll(&p, 1, DEADLINE_MS), ==, 1);
}

/* Read all of it; false at the end of the stream. */
static bool daemon_read(Daemon *d, void *buf, size_t len, int *fd)
{
    size_t done = 0;

    while (done < len) {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = {
            .iov_base = (char *)buf + done,
            .iov_len = len - done,
        };
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.space,
            .msg_controllen = sizeof(control),
        };
        struct cmsghdr *cmsg;
        ssize_t n;

        wait_readable(d->fd);
        n = recvmsg(d->fd, &msg, MSG_CMSG_CLOEXEC);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return false;
        }
        g_assert_cmpint(n, >, 0);
        cmsg = CMSG_FIRSTHDR(&msg);
        if (cmsg) {
            g_assert_nonnull(fd);
            g_assert_cmpint(cmsg->cmsg_type, ==, SCM_RIGHTS);
            memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
        }
        done += n;
    }
    return true;
}

/* The next message, which has to be of this type; the caller frees it. */
static void *daemon_recv(Daemon *d, uint32_t type, uint32_t *len, int *fd)
{
    struct hmem_link_header header;
    g_autofree uint8_t *payload = NULL;

    g_assert_true(daemon_read(d, &header, sizeof(header), fd));
    g_assert_cmphex(header.type, ==, type);
    g_assert_cmpint(header.len, <=, HMEM_LINK_MAX_PAYLOAD);
    payload = g_malloc(header.len);
    g_assert_true(daemon_read(d, payload, header.len, fd));
    if (len) {
        *len = header.len;
    }
    return g_steal_pointer(&payload);
}

static void daemon_recv_to(Daemon *d, uint32_t type, void *to, uint32_t size)
{
    uint32_t len;
    g_autofree void *payload = daemon_recv(d, type, &len, NULL);

    g_assert_cmpint(len, ==, size);
    memcpy(to, payload, size);
}

static void daemon_recv_state(Daemon *d, uint32_t flags)
{
    daemon_recv_to(d, HMEM_LINK_STATE, &d->state, sizeof(d->state));
    g_assert_cmphex(d->state.flags, ==, flags);
}

static void daemon_send_raw(Daemon *d, const void *buf, size_t len)
{
    g_assert_cmpint(send(d->fd, buf, len, MSG_NOSIGNAL), ==, len);
}

static void daemon_send(Daemon *d, uint32_t type, const void *payload,
                        uint32_t len)
{
    const struct hmem_link_header header = { .type = type, .len = len };

    daemon_send_raw(d, &header, sizeof(header));
    daemon_send_raw(d, payload, len);
}

static void daemon_welcome(Daemon *d)
{
    const struct hmem_link_welcome welcome = {
        .magic = HMEM_LINK_MAGIC,
        .version = HMEM_LINK_VERSION,
    };

    daemon_send(d, HMEM_LINK_WELCOME, &welcome, sizeof(welcome));
}

/* A new connection, and all that the device says before it hears anything. */
static void daemon_accept(Daemon *d)
{
    g_autofree struct hmem_link_range *ranges = NULL;
    g_autofree struct hmem_link_hello *hello = NULL;
    uint32_t len;
    int fd = -1;

    daemon_close(d);
    wait_readable(d->listener);
    d->fd = accept(d->listener, NULL, NULL);
    g_assert_cmpint(d->fd, >=, 0);

    hello = daemon_recv(d, HMEM_LINK_HELLO, &len, &fd);
    g_assert_cmpint(len, ==, sizeof(*hello));
    d->hello = *hello;
    g_assert_cmpint(fd, >=, 0);
    d->map = mmap(NULL, maps_size(d), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                  0);
    g_assert_true(d->map != MAP_FAILED);
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, maps_size(d));
    /* It cannot be made to fault under QEMU's or hmemd's feet. */
    g_assert_cmpint(ftruncate(fd, 0), ==, -1);
    close(fd);

    ranges = daemon_recv(d, HMEM_LINK_RANGES, &len, NULL);
    d->num_ranges = len / sizeof(*ranges);
    g_assert_cmpint(d->num_ranges, <=, ARRAY_SIZE(d->ranges));
    g_assert_cmpint(len % sizeof(*ranges), ==, 0);
    memcpy(d->ranges, ranges, len);

    daemon_recv_to(d, HMEM_LINK_STATE, &d->state, sizeof(d->state));
}

/* The device hangs up (after whatever it had still to say). */
static void daemon_expect_drop(Daemon *d)
{
    char c;

    while (daemon_read(d, &c, 1, NULL)) {
        continue;
    }
}

static struct virtio_hmem_hint hint(uint64_t gfn, uint8_t order, uint8_t tier)
{
    return (struct virtio_hmem_hint) {
        .gfn = cpu_to_le64(gfn),
        .order = order,
        .tier = tier,
    };
}

static void daemon_hints(Daemon *d, uint64_t id,
                         const struct virtio_hmem_hint *hints, uint32_t num)
{
    const size_t len = sizeof(struct virtio_hmem_hint_batch) +
        num * sizeof(*hints);
    g_autofree struct virtio_hmem_hint_batch *batch = g_malloc0(len);

    batch->id = cpu_to_le64(id);
    batch->num_hints = cpu_to_le32(num);
    memcpy(batch->hints, hints, num * sizeof(*hints));
    daemon_send(d, HMEM_LINK_HINTS, batch, len);
}

static void daemon_hint(Daemon *d, uint64_t id, uint64_t gfn, uint8_t order,
                        uint8_t tier)
{
    struct virtio_hmem_hint h = hint(gfn, order, tier);

    daemon_hints(d, id, &h, 1);
}

static void daemon_recv_reject(Daemon *d, uint64_t id, uint32_t code,
                               uint32_t index)
{
    struct hmem_link_reject reject;

    daemon_recv_to(d, HMEM_LINK_REJECT, &reject, sizeof(reject));
    g_assert_cmpint(reject.id, ==, id);
    g_assert_cmpint(reject.code, ==, code);
    g_assert_cmpint(reject.hint, ==, index);
}

/* All messages so far were handled: a hint for no memory is rejected. */
static void daemon_barrier(Daemon *d)
{
    daemon_hint(d, UINT64_MAX, 1ull << 50, 0, 0);
    daemon_recv_reject(d, UINT64_MAX, d->state.flags & HMEM_LINK_DRIVER_OK ?
                       HMEM_LINK_REJECT_INVALID : HMEM_LINK_REJECT_NO_DRIVER,
                       0);
}

static void daemon_track_with(Daemon *d, uint64_t window_ns, uint32_t tracker,
                              uint32_t flags)
{
    const struct hmem_link_track track = {
        .window_ns = window_ns,
        .tracker = window_ns ? tracker : 0,
        .flags = flags,
    };

    daemon_send(d, HMEM_LINK_TRACK, &track, sizeof(track));
}

static void daemon_track_flags(Daemon *d, uint64_t window_ns, uint32_t flags)
{
    daemon_track_with(d, window_ns, HMEM_LINK_TRACKER_DIRTY, flags);
}

static void daemon_track(Daemon *d, uint64_t window_ns)
{
    daemon_track_flags(d, window_ns, 0);
}

static void daemon_tick_done(Daemon *d, uint64_t seq)
{
    const struct hmem_link_tick_done done = { .seq = seq };

    daemon_send(d, HMEM_LINK_TICK_DONE, &done, sizeof(done));
}

/* What was found is for the caller to check. */
static struct hmem_link_tick daemon_next_tick(Daemon *d, uint64_t seq,
                                              uint64_t window_ns)
{
    struct hmem_link_tick tick;

    daemon_recv_to(d, HMEM_LINK_TICK, &tick, sizeof(tick));
    g_assert_cmpint(tick.seq, ==, seq);
    g_assert_cmpint(tick.window_ns, ==, window_ns);
    return tick;
}

static void daemon_recv_tick(Daemon *d, uint64_t seq, uint64_t window_ns,
                             uint64_t dirty)
{
    const struct hmem_link_tick tick = daemon_next_tick(d, seq, window_ns);

    g_assert_cmpint(tick.dirty, ==, dirty);
    g_assert_cmpint(tick.accessed, ==, 0);
}

static uint64_t map_words(const Daemon *d)
{
    return d->hello.map_bytes / sizeof(*d->map);
}

static uint64_t *accessed_map(Daemon *d)
{
    return d->map + map_words(d);
}

static uint64_t *rearm_map(Daemon *d)
{
    return accessed_map(d) + map_words(d);
}

static bool map_test(const uint64_t *map, uint64_t gfn)
{
    return qatomic_read(&map[gfn / 64]) >> gfn % 64 & 1;
}

static void map_set(uint64_t *map, uint64_t gfn)
{
    qatomic_or(&map[gfn / 64], 1ull << gfn % 64);
}

/* Exactly these pages are in one of the maps; take them out. */
static void daemon_take(Daemon *d, uint64_t *map, const uint64_t *gfns, int num)
{
    uint64_t word, found = 0;
    int i;

    for (i = 0; i < num; i++) {
        g_assert_true(map_test(map, gfns[i]));
    }
    for (word = 0; word < map_words(d); word++) {
        found += ctpop64(qatomic_xchg(&map[word], 0));
    }
    g_assert_cmpint(found, ==, num);
}

static void daemon_take_all(Daemon *d)
{
    memset(d->map, 0, d->hello.map_bytes);
}

static void daemon_take_map(Daemon *d, const uint64_t *gfns, int num)
{
    daemon_take(d, d->map, gfns, num);
}

/*
 * Machine
 */

typedef struct Test {
    QOSState *qs;
    QTestState *qts;
    Daemon *d;
    QVirtioPCIDevice *pci;
    QVirtioHMEM hmem;
    /* Of the request that was received last; see recv_scan(). */
    uint64_t look_ns;
} Test;

static QVirtioPCIDevice *find_device(QOSState *qs, int slot)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(slot, 0) };
    QVirtioPCIDevice *pci = virtio_pci_new(qs->pcibus, &addr);

    g_assert_nonnull(pci);
    g_assert_cmpint(pci->vdev.device_type, ==, VIRTIO_ID_HMEM);
    qvirtio_pci_device_enable(pci);
    qvirtio_start_device(&pci->vdev);
    return pci;
}

/* A machine with the device, connected and welcome, and no driver yet. */
static void setup_machine(Test *t, const char *extra)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot(MACHINE " -name hmem-test -uuid " UUID
                          " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                          " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                          "addr=%d %s", t->d->path, SLOT, extra);
    t->qts = t->qs->qts;
    daemon_accept(t->d);
    daemon_welcome(t->d);
}

static void find_hmem(Test *t)
{
    t->pci = find_device(t->qs, SLOT);
    t->hmem = (QVirtioHMEM) {
        .refuse = t->hmem.refuse,
        .qts = t->qts,
        .alloc = &t->qs->alloc,
        .vdev = &t->pci->vdev,
    };
}

static void setup(Test *t)
{
    setup_machine(t, "");
    find_hmem(t);
}

static void start_driver(Test *t)
{
    qvirtio_hmem_start(&t->hmem);
    daemon_recv_state(t->d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t->d->state.features, ==,
                    t->pci->vdev.bus->get_guest_features(t->hmem.vdev));
    g_assert_true(t->d->state.features & (1ull << VIRTIO_HMEM_F_LARGE));
}

static void setup_driver(Test *t)
{
    setup(t);
    start_driver(t);
}

static void teardown(Test *t)
{
    if (t->pci) {
        qos_object_destroy((QOSGraphObject *)t->pci);
    }
    qtest_shutdown(t->qs);
    daemon_free(t->d);
}

static QDict *get_stats(QTestState *qts)
{
    return qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'qom-get', 'arguments': { 'path': %s,"
        " 'property': 'stats' } }", DEVICE_PATH);
}

/* A counter, by its path: "ticks", "rejected.busy". */
static uint64_t get_stat(QTestState *qts, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", 2);
    QDict *stats = get_stats(qts);
    QDict *dict = names[1] ? qdict_get_qdict(stats, names[0]) : stats;
    uint64_t value;

    g_assert_nonnull(dict);
    value = qdict_get_int(dict, names[1] ?: names[0]);
    qobject_unref(stats);
    return value;
}

static void assert_property(QTestState *qts, const char *name,
                            const char *value)
{
    QDict *response = qtest_qmp(
        qts, "{ 'execute': 'qom-get', 'arguments': { 'path': %s,"
        " 'property': %s } }", DEVICE_PATH, name);

    g_assert_cmpstr(qdict_get_try_str(response, "return"), ==, value);
    qobject_unref(response);
}

/* Whether QEMU logs writes for the device. */
static void assert_log(Test *t, bool on)
{
    QDict *response = qtest_qmp(
        t->qts, "{ 'execute': 'qom-get', 'arguments': { 'path': %s,"
        " 'property': 'dirty-log' } }", DEVICE_PATH);

    g_assert_cmpint(qdict_get_bool(response, "return"), ==, on);
    qobject_unref(response);
}

static uint64_t get_outstanding(QTestState *qts)
{
    QDict *response = qtest_qmp(
        qts, "{ 'execute': 'qom-get', 'arguments': { 'path': %s,"
        " 'property': 'outstanding' } }", DEVICE_PATH);
    uint64_t value = qdict_get_int(response, "return");

    qobject_unref(response);
    return value;
}

/*
 * Driver
 */

/* Wait for the device to use the buffer @index; returns its id. */
static uint64_t recv_hints(Test *t, uint64_t addr, uint32_t index,
                           const struct virtio_hmem_hint *hints, uint32_t num)
{
    const size_t len = sizeof(struct virtio_hmem_hint_batch) +
        num * sizeof(*hints);
    g_autofree struct virtio_hmem_hint_batch *batch = g_malloc(len);
    uint32_t used;

    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.hint_vq, index, &used,
                           DEADLINE_US);
    g_assert_cmpint(used, ==, len);
    qtest_memread(t->qts, addr, batch, len);
    g_assert_cmpint(le32_to_cpu(batch->num_hints), ==, num);
    g_assert_cmpint(batch->flags, ==, 0);
    g_assert_cmpmem(batch->hints, num * sizeof(*hints), hints,
                    num * sizeof(*hints));
    return le64_to_cpu(batch->id);
}

/* One hint through the whole device; returns the id that the guest sees. */
static uint64_t pass_hint(Test *t, uint64_t cookie, uint64_t gfn,
                          uint8_t order, uint8_t tier)
{
    struct virtio_hmem_hint h = hint(gfn, order, tier);
    uint32_t index = t->hmem.hint_vq->free_head;
    uint64_t addr = qvirtio_hmem_post(&t->hmem, 8192);

    daemon_hints(t->d, cookie, &h, 1);
    return recv_hints(t, addr, index, &h, 1);
}

typedef struct Results {
    struct virtio_hmem_result_batch b;
    struct virtio_hmem_result r[4];
} Results;

static void set_result(Results *m, int i, uint64_t gfn, uint64_t new_gfn,
                       uint8_t order, uint8_t reason)
{
    m->r[i] = (struct virtio_hmem_result) {
        .gfn = cpu_to_le64(gfn),
        .new_gfn = cpu_to_le64(new_gfn),
        .order = order,
        .status = virtio_hmem_status(reason),
        .reason = reason,
    };
}

static void set_batch(Results *m, uint64_t id, uint32_t num, bool last)
{
    m->b = (struct virtio_hmem_result_batch) {
        .id = cpu_to_le64(id),
        .num_results = cpu_to_le32(num),
        .flags = cpu_to_le32(last ? VIRTIO_HMEM_RESULT_LAST : 0),
        .foreign_moves = cpu_to_le64(1234),
    };
}

static uint32_t results_len(const Results *m)
{
    return sizeof(m->b) + le32_to_cpu(m->b.num_results) * sizeof(m->r[0]);
}

static void send_results(Test *t, const Results *m)
{
    uint32_t index = t->hmem.result_vq->free_head;

    qvirtio_hmem_result(&t->hmem, m, results_len(m));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.result_vq, index,
                           NULL, DEADLINE_US);
}

/* hmemd sees what the guest sent, under its own name for the batch. */
static void daemon_recv_results(Daemon *d, const Results *sent,
                                uint64_t cookie, bool last)
{
    Results m;

    daemon_recv_to(d, HMEM_LINK_RESULTS, &m, results_len(sent));
    g_assert_cmpint(le64_to_cpu(m.b.id), ==, cookie);
    g_assert_cmpint(m.b.num_results, ==, sent->b.num_results);
    g_assert_cmpint(le32_to_cpu(m.b.flags), ==,
                    last ? VIRTIO_HMEM_RESULT_LAST : 0);
    g_assert_cmpint(m.b.foreign_moves, ==, sent->b.foreign_moves);
    g_assert_cmpmem(m.r, results_len(sent) - sizeof(m.b), sent->r,
                    results_len(sent) - sizeof(m.b));
}

/* The device has found fault with the guest, and can be started again. */
static void expect_broken(Test *t)
{
    daemon_recv_state(t->d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    assert_property(t->qts, "driver-state", "broken");
    g_assert_cmphex(t->hmem.vdev->bus->get_status(t->hmem.vdev) &
                    VIRTIO_CONFIG_S_NEEDS_RESET, !=, 0);
    g_assert_cmpint(get_outstanding(t->qts), ==, 0);

    daemon_hint(t->d, 99, FAST, 0, 1);
    daemon_recv_reject(t->d, 99, HMEM_LINK_REJECT_NO_DRIVER, 0);

    qvirtio_hmem_stop(&t->hmem);
    daemon_recv_state(t->d, HMEM_LINK_VM_RUNNING);
    qvirtio_start_device(t->hmem.vdev);
    start_driver(t);
    pass_hint(t, 100, FAST, 0, 1);
}

/* Registers of a transport */

#define COMMON(field) offsetof(struct virtio_pci_common_cfg, field)

static uint64_t register_addr(Test *t, uint64_t offset)
{
    return t->pci->bar.addr + t->pci->common_cfg_offset + offset;
}

static void write_common16(Test *t, uint64_t offset, uint16_t value)
{
    qpci_io_writew(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset, value);
}

static void write_common64(Test *t, uint64_t offset, uint64_t value)
{
    qpci_io_writel(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset, value);
    qpci_io_writel(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset + 4, value >> 32);
}

/*
 * Configuration
 */

#define CONFIG(field) offsetof(struct virtio_hmem_config, field)

static void test_config(void)
{
    Test t = { };
    QVirtioDevice *vdev;

    setup(&t);
    vdev = t.hmem.vdev;
    qvirtio_set_features(vdev, 1ull << VIRTIO_F_VERSION_1);
    g_assert_cmpint(qvirtio_config_readw(vdev, CONFIG(num_tiers)), ==, 2);
#define TIER(i, field, value)                                               \
    g_assert_cmpint(qvirtio_config_readl(vdev, CONFIG(tiers[i].field)), ==, \
                    value)
    TIER(0, pxm, 0);
    TIER(0, kind, VIRTIO_HMEM_KIND_DRAM);
    TIER(0, read_latency, 80);
    TIER(0, write_latency, 80);
    TIER(0, read_bandwidth, 20 * 1024);
    TIER(0, write_bandwidth, 20 * 1024);
    TIER(1, pxm, 1);
    TIER(1, kind, VIRTIO_HMEM_KIND_NVM);
    TIER(1, read_latency, 300);
    TIER(1, write_latency, 500);
    TIER(1, read_bandwidth, 6 * 1024);
    TIER(1, write_bandwidth, 2 * 1024);
    TIER(2, pxm, 0);
    TIER(2, read_latency, 0);
#undef TIER
    g_assert_cmpint(qvirtio_config_readq(vdev, CONFIG(tiers[0].size)), ==,
                    128 * MiB);
    g_assert_cmpint(qvirtio_config_readq(vdev, CONFIG(tiers[1].size)), ==,
                    128 * MiB);
    g_assert_cmpint(qvirtio_config_readq(vdev, CONFIG(tiers[2].size)), ==, 0);
    assert_property(t.qts, "driver-state", "none");
    teardown(&t);
}

#define ONLINE(tier) CONFIG(tiers[tier].online)

static void write_config(Test *t, uint64_t offset, uint32_t value)
{
    QPCIDevice *pdev = t->pci->pdev;

    qpci_io_writel(pdev, t->pci->bar, t->pci->device_cfg_offset + offset,
                   value);
}

/* As a driver does, the lower half first; and wait until hmemd is told. */
static void set_online(Test *t, int tier, uint64_t bytes)
{
    write_config(t, ONLINE(tier), bytes);
    write_config(t, ONLINE(tier) + 4, bytes >> 32);
    qtest_clock_step(t->qts, 10 * MS);
    daemon_recv_state(t->d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
}

/* The driver tells what is online, and can write nothing else. */
static void test_config_online(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    Test t = { };
    int i;

    setup_driver(&t);
    g_assert_cmpint(t.d->state.online[0], ==, 0);
    set_online(&t, 0, 64 * MiB);
    g_assert_cmpint(t.d->state.online[0], ==, 64 * MiB);
    g_assert_cmpint(t.d->state.online[1], ==, 0);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, ONLINE(0)), ==,
                    64 * MiB);
    /* No more than can be, in whole frames. */
    set_online(&t, 1, UINT64_MAX);
    g_assert_cmpint(t.d->state.online[1], ==, 256 * MiB);
    set_online(&t, 1, 3 * MiB + 4095);
    g_assert_cmpint(t.d->state.online[1], ==, 3 * MiB);

    /* However often it is written, hmemd is told once. */
    for (i = 0; i < 100; i++) {
        write_config(&t, ONLINE(0), i * 4096);
    }
    set_online(&t, 0, 5 * MiB);
    g_assert_cmpint(t.d->state.online[0], ==, 5 * MiB);

    write_config(&t, ONLINE(2), 4096);
    write_config(&t, CONFIG(tiers[0].size), 4096);
    write_config(&t, CONFIG(num_tiers), 7);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, ONLINE(2)), ==, 0);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, CONFIG(tiers[0].size)),
                    ==, 128 * MiB);
    g_assert_cmpint(qvirtio_config_readw(t.hmem.vdev, CONFIG(num_tiers)), ==,
                    2);
    qtest_clock_step(t.qts, 10 * MS);

    /* A reset forgets it, and hmemd is told of nothing on the way. */
    write_config(&t, ONLINE(0), 4096);
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(t.d->state.online[0], ==, 0);
    qtest_clock_step(t.qts, 10 * MS);
    qvirtio_start_device(t.hmem.vdev);
    qvirtio_hmem_start(&t.hmem);
    daemon_recv_state(t.d, running);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, ONLINE(0)), ==, 0);
    /* What was written before is not there for a later write to bring back. */
    set_online(&t, 1, 7 * MiB);
    g_assert_cmpint(t.d->state.online[0], ==, 0);
    g_assert_cmpint(t.d->state.online[1], ==, 7 * MiB);
    teardown(&t);
}

static void test_config_online_refused(void)
{
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_ONLINE };

    setup_driver(&t);
    write_config(&t, ONLINE(0), 64 * MiB);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, ONLINE(0)), ==, 0);
    qtest_clock_step(t.qts, 10 * MS);
    pass_hint(&t, 1, FAST, 0, 1);
    g_assert_cmpint(t.d->state.online[0], ==, 0);
    teardown(&t);
}

/* Features that need others are not accepted without them. */
static void test_config_features(void)
{
    static const uint64_t extra[] = {
        1ull << VIRTIO_HMEM_F_WRITTEN, 1ull << VIRTIO_HMEM_F_INCOMPLETE,
        1ull << VIRTIO_HMEM_F_LOOK, 0,
    };
    QVirtioDevice *vdev;
    Test t = { };
    int i;

    setup(&t);
    vdev = t.hmem.vdev;
    for (i = 0; i < ARRAY_SIZE(extra); i++) {
        uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

        qvirtio_reset(vdev);
        qvirtio_start_device(vdev);
        vdev->bus->set_features(vdev, 1ull << VIRTIO_F_VERSION_1 | extra[i]);
        status |= VIRTIO_CONFIG_S_FEATURES_OK;
        vdev->bus->set_status(vdev, status);
        g_assert_cmphex(vdev->bus->get_status(vdev), ==,
                        extra[i] ? status & ~VIRTIO_CONFIG_S_FEATURES_OK :
                        status);
    }
    teardown(&t);
}

/* What the tiers' nodes and kinds are, given a command line. */
static void check_tiers(const char *cmdline, const uint32_t *pxms,
                        const uint8_t *kinds, int num)
{
    QOSState *qs = qtest_pc_boot("%s", cmdline);
    QVirtioPCIDevice *pci = find_device(qs, SLOT);
    QVirtioDevice *vdev = &pci->vdev;
    int i;

    qvirtio_set_features(vdev, 1ull << VIRTIO_F_VERSION_1);
    g_assert_cmpint(qvirtio_config_readw(vdev, CONFIG(num_tiers)), ==, num);
    for (i = 0; i < num; i++) {
        g_assert_cmpint(qvirtio_config_readl(vdev, CONFIG(tiers[i].pxm)), ==,
                        pxms[i]);
        g_assert_cmpint(qvirtio_config_readb(vdev, CONFIG(tiers[i].kind)), ==,
                        kinds[i]);
    }
    qos_object_destroy((QOSGraphObject *)pci);
    qtest_shutdown(qs);
}

static void test_config_order_cpus(void)
{
    static const uint32_t pxms[] = { 1, 0 };
    static const uint8_t kinds[] = {
        VIRTIO_HMEM_KIND_DRAM, VIRTIO_HMEM_KIND_NVM,
    };

    check_tiers("-machine pc" NODES
                " -numa node,nodeid=0,memdev=m0"
                " -numa node,nodeid=1,memdev=m1,cpus=0"
                " -device virtio-hmem,addr=4", pxms, kinds, 2);
}

static void test_config_order_latency(void)
{
    static const uint32_t pxms[] = { 2, 0, 1 };
    static const uint8_t kinds[] = {
        VIRTIO_HMEM_KIND_DRAM, VIRTIO_HMEM_KIND_CXL, VIRTIO_HMEM_KIND_NVM,
    };

    check_tiers("-machine pc,hmat=on -m 384M -smp 1 -nodefaults"
                " -object memory-backend-ram,id=m0,size=128M"
                " -object memory-backend-ram,id=m1,size=128M"
                " -object memory-backend-ram,id=m2,size=128M"
                " -numa node,nodeid=0,memdev=m0,cpus=0"
                " -numa node,nodeid=1,memdev=m1,initiator=0"
                " -numa node,nodeid=2,memdev=m2,initiator=0"
                LB(0, "access-latency", "latency=80")
                LB(1, "access-latency", "latency=300")
                LB(2, "access-latency", "latency=60")
                " -device virtio-hmem,addr=4,kinds=dram:cxl:nvm",
                pxms, kinds, 3);
}

#define THREE_NODES                                                         \
    "-machine pc,hmat=on -m 384M -smp 1 -nodefaults"                        \
    " -object memory-backend-ram,id=m0,size=128M"                           \
    " -object memory-backend-ram,id=m1,size=128M"                           \
    " -object memory-backend-ram,id=m2,size=128M"                           \
    " -numa node,nodeid=0,memdev=m0,cpus=0"                                 \
    " -numa node,nodeid=1,memdev=m1,initiator=0"                            \
    " -numa node,nodeid=2,memdev=m2,initiator=0"

/* Where no latency is known, bandwidth is; the slow node is the first one. */
static void test_config_order_bandwidth(void)
{
    static const uint32_t pxms[] = { 2, 1, 0 };
    static const uint8_t kinds[] = {
        VIRTIO_HMEM_KIND_DRAM, VIRTIO_HMEM_KIND_NVM, VIRTIO_HMEM_KIND_NVM,
    };

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*no latencies known: tiers are in the order "
                                  "of their bandwidth*");
        return;
    }
    check_tiers(THREE_NODES
                LB(0, "access-bandwidth", "bandwidth=5G")
                LB(1, "access-bandwidth", "bandwidth=40G")
                LB(2, "access-bandwidth", "bandwidth=80G")
                " -device virtio-hmem-pci,addr=4", pxms, kinds, 3);
}

/* A single latency that is missing makes all others worthless. */
static void test_config_order_missing(void)
{
    static const uint32_t pxms[] = { 0, 1, 2 };
    static const uint8_t kinds[] = {
        VIRTIO_HMEM_KIND_DRAM, VIRTIO_HMEM_KIND_NVM, VIRTIO_HMEM_KIND_NVM,
    };

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*the latency of node 1 is not known: tiers "
                                  "are in node order*");
        return;
    }
    check_tiers(THREE_NODES
                LB(0, "access-latency", "latency=300")
                LB(2, "access-latency", "latency=60")
                " -device virtio-hmem-pci,addr=4", pxms, kinds, 3);
}

/*
 * Realize
 */

typedef struct RealizeError {
    const char *name;
    const char *machine;
    const char *args;
    const char *error;
} RealizeError;

static const RealizeError realize_errors[] = {
    {
        "no-nodes", "-machine pc -nodefaults", "{}",
        "heterogeneous memory takes at least two NUMA nodes with a memory "
        "backend, the machine has 0: use '-numa node,memdev=...'",
    }, {
        "one-node",
        "-machine pc -nodefaults -m 128M"
        " -object memory-backend-ram,id=m0,size=128M"
        " -numa node,nodeid=0,memdev=m0 -numa node,nodeid=1", "{}",
        "heterogeneous memory takes at least two NUMA nodes with a memory "
        "backend, the machine has 1: use '-numa node,memdev=...'",
    }, {
        "kinds-unknown", MACHINE, "{ 'kinds': 'dram:tape' }",
        "'kinds' has 'tape', which is none of dram, nvm and cxl",
    }, {
        "kinds-number", MACHINE, "{ 'kinds': 'dram' }",
        "'kinds' names 1 tiers, but the machine has 2 NUMA nodes with a "
        "memory backend",
    }, {
        "second", MACHINE " -device virtio-hmem,id=first", "{}",
        "only one virtio-hmem device is supported: it is for all tiers of the "
        "machine",
    }, {
        "chardev-kind", MACHINE " -chardev null,id=c", "{ 'chardev': 'c' }",
        "chardev 'c' cannot pass file descriptors: use a unix socket",
    },
};

static void test_realize_error(const void *data)
{
    const RealizeError *e = data;
    QTestState *qts = qtest_init(e->machine);
    QDict *args = qdict_from_jsonf_nofail(e->args, NULL);
    QDict *response, *error;
    int i;

    qdict_put_str(args, "driver", "virtio-hmem");
    qdict_put_str(args, "id", "hmem0");
    /* Twice: the first failure must leave nothing behind. */
    for (i = 0; i < 2; i++) {
        response = qtest_qmp(qts, "{ 'execute': 'device_add',"
                             " 'arguments': %p }", qobject_ref(args));
        error = qdict_get_qdict(response, "error");
        g_assert_nonnull(error);
        g_assert_cmpstr(qdict_get_str(error, "desc"), ==, e->error);
        qobject_unref(response);
    }
    qobject_unref(args);
    qtest_quit(qts);
}

/* Whose guest would not find the tiers, over either transport. */
static void test_microvm(void)
{
    static const char *const devices[] = {
        "virtio-hmem", "virtio-hmem-device",
    };
    int i;

    for (i = 0; i < ARRAY_SIZE(devices); i++) {
        g_autofree char *command = g_strdup_printf(
            "%s -machine microvm,pcie=on,accel=qtest -display none -nodefaults"
            " -m 256M -object memory-backend-ram,id=m0,size=128M"
            " -object memory-backend-ram,id=m1,size=128M"
            " -numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1"
            " -device %s", g_getenv("QTEST_QEMU_BINARY"), devices[i]);
        g_autofree char *said = NULL;

        g_assert_true(g_spawn_command_line_sync(command, NULL, &said, NULL,
                                                NULL));
        g_assert_nonnull(strstr(said, "microvm does not tell its guest of NUMA "
                                "nodes (no ACPI SRAT): use another machine, "
                                "such as q35"));
    }
}

/* Every property of ours is described, under either name. */
static void test_help(void)
{
    static const char *const types[] = {
        "virtio-hmem-device", "virtio-hmem-pci",
    };
    static const char *const names[] = { "chardev", "kinds", "access" };
    QTestState *qts = qtest_init("-machine none");
    int i, j;

    for (i = 0; i < ARRAY_SIZE(types); i++) {
        QDict *response = qtest_qmp(
            qts, "{ 'execute': 'device-list-properties',"
            " 'arguments': { 'typename': %s } }", types[i]);
        QList *list = qdict_get_qlist(response, "return");

        g_assert_nonnull(list);
        for (j = 0; j < ARRAY_SIZE(names); j++) {
            const QListEntry *entry;
            bool found = false;

            QLIST_FOREACH_ENTRY(list, entry) {
                QDict *prop = qobject_to(QDict, qlist_entry_obj(entry));

                if (g_str_equal(qdict_get_str(prop, "name"), names[j])) {
                    const char *text = qdict_get_try_str(prop, "description");

                    g_assert_nonnull(text);
                    found = true;
                }
            }
            g_assert_true(found);
        }
        qobject_unref(response);
    }
    qtest_quit(qts);
}

/*
 * Link
 */

static void test_link_hello(void)
{
    Test t = { };
    const struct hmem_link_hello *hello;

    setup(&t);
    hello = &t.d->hello;
    g_assert_cmphex(hello->magic, ==, HMEM_LINK_MAGIC);
    g_assert_cmpint(hello->version, ==, HMEM_LINK_VERSION);
    g_assert_cmpstr(hello->vm, ==, "hmem-test");
    g_assert_cmpstr(hello->device, ==, "hmem0");
    g_assert_cmphex(hello->uuid[0], ==, 0x12);
    g_assert_cmphex(hello->uuid[15], ==, 0xf0);
    g_assert_cmpint(hello->num_tiers, ==, 2);
    g_assert_cmpint(hello->max_batches, ==, 64);
    g_assert_cmpint(hello->map_bytes % 8, ==, 0);
    g_assert_cmpint(hello->map_bytes, >=, END / 8);
    /* No simulator; and guest time is the test's to stop. */
    g_assert_cmphex(hello->trackers, ==,
                    HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT |
                    HMEM_LINK_TRACKER_HOST);
    g_assert_cmphex(hello->track_flags, ==,
                    HMEM_LINK_TRACK_LOCKSTEP | HMEM_LINK_TRACK_REST);
    g_assert_cmpint(hello->tiers[1].pxm, ==, 1);
    g_assert_cmpint(hello->tiers[1].kind, ==, VIRTIO_HMEM_KIND_NVM);
    g_assert_cmpint(hello->tiers[1].read_latency, ==, 300);
    g_assert_cmpint(hello->tiers[1].write_bandwidth, ==, 2048);
    g_assert_cmpint(hello->tiers[0].size, ==, 128 * MiB);

    g_assert_cmpint(t.d->num_ranges, ==, 3);
    g_assert_cmphex(t.d->ranges[0].gfn, ==, 0);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE);
    g_assert_cmpint(t.d->ranges[0].tier, ==, 0);
    g_assert_cmphex(t.d->ranges[1].gfn, ==, 0x100);
    g_assert_cmphex(t.d->ranges[1].num, ==, SLOW - 0x100);
    g_assert_cmpint(t.d->ranges[1].tier, ==, 0);
    g_assert_cmphex(t.d->ranges[2].gfn, ==, SLOW);
    g_assert_cmphex(t.d->ranges[2].num, ==, END - SLOW);
    g_assert_cmpint(t.d->ranges[2].tier, ==, 1);

    g_assert_cmphex(t.d->state.flags, ==, HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t.d->state.features, ==, 0);
    teardown(&t);
}

static void test_link_reconnect(void)
{
    Test t = { };

    setup(&t);
    daemon_accept(t.d);
    daemon_welcome(t.d);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "connections"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "connections-dropped"), ==, 0);
    g_assert_true(qtest_qom_get_bool(t.qts, DEVICE_PATH, "connected"));
    teardown(&t);
}

/* QEMU runs on without hmemd, and finds it when it starts. */
static void test_link_late(void)
{
    Daemon *d = daemon_new();
    QOSState *qs;
    char *elsewhere = g_strdup_printf("%s.later", d->path);

    g_assert_cmpint(rename(d->path, elsewhere), ==, 0);
    qs = qtest_pc_boot(MACHINE " -chardev socket,id=c,path=%s,reconnect-ms=20"
                       " -device virtio-hmem,id=hmem0,chardev=c", d->path);
    g_assert_false(qtest_qom_get_bool(qs->qts, DEVICE_PATH, "connected"));
    g_assert_cmpint(rename(elsewhere, d->path), ==, 0);
    daemon_accept(d);
    g_assert_cmpint(strncmp(d->hello.vm, "qemu-", 5), ==, 0);
    qtest_shutdown(qs);
    daemon_free(d);
    g_free(elsewhere);
}

/* A socket, but not one that passes file descriptors. */
static void test_link_tcp(void)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    Daemon d = { .fd = -1 };
    QTestState *qts;

    g_assert_cmpint(bind(listener, (void *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (void *)&addr, &len), ==, 0);
    qts = qtest_initf(MACHINE " -chardev socket,id=c,host=127.0.0.1,port=%d,"
                      "reconnect-ms=20"
                      " -device virtio-hmem,id=hmem0,chardev=c",
                      ntohs(addr.sin_port));
    wait_readable(listener);
    d.fd = accept(listener, NULL, NULL);
    daemon_expect_drop(&d);
    g_assert_cmpint(get_stat(qts, "connections-dropped"), ==, 1);
    close(d.fd);
    close(listener);
    qtest_quit(qts);
}

typedef struct BadMessage {
    const char *name;
    /* Sent instead of a correct WELCOME. */
    bool first;
    uint32_t type;
    uint32_t len;
    uint64_t payload[6];
} BadMessage;

#define MAGIC_VERSION(magic, version) ((magic) | (uint64_t)(version) << 32)
#define NUM_FLAGS(num, flags) ((num) | (uint64_t)(flags) << 32)
#define TRACKER_FLAGS(tracker, flags) NUM_FLAGS(tracker, flags)
#define DIRTY_ONLY TRACKER_FLAGS(HMEM_LINK_TRACKER_DIRTY, 0)

static const BadMessage bad_messages[] = {
    { "first-not-welcome", true, HMEM_LINK_TRACK, 16,
      { 10 * MS, DIRTY_ONLY } },
    { "welcome-magic", true, HMEM_LINK_WELCOME, 8, { MAGIC_VERSION(1, 1) } },
    { "welcome-version", true, HMEM_LINK_WELCOME, 8,
      { MAGIC_VERSION(HMEM_LINK_MAGIC, HMEM_LINK_VERSION + 1) } },
    { "welcome-len", true, HMEM_LINK_WELCOME, 16, { 0 } },
    { "welcome-twice", false, HMEM_LINK_WELCOME, 8,
      { MAGIC_VERSION(HMEM_LINK_MAGIC, HMEM_LINK_VERSION) } },
    { "unknown-type", false, 0x99, 8, { 0 } },
    { "own-type", false, HMEM_LINK_HELLO, 8, { 0 } },
    { "huge", false, HMEM_LINK_HINTS, UINT32_MAX, { 0 } },
    { "empty", false, HMEM_LINK_TRACK, 0, { 0 } },
    { "hints-none", false, HMEM_LINK_HINTS, 16, { 1, NUM_FLAGS(0, 0) } },
    { "hints-odd", false, HMEM_LINK_HINTS, 40,
      { 1, NUM_FLAGS(1, 0), FAST, 0, 0 } },
    { "hints-too-many", false, HMEM_LINK_HINTS, 16 + 16 * 512, { 1, 512 } },
    { "hints-num-more", false, HMEM_LINK_HINTS, 32,
      { 1, NUM_FLAGS(2, 0), FAST, 0 } },
    { "hints-num-less", false, HMEM_LINK_HINTS, 48,
      { 1, NUM_FLAGS(1, 0), FAST, 0, FAST, 0 } },
    { "hints-num-wraps", false, HMEM_LINK_HINTS, 32,
      { 1, NUM_FLAGS(0x10000001, 0), FAST, 0 } },
    { "hints-flags", false, HMEM_LINK_HINTS, 32,
      { 1, NUM_FLAGS(1, 1), FAST, 0 } },
    { "track-short", false, HMEM_LINK_TRACK, 16, { MS - 1, DIRTY_ONLY } },
    { "track-long", false, HMEM_LINK_TRACK, 16,
      { 3600 * 1000 * MS + 1, DIRTY_ONLY } },
    { "track-len", false, HMEM_LINK_TRACK, 24, { MS, DIRTY_ONLY, 0 } },
    { "track-version-1", false, HMEM_LINK_TRACK, 8, { MS } },
    { "track-none", false, HMEM_LINK_TRACK, 16, { MS, TRACKER_FLAGS(0, 0) } },
    { "track-sim", false, HMEM_LINK_TRACK, 16,
      { MS, TRACKER_FLAGS(HMEM_LINK_TRACKER_SIM, 0) } },
    { "track-two", false, HMEM_LINK_TRACK, 16,
      { MS, TRACKER_FLAGS(HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM,
                          0) } },
    { "track-unknown", false, HMEM_LINK_TRACK, 16,
      { MS, TRACKER_FLAGS(1u << 31, 0) } },
    { "track-flags", false, HMEM_LINK_TRACK, 16,
      { MS, TRACKER_FLAGS(HMEM_LINK_TRACKER_DIRTY, 4) } },
    { "track-stop-tracker", false, HMEM_LINK_TRACK, 16, { 0, DIRTY_ONLY } },
    { "track-stop-flags", false, HMEM_LINK_TRACK, 16,
      { 0, TRACKER_FLAGS(0, HMEM_LINK_TRACK_LOCKSTEP) } },
    { "tick-done", false, HMEM_LINK_TICK_DONE, 8, { 1 } },
    { "tick-done-zero", false, HMEM_LINK_TICK_DONE, 8, { 0 } },
};

static void test_link_bad(const void *data)
{
    const BadMessage *bad = data;
    struct {
        struct hmem_link_header header;
        uint64_t payload[ARRAY_SIZE(bad->payload)];
    } m = {
        .header = { .type = bad->type, .len = bad->len },
    };
    Test t = { };

    setup(&t);
    if (bad->first) {
        daemon_accept(t.d);
    }
    /* At once: the device may hang up on the header alone. */
    memcpy(m.payload, bad->payload, sizeof(m.payload));
    daemon_send_raw(t.d, &m, sizeof(m.header) +
                    MIN(bad->len, sizeof(m.payload)));
    daemon_expect_drop(t.d);
    g_assert_cmpint(get_stat(t.qts, "connections-dropped"), ==, 1);

    daemon_accept(t.d);
    daemon_welcome(t.d);
    daemon_barrier(t.d);
    teardown(&t);
}

/* A message comes whole, whatever pieces the socket makes of it. */
static void test_link_pieces(void)
{
    Test t = { };
    struct {
        struct hmem_link_header header;
        struct virtio_hmem_hint_batch batch;
        struct virtio_hmem_hint hint;
    } m = {
        .header = { HMEM_LINK_HINTS, 32 },
        .batch = { .id = cpu_to_le64(7), .num_hints = cpu_to_le32(1) },
        .hint = hint(FAST, 0, 1),
    };
    int i;

    setup(&t);
    for (i = 0; i < sizeof(m); i++) {
        daemon_send_raw(t.d, (char *)&m + i, 1);
        qtest_qmp_assert_success(t.qts, "{ 'execute': 'query-status' }");
    }
    daemon_recv_reject(t.d, 7, HMEM_LINK_REJECT_NO_DRIVER, 0);
    teardown(&t);
}

/*
 * Hints
 */

static void test_hints_no_driver(void)
{
    Test t = { };

    setup(&t);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "rejected.no-driver"), ==, 1);
    teardown(&t);
}

static void test_hints_deliver(void)
{
    const struct virtio_hmem_hint hints[] = {
        hint(SLOW + 5, 0, 0), hint(FAST, 9, 1), hint(SLOW, 15, 0),
        hint(END - 1, 0, 0), hint(HOLE - 1, 0, 1),
    };
    struct virtio_hmem_hint dirty[ARRAY_SIZE(hints)];
    uint64_t addr, id, id2;
    Test t = { };

    setup_driver(&t);
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    /* Padding means nothing, and the guest does not get to see it. */
    memcpy(dirty, hints, sizeof(hints));
    dirty[0].padding[3] = 0xaa;
    daemon_hints(t.d, 42, dirty, ARRAY_SIZE(hints));
    id = recv_hints(&t, addr, 0, hints, ARRAY_SIZE(hints));
    g_assert_cmpint(get_outstanding(t.qts), ==, 1);

    id2 = pass_hint(&t, 43, FAST, 0, 1);
    g_assert_cmpint(id, !=, id2);
    g_assert_cmpint(get_outstanding(t.qts), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "batches"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "hints"), ==, 6);
    teardown(&t);
}

/* Hints wait for a buffer, in order. */
static void test_hints_wait(void)
{
    struct virtio_hmem_hint a = hint(FAST, 0, 1);
    struct virtio_hmem_hint b = hint(SLOW, 0, 0);
    uint64_t addr;
    Test t = { };

    setup_driver(&t);
    daemon_hints(t.d, 1, &a, 1);
    daemon_hints(t.d, 2, &b, 1);
    /* Handled behind the two: they are there. */
    daemon_hint(t.d, 3, END, 0, 0);
    daemon_recv_reject(t.d, 3, HMEM_LINK_REJECT_INVALID, 0);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);

    addr = qvirtio_hmem_post(&t.hmem, 8192);
    recv_hints(&t, addr, 0, &a, 1);
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    recv_hints(&t, addr, 1, &b, 1);
    teardown(&t);
}

/* A batch that takes two buffers is finished when both are. */
static void test_hints_split(void)
{
    struct virtio_hmem_hint hints[HMEM_LINK_MAX_HINTS];
    const uint32_t len = sizeof(struct virtio_hmem_hint_batch) +
        VIRTIO_HMEM_MIN_HINTS * sizeof(hints[0]);
    g_autofree struct virtio_hmem_result_batch *b = NULL;
    g_autofree struct virtio_hmem_result_batch *got = NULL;
    const uint32_t num[2] = { 256, 255 };
    uint64_t addr[2], id[2];
    uint32_t size, i;
    Test t = { };
    int part;

    setup_driver(&t);
    for (i = 0; i < ARRAY_SIZE(hints); i++) {
        hints[i] = hint(FAST + i, 0, 1);
    }
    addr[0] = qvirtio_hmem_post(&t.hmem, len);
    addr[1] = qvirtio_hmem_post(&t.hmem, len);
    daemon_hints(t.d, 77, hints, ARRAY_SIZE(hints));
    id[0] = recv_hints(&t, addr[0], 0, hints, 256);
    /* Both were used before the driver was told. */
    g_assert_true(qvirtqueue_get_buf(t.qts, t.hmem.hint_vq, NULL, NULL));
    qtest_memread(t.qts, addr[1], &id[1], sizeof(id[1]));
    id[1] = le64_to_cpu(id[1]);
    g_assert_cmpint(id[0], !=, id[1]);
    g_assert_cmpint(get_outstanding(t.qts), ==, 2);

    b = g_malloc0(sizeof(*b) + 256 * sizeof(b->results[0]));
    for (part = 1; part >= 0; part--) {
        b->id = cpu_to_le64(id[part]);
        b->num_results = cpu_to_le32(num[part]);
        b->flags = cpu_to_le32(VIRTIO_HMEM_RESULT_LAST);
        for (i = 0; i < num[part]; i++) {
            b->results[i].gfn = hints[part * 256 + i].gfn;
            b->results[i].new_gfn = hints[part * 256 + i].gfn;
            b->results[i].reason = VIRTIO_HMEM_R_FREE;
            b->results[i].status = VIRTIO_HMEM_S_NACK;
        }
        qvirtio_hmem_result(&t.hmem, b, sizeof(*b) +
                            num[part] * sizeof(b->results[0]));
        g_free(got);
        got = daemon_recv(t.d, HMEM_LINK_RESULTS, &size, NULL);
        g_assert_cmpint(size, ==, sizeof(*b) +
                        num[part] * sizeof(b->results[0]));
        g_assert_cmpint(le64_to_cpu(got->id), ==, 77);
        g_assert_cmpint(got->flags, ==,
                        part ? 0 : VIRTIO_HMEM_RESULT_LAST);
    }
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    teardown(&t);
}

static void test_hints_invalid(void)
{
    const struct virtio_hmem_hint good = hint(FAST, 0, 1);
    const struct virtio_hmem_hint bad[] = {
        /* the hole, the first byte behind, far away, and where sums wrap */
        hint(HOLE, 0, 1), hint(0xff, 0, 1), hint(END, 0, 0),
        hint(1ull << 40, 0, 0), hint(UINT64_MAX, 0, 0),
        hint(UINT64_MAX << 18, 18, 0),
        /* reaches into the hole, or behind the end */
        hint(0x80, 7, 1), hint(0, 9, 1), hint(SLOW, 16, 0),
        /* not aligned, or no such order */
        hint(FAST + 1, 1, 1), hint(0, 19, 1), hint(0, 64, 1), hint(0, 255, 1),
        /* no such tier */
        hint(FAST, 0, 2), hint(FAST, 0, 255),
    };
    Test t = { };
    int i;

    setup_driver(&t);
    qvirtio_hmem_post(&t.hmem, 8192);
    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        struct virtio_hmem_hint hints[] = { good, good, bad[i], good };

        daemon_hints(t.d, i, hints, ARRAY_SIZE(hints));
        daemon_recv_reject(t.d, i, HMEM_LINK_REJECT_INVALID, 2);
    }
    g_assert_cmpint(get_stat(t.qts, "rejected.invalid"), ==, ARRAY_SIZE(bad));
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    g_assert_cmpint(get_stat(t.qts, "batches"), ==, 0);
    teardown(&t);
}

static void test_hints_busy(void)
{
    Test t = { };
    Results m;
    uint64_t i, id;

    setup_driver(&t);
    id = pass_hint(&t, 0, FAST, 0, 1);
    for (i = 1; i < t.d->hello.max_batches; i++) {
        daemon_hint(t.d, i, FAST, 0, 1);
    }
    daemon_hint(t.d, 1000, FAST, 0, 1);
    daemon_recv_reject(t.d, 1000, HMEM_LINK_REJECT_BUSY, 0);

    /* A finished one makes room. */
    set_batch(&m, id, 1, true);
    set_result(&m, 0, FAST, SLOW, 0, VIRTIO_HMEM_R_MOVED);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 0, true);
    daemon_hint(t.d, 1001, FAST, 0, 1);
    daemon_hint(t.d, 1002, FAST, 0, 1);
    daemon_recv_reject(t.d, 1002, HMEM_LINK_REJECT_BUSY, 0);
    g_assert_cmpint(get_stat(t.qts, "rejected.busy"), ==, 2);
    teardown(&t);
}

/* Two unfinished batches of one name. */
static void test_hints_twice(void)
{
    Test t = { };

    setup_driver(&t);
    daemon_hint(t.d, 5, FAST, 0, 1);
    daemon_hint(t.d, 5, FAST, 0, 1);
    daemon_expect_drop(t.d);
    daemon_accept(t.d);
    g_assert_cmpint(get_stat(t.qts, "connections-dropped"), ==, 1);
    teardown(&t);
}

/* While the VM is stopped the guest's memory stays as it is. */
static void test_hints_stopped(void)
{
    struct virtio_hmem_hint h = hint(FAST, 0, 1);
    uint64_t addr;
    Test t = { };

    setup_driver(&t);
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK);
    daemon_hints(t.d, 1, &h, 1);
    daemon_hint(t.d, 2, END, 0, 0);
    daemon_recv_reject(t.d, 2, HMEM_LINK_REJECT_INVALID, 0);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    recv_hints(&t, addr, 0, &h, 1);
    teardown(&t);
}

/*
 * Results
 */

static void test_results_ok(void)
{
    Test t = { };
    Results m;
    uint64_t id;

    setup_driver(&t);
    id = pass_hint(&t, 0xdeadbeef, SLOW, 2, 0);

    /* A large page that was split, in two messages and three answers. */
    set_batch(&m, id, 2, false);
    set_result(&m, 0, SLOW + 1, FAST + 7, 0, VIRTIO_HMEM_R_MOVED);
    set_result(&m, 1, SLOW + 2, SLOW + 2, 1, VIRTIO_HMEM_R_PINNED);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 0xdeadbeef, false);
    g_assert_cmpint(get_outstanding(t.qts), ==, 1);

    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 0xdeadbeef, true);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);

    g_assert_cmpint(get_stat(t.qts, "results"), ==, 3);
    g_assert_cmpint(get_stat(t.qts, "foreign-moves"), ==, 1234);
    g_assert_cmpint(get_stat(t.qts, "frames-by-status.ok"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "frames-by-status.busy"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "frames-by-status.nack"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.moved"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.pinned"), ==, 2);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.free"), ==, 1);
    teardown(&t);
}

/* All that matters is in the buffer's bytes, not in how they are cut. */
static void test_results_restricted(void)
{
    Test t = { };
    Results m;

    setup_driver(&t);
    set_batch(&m, pass_hint(&t, 77, FAST, 0, 1), 1, true);
    set_result(&m, 0, FAST, FAST, 0, VIRTIO_HMEM_R_RESTRICTED);
    g_assert_cmpint(m.r[0].status, ==, VIRTIO_HMEM_S_NACK);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 77, true);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.restricted"), ==, 1);
    teardown(&t);
}

static void test_results_scattered(void)
{
    Test t = { };
    Results m;
    uint64_t id, addr;
    uint32_t head, i;

    setup_driver(&t);
    id = pass_hint(&t, 3, SLOW, 0, 0);
    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, FAST, 0, VIRTIO_HMEM_R_MOVED);
    addr = guest_alloc(t.hmem.alloc, sizeof(m));
    qtest_memwrite(t.qts, addr, &m, sizeof(m));
    head = t.hmem.result_vq->free_head;
    for (i = 0; i < results_len(&m); i += 6) {
        qvirtqueue_add(t.qts, t.hmem.result_vq, addr + i, 6, false,
                       i + 6 < results_len(&m));
    }
    qvirtqueue_kick(t.qts, t.hmem.vdev, t.hmem.result_vq, head);
    daemon_recv_results(t.d, &m, 3, true);
    teardown(&t);
}

/* hmemd has gone; nobody minds what the guest still has to say. */
static void test_results_orphan(void)
{
    Test t = { };
    Results m;
    uint64_t id;

    setup_driver(&t);
    id = pass_hint(&t, 3, SLOW, 0, 0);
    daemon_accept(t.d);
    daemon_welcome(t.d);
    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, FAST, 0, VIRTIO_HMEM_R_MOVED);
    send_results(&t, &m);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.moved"), ==, 1);

    /* The name is free again, and the next message is the new batch's. */
    id = pass_hint(&t, 3, SLOW, 0, 0);
    set_batch(&m, id, 1, true);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 3, true);
    teardown(&t);
}

/* hmemd does not read: it is hung up on, nobody waits, nothing grows. */
static void test_results_backlog(void)
{
    const uint32_t max = (HMEM_LINK_MAX_PAYLOAD -
                          sizeof(struct virtio_hmem_result_batch)) /
        sizeof(struct virtio_hmem_result);
    g_autofree struct virtio_hmem_result_batch *b =
        g_malloc0(HMEM_LINK_MAX_PAYLOAD);
    uint64_t gfn, id, cookie;
    uint32_t i, num;
    Test t = { };

    setup_driver(&t);
    /* Each batch has results of 768 KiB; the limit is 16 MiB. */
    for (cookie = 0; cookie < 30; cookie++) {
        id = pass_hint(&t, cookie, SLOW, 15, 0);
        for (gfn = SLOW; gfn < END; gfn += num) {
            num = MIN(max, END - gfn);
            b->id = cpu_to_le64(id);
            b->num_results = cpu_to_le32(num);
            b->flags = cpu_to_le32(gfn + num == END ?
                                   VIRTIO_HMEM_RESULT_LAST : 0);
            for (i = 0; i < num; i++) {
                b->results[i].gfn = cpu_to_le64(gfn + i);
                b->results[i].new_gfn = cpu_to_le64(gfn + i);
                b->results[i].status = VIRTIO_HMEM_S_NACK;
                b->results[i].reason = VIRTIO_HMEM_R_KERNEL;
            }
            /* libqos does not reuse descriptors; the one before is done. */
            i = t.hmem.result_vq->free_head = 0;
            guest_free(t.hmem.alloc,
                       qvirtio_hmem_result(&t.hmem, b, sizeof(*b) +
                                           num * sizeof(b->results[0])));
            qvirtio_wait_used_elem(t.qts, t.hmem.vdev, t.hmem.result_vq, i,
                                   NULL, DEADLINE_US);
        }
        if (get_stat(t.qts, "connections-dropped")) {
            break;
        }
    }
    g_assert_cmpint(cookie, >=, 20);
    g_assert_cmpint(cookie, <, 30);
    daemon_expect_drop(t.d);

    daemon_accept(t.d);
    daemon_welcome(t.d);
    pass_hint(&t, 7, FAST, 0, 1);
    teardown(&t);
}

/*
 * What a guest may get wrong.  Each function sends something that is not
 * right, given the id of an unfinished batch: an order-2 page at SLOW.
 */

static void bad_send(Test *t, const Results *m)
{
    qvirtio_hmem_result(&t->hmem, m, results_len(m));
}

static void bad_one(Test *t, uint64_t id, struct virtio_hmem_result result)
{
    Results m;

    set_batch(&m, id, 2, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    m.r[1] = result;
    bad_send(t, &m);
}

#define RESULT(g, n, o, s, r)                                               \
    (struct virtio_hmem_result) {                                           \
        .gfn = cpu_to_le64(g), .new_gfn = cpu_to_le64(n), .order = o,       \
        .status = VIRTIO_HMEM_S_##s, .reason = r,                           \
    }

static void bad_empty(Test *t, uint64_t id)
{
    qvirtio_hmem_result(&t->hmem, NULL, 0);
}

/* A driver could send such without end. */
static void bad_no_results(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 0, false);
    bad_send(t, &m);
}

static void bad_no_results_last(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 4, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    set_result(&m, 1, SLOW + 1, SLOW + 1, 0, VIRTIO_HMEM_R_FREE);
    set_result(&m, 2, SLOW + 2, SLOW + 2, 0, VIRTIO_HMEM_R_FREE);
    set_result(&m, 3, SLOW + 3, SLOW + 3, 0, VIRTIO_HMEM_R_FREE);
    send_results(t, &m);
    daemon_recv_results(t->d, &m, 1, false);
    set_batch(&m, id, 0, true);
    bad_send(t, &m);
}

static void bad_short(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 0, false);
    qvirtio_hmem_result(&t->hmem, &m, sizeof(m.b) - 1);
}

static void bad_truncated(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 2, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    set_result(&m, 1, SLOW + 1, SLOW + 1, 0, VIRTIO_HMEM_R_FREE);
    qvirtio_hmem_result(&t->hmem, &m, results_len(&m) - 1);
}

static void bad_num_wraps(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 0, false);
    /* 24 times this is 2^32 + 8 */
    m.b.num_results = cpu_to_le32(178956971);
    qvirtio_hmem_result(&t->hmem, &m, sizeof(m));
}

static void bad_too_many(Test *t, uint64_t id)
{
    const uint32_t len = sizeof(struct virtio_hmem_result_batch) +
        2730 * sizeof(struct virtio_hmem_result);
    g_autofree Results *m = g_malloc0(len);

    set_batch(m, id, 2730, false);
    qvirtio_hmem_result(&t->hmem, m, len);
}

static void bad_flags(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    m.b.flags = cpu_to_le32(2);
    bad_send(t, &m);
}

static void bad_id(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id + 1, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    bad_send(t, &m);
}

static void bad_id_zero(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, 0, 0, true);
    bad_send(t, &m);
}

static void bad_id_finished(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, SLOW, 2, VIRTIO_HMEM_R_FREE);
    send_results(t, &m);
    daemon_recv_results(t->d, &m, 1, true);
    bad_send(t, &m);
}

static void bad_more_than_hinted(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 2, false);
    set_result(&m, 0, SLOW, SLOW, 2, VIRTIO_HMEM_R_FREE);
    set_result(&m, 1, SLOW + 4, SLOW + 4, 0, VIRTIO_HMEM_R_FREE);
    bad_send(t, &m);
}

static void bad_more_later(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 2, VIRTIO_HMEM_R_FREE);
    send_results(t, &m);
    daemon_recv_results(t->d, &m, 1, false);
    bad_send(t, &m);
}

static void bad_last_early(Test *t, uint64_t id)
{
    Results m;

    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, SLOW, 1, VIRTIO_HMEM_R_FREE);
    bad_send(t, &m);
}

static void bad_gfn(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(END, END, 0, NACK, VIRTIO_HMEM_R_FREE));
}

static void bad_gfn_huge(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(UINT64_MAX, UINT64_MAX, 0, NACK,
                          VIRTIO_HMEM_R_FREE));
}

static void bad_gfn_hole(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(HOLE, HOLE, 0, ERROR, VIRTIO_HMEM_R_BAD_GFN));
}

static void bad_new_gfn(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 1, END, 0, OK, VIRTIO_HMEM_R_MOVED));
}

static void bad_new_gfn_order(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 2, FAST + 1, 1, OK, VIRTIO_HMEM_R_MOVED));
}

static void bad_new_gfn_not_moved(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 1, FAST, 0, BUSY, VIRTIO_HMEM_R_PINNED));
}

static void bad_order(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW, SLOW, 200, NACK, VIRTIO_HMEM_R_FREE));
}

static void bad_align(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 1, SLOW + 1, 1, NACK, VIRTIO_HMEM_R_FREE));
}

static void bad_reason(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 1, SLOW + 1, 0, ERROR, VIRTIO_HMEM_R_MAX));
}

static void bad_status(Test *t, uint64_t id)
{
    bad_one(t, id, RESULT(SLOW + 1, SLOW + 1, 0, OK, VIRTIO_HMEM_R_PINNED));
}

static void bad_restricted(Test *t, uint64_t id)
{
    Results m;

    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_RESTRICTED);
    bad_one(t, id, m.r[0]);
}

static void bad_status_unknown(Test *t, uint64_t id)
{
    struct virtio_hmem_result r =
        RESULT(SLOW + 1, SLOW + 1, 0, OK, VIRTIO_HMEM_R_ALREADY);

    r.status = 77;
    bad_one(t, id, r);
}

/* Descriptors that the device is to write, on a queue that it only reads. */
static void bad_result_writable(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.result_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 4096);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 4096, true, false);

    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_result_mixed(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.result_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 4096);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 24, false, true);

    qvirtqueue_add(t->qts, vq, addr + 24, 24, true, false);
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_result_nowhere(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.result_vq;
    uint32_t head = qvirtqueue_add(t->qts, vq, 1ull << 50, 48, false, false);

    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_result_loop(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.result_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 4096);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 24, false, true);

    /* The descriptor's next is itself. */
    qtest_writew(t->qts, vq->desc + 16 * head + 14, head);
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_result_head(Test *t, uint64_t id)
{
    qvirtqueue_kick(t->qts, t->hmem.vdev, t->hmem.result_vq, 0xfffe);
}

static void bad_result_indirect(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.result_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 4096);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 17, false, false);

    /* A table of one descriptor and a bit. */
    qtest_writew(t->qts, vq->desc + 16 * head + 12, VRING_DESC_F_INDIRECT);
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_hint_buffer(Test *t, uint32_t len)
{
    /* It is looked at when there are hints to put in. */
    qvirtio_hmem_post(&t->hmem, len);
    daemon_hint(t->d, 2, FAST, 0, 1);
}

static void bad_hint_short(Test *t, uint64_t id)
{
    bad_hint_buffer(t, sizeof(struct virtio_hmem_hint_batch) +
                    VIRTIO_HMEM_MIN_HINTS * sizeof(struct virtio_hmem_hint) -
                    1);
}

static void bad_hint_tiny(Test *t, uint64_t id)
{
    bad_hint_buffer(t, 1);
}

static void bad_hint_empty(Test *t, uint64_t id)
{
    bad_hint_buffer(t, 0);
}

static void bad_hint_readable(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.hint_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 8192);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 8192, false, false);

    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
    daemon_hint(t->d, 2, FAST, 0, 1);
}

static void bad_hint_mixed(Test *t, uint64_t id)
{
    QVirtQueue *vq = t->hmem.hint_vq;
    uint64_t addr = guest_alloc(t->hmem.alloc, 16384);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, 16, false, true);

    qvirtqueue_add(t->qts, vq, addr + 4096, 8192, true, false);
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
    daemon_hint(t->d, 2, FAST, 0, 1);
}

static const struct BadGuest {
    const char *name;
    void (*act)(Test *t, uint64_t id);
    /* A feature bit that the driver has not negotiated; 0: it has all. */
    int refuse;
} bad_guests[] = {
    { "empty", bad_empty },
    { "no-results", bad_no_results },
    { "no-results-last", bad_no_results_last },
    { "short", bad_short },
    { "truncated", bad_truncated },
    { "num-wraps", bad_num_wraps },
    { "too-many", bad_too_many },
    { "flags", bad_flags },
    { "id", bad_id },
    { "id-zero", bad_id_zero },
    { "id-finished", bad_id_finished },
    { "more-than-hinted", bad_more_than_hinted },
    { "more-later", bad_more_later },
    { "last-early", bad_last_early },
    { "gfn", bad_gfn },
    { "gfn-huge", bad_gfn_huge },
    { "gfn-hole", bad_gfn_hole },
    { "new-gfn", bad_new_gfn },
    { "new-gfn-order", bad_new_gfn_order },
    { "new-gfn-not-moved", bad_new_gfn_not_moved },
    { "order", bad_order },
    { "align", bad_align },
    { "reason", bad_reason },
    { "status", bad_status },
    { "status-unknown", bad_status_unknown },
    { "restricted", bad_restricted, VIRTIO_HMEM_F_RESTRICTED },
    { "result-writable", bad_result_writable },
    { "result-mixed", bad_result_mixed },
    { "result-nowhere", bad_result_nowhere },
    { "result-loop", bad_result_loop },
    { "result-head", bad_result_head },
    { "result-indirect", bad_result_indirect },
    { "hint-short", bad_hint_short },
    { "hint-tiny", bad_hint_tiny },
    { "hint-empty", bad_hint_empty },
    { "hint-readable", bad_hint_readable },
    { "hint-mixed", bad_hint_mixed },
};

static void test_bad_guest(const void *data)
{
    const struct BadGuest *bad = data;
    Test t = { .hmem.refuse = bad->refuse ? 1ull << bad->refuse : 0 };

    setup_driver(&t);
    bad->act(&t, pass_hint(&t, 1, SLOW, 2, 0));
    expect_broken(&t);
    teardown(&t);
}

/*
 * Reset and unplug
 */

static void test_reset(void)
{
    Test t = { };
    Results m;
    uint64_t id;

    setup_driver(&t);
    id = pass_hint(&t, 1, SLOW, 0, 0);
    daemon_hint(t.d, 2, FAST, 0, 1);
    daemon_hint(t.d, 3, END, 0, 0);
    daemon_recv_reject(t.d, 3, HMEM_LINK_REJECT_INVALID, 0);

    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t.d->state.features, ==, 0);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);

    /* Both names are free again, and the old id is not known any more. */
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    g_assert_cmpint(pass_hint(&t, 1, SLOW, 0, 0), !=, id);
    pass_hint(&t, 2, SLOW, 0, 0);
    set_batch(&m, id, 1, true);
    set_result(&m, 0, SLOW, FAST, 0, VIRTIO_HMEM_R_MOVED);
    bad_send(&t, &m);
    expect_broken(&t);
    teardown(&t);
}

static void test_system_reset(void)
{
    Test t = { };

    setup_driver(&t);
    pass_hint(&t, 1, SLOW, 0, 0);
    qtest_system_reset(t.qts);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    daemon_barrier(t.d);
    teardown(&t);
}

/* Out and in again, with batches under way and tracking on. */
static void test_unplug(void)
{
    Test t = { };
    int i;

    setup_driver(&t);
    for (i = 0; i < 3; i++) {
        daemon_track(t.d, 10 * MS);
        pass_hint(&t, 1, SLOW, 0, 0);
        daemon_hint(t.d, 2, FAST, 0, 1);
        qpci_unplug_acpi_device_test(t.qts, "hmem0", SLOT);
        daemon_expect_drop(t.d);
        qtest_clock_step(t.qts, 20 * MS);
        qos_object_destroy((QOSGraphObject *)t.pci);

        qtest_qmp_device_add(t.qts, "virtio-hmem-pci", "hmem0",
                             "{ 'chardev': 'hmemd', 'addr': '04.0' }");
        daemon_accept(t.d);
        daemon_welcome(t.d);
        t.pci = find_device(t.qs, SLOT);
        t.hmem.vdev = &t.pci->vdev;
        start_driver(&t);
    }
    teardown(&t);
}

/*
 * Dirty pages
 */

static void touch(Test *t, uint64_t gfn)
{
    qtest_writeb(t->qts, (gfn << VIRTIO_HMEM_GFN_SHIFT) + 123, 1);
}

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

    /* hmemd takes its time: one longer window, not many. */
    touch(&t, second[0]);
    for (i = 0; i < 5; i++) {
        qtest_clock_step(t.qts, 10 * MS);
    }
    touch(&t, second[1]);
    daemon_tick_done(t.d, 1);
    daemon_recv_tick(t.d, 2, 50 * MS, 2);
    daemon_take_map(t.d, second, 2);

    /* An answer in time brings no tick forward. */
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
 * A machine of 4.5 GiB.  Tier 0 is in three pieces, around the hole under 1 MiB
 * and the one under 4 GiB: where a page is in its node is not where the guest
 * has it.
 */
static void setup_large(Test *t)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot("-machine pc,hmat=on -m 4608M -smp 1 -nodefaults"
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
 * A page that is dirty is taken to cost 12.5 ns, 64 that are not as much as
 * one: 0.416 ms for 128 MiB that are dirty, of which four make a slice of 2 ms,
 * and 9 slices this machine, whose pages are all dirty when the log is switched
 * on.
 */
#define SLICE (2 * MS)
#define LARGE_SLICES 9

/* Begin to track, and be at the begin of the first window. */
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
    /* Few are dirty: one slice. */
    qtest_clock_step(t.qts, window_ns);
    daemon_recv_tick(t.d, 1, window_ns, ARRAY_SIZE(gfns));
    daemon_take_map(t.d, gfns, ARRAY_SIZE(gfns));
    g_assert_cmpint(get_stat(t.qts, "log-slices"), ==, LARGE_SLICES + 1);
    teardown(&t);
}

/*
 * Much is dirty: QEMU does other things in between, and a page is in the window
 * in which its slice is.
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

/* Tracking ends between two slices, and begins anew. */
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

/* hmemd answers between two slices: nobody is late, and nothing is lost. */
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

/* A window that is shorter than a pass may take. */
static void test_dirty_short(void)
{
    Test t = { };

    setup_large(&t);
    daemon_track(t.d, t.d->hello.min_window_ns - 1);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/*
 * The log is on while a window looks, and there is a driver: it costs the
 * host's huge mappings, and a fault for each page.
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

    /* A rest, with an end as all windows have it. */
    daemon_track_flags(t.d, 10 * MS, HMEM_LINK_TRACK_REST);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    assert_log(&t, false);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_recv_tick(t.d, 2, 10 * MS, 0);
    daemon_take_map(t.d, NULL, 0);
    touch(&t, gfn);

    /* A window again: what was written in the rest is of none. */
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

    /* Without a driver there is neither. */
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    assert_log(&t, false);
    qtest_clock_step(t.qts, 50 * MS);
    daemon_barrier(t.d);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 3);

    /* From a rest at once, when one comes back. */
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
 * Windows for trackers of hmemd's own: nothing is found, the dirty log is off,
 * and memory is where RANGES says.
 */
static void test_host(void)
{
    static const uint64_t gfns[] = { 0, HOLE - 1, FAST, SLOW, END - 1 };
    Test t = { };
    int i;

    setup(&t);
    daemon_track_with(t.d, MS, HMEM_LINK_TRACKER_HOST, 0);
    daemon_barrier(t.d);
    assert_property(t.qts, "tracker", "host");
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
    assert_property(t.qts, "tracker", "none");
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

/* What the device itself writes for the guest counts as well. */
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
    /* Shorter windows: this one ends now, and what it found is kept. */
    daemon_track(t.d, 10 * MS);
    daemon_recv_tick(t.d, 1, 10 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);

    /* Stopped, an answer may be late; nothing is found. */
    daemon_track(t.d, 0);
    daemon_tick_done(t.d, 1);
    daemon_barrier(t.d);
    touch(&t, gfn);
    qtest_clock_step(t.qts, 100 * MS);

    /* Started again: from the beginning. */
    daemon_track(t.d, 20 * MS);
    daemon_barrier(t.d);
    touch(&t, SLOW);
    qtest_clock_step(t.qts, 20 * MS);
    daemon_recv_tick(t.d, 1, 20 * MS, 1);
    assert_property(t.qts, "tracker", "dirty");
    daemon_track(t.d, 0);
    daemon_barrier(t.d);
    assert_property(t.qts, "tracker", "none");
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
    /* Ticks of the connection before cannot be answered. */
    daemon_tick_done(t.d, 1);
    daemon_expect_drop(t.d);
    teardown(&t);
}

/*
 * Lockstep: the clock's step returns only when the tick was answered, so it is
 * made by a thread of its own, and nobody else talks to QEMU meanwhile.
 */

static gpointer step_thread(gpointer opaque)
{
    Test *t = opaque;

    qtest_clock_step(t->qts, 10 * MS);
    return NULL;
}

/* Track in lockstep, and be in the wait of tick @seq. */
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
    /* At 10 ms, not at 13: whatever moment tracking was started at. */
    thread = step_into_tick(&t, 1, 7 * MS, 1);
    daemon_take_map(t.d, &gfn, 1);
    /* It hears what it is told, and answers, before the tick is. */
    daemon_barrier(t.d);
    daemon_barrier(t.d);
    daemon_tick_done(t.d, 1);
    g_thread_join(thread);
    g_assert_cmpint(get_stat(t.qts, "ticks"), ==, 1);
    thread = step_into_tick(&t, 2, 10 * MS, 0);
    daemon_tick_done(t.d, 2);
    g_thread_join(thread);
    teardown(&t);
}

/* Hints of a tick are with the guest before its time goes on. */
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
    /* It has been read once this is with the guest. */
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
    /* Others answer in their own time, and the guest's goes on. */
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

/* hmemd goes: so does the wait, and the next hmemd finds a working device. */
static void check_lockstep_over(Test *t, GThread *thread)
{
    g_thread_join(thread);
    daemon_accept(t->d);
    daemon_welcome(t->d);
    daemon_barrier(t->d);
    /* Nobody tracks any more. */
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

/* In the middle of the answer. */
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
 * Memory that comes and goes
 */

/* A frame where memory devices begin, and what they take of it. */
#define DIMM 0x100000
#define DIMM_NUM 0x8000

static void setup_hotplug(Test *t)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot("-machine pc,hmat=on,nvdimm=on"
                          " -m 256M,slots=4,maxmem=1G -smp 1 -nodefaults"
                          " -object memory-backend-memfd,id=m0,size=128M"
                          " -object memory-backend-memfd,id=m1,size=128M" NUMA
                          " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                          " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                          "addr=%d", t->d->path, SLOT);
    t->qts = t->qs->qts;
    daemon_accept(t->d);
    daemon_welcome(t->d);
    find_hmem(t);
    start_driver(t);
}

static void add_backend(Test *t)
{
    qtest_qmp_assert_success(
        t->qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'memory-backend-memfd', 'id': 'm2',"
        " 'size': %" PRIu64 " } }", (uint64_t)DIMM_NUM * 4096);
}

static void daemon_next_ranges(Daemon *d)
{
    g_autofree void *ranges = NULL;
    uint32_t len;

    ranges = daemon_recv(d, HMEM_LINK_RANGES, &len, NULL);
    g_assert_cmpint(len, <=, sizeof(d->ranges));
    d->num_ranges = len / sizeof(d->ranges[0]);
    memcpy(d->ranges, ranges, len);
}

/* They may wait for the clock, but come before a hint is rejected. */
static void daemon_recv_ranges(Daemon *d, uint32_t num)
{
    daemon_hint(d, UINT64_MAX, 1ull << 50, 0, 0);
    daemon_next_ranges(d);
    g_assert_cmpint(d->num_ranges, ==, num);
    daemon_recv_reject(d, UINT64_MAX, d->state.flags & HMEM_LINK_DRIVER_OK ?
                       HMEM_LINK_REJECT_INVALID : HMEM_LINK_REJECT_NO_DRIVER,
                       0);
}

/* Three ranges from boot, and one in this tier. */
static void recv_plugged(Test *t, uint32_t tier)
{
    daemon_recv_ranges(t->d, 4);
    g_assert_cmphex(t->d->ranges[3].gfn, ==, DIMM);
    g_assert_cmphex(t->d->ranges[3].num, ==, DIMM_NUM);
    g_assert_cmpint(t->d->ranges[3].tier, ==, tier);
}

static void plug_dimm(Test *t)
{
    add_backend(t);
    qtest_qmp_device_add(t->qts, "pc-dimm", "d2",
                         "{ 'memdev': 'm2', 'node': 1 }");
    recv_plugged(t, 1);
}

/* As the guest's firmware does once the guest has let go of it. */
static void unplug_dimm(Test *t)
{
    qtest_qmp_device_del_send(t->qts, "d2");
    qtest_outl(t->qts, 0xa00, 0);
    qtest_outb(t->qts, 0xa14, 1 << 3);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
    daemon_recv_ranges(t->d, 3);
}

static void test_memory_dimm(void)
{
    static const uint64_t gfns[] = { FAST, DIMM, DIMM + DIMM_NUM - 1 };
    Results m;
    uint64_t id;
    Test t = { };
    int i;

    setup_hotplug(&t);
    g_assert_cmpint(t.d->hello.map_bytes, >, DIMM / 8);
    g_assert_cmpint(t.d->num_ranges, ==, 3);
    daemon_hint(t.d, 1, DIMM, 0, 0);
    daemon_recv_reject(t.d, 1, HMEM_LINK_REJECT_INVALID, 0);
    daemon_track(t.d, 10 * MS);
    daemon_barrier(t.d);
    for (i = 0; i < 2; i++) {
        plug_dimm(&t);
        id = pass_hint(&t, 1, SLOW, 0, 1);
        set_batch(&m, id, 1, true);
        set_result(&m, 0, SLOW, DIMM + 5, 0, VIRTIO_HMEM_R_MOVED);
        send_results(&t, &m);
        daemon_recv_results(t.d, &m, 1, true);

        /* The window that it came in knows nothing of it, the next one does. */
        touch(&t, DIMM);
        qtest_clock_step(t.qts, 10 * MS);
        g_assert_cmpint(daemon_next_tick(t.d, 2 * i + 1, 10 * MS).dirty, <,
                        100);
        g_assert_false(map_test(t.d->map, DIMM));
        daemon_take_all(t.d);
        daemon_tick_done(t.d, 2 * i + 1);
        daemon_barrier(t.d);
        touch(&t, gfns[0]);
        touch(&t, gfns[1]);
        touch(&t, gfns[2]);
        qtest_clock_step(t.qts, 10 * MS);
        daemon_recv_tick(t.d, 2 * i + 2, 10 * MS, ARRAY_SIZE(gfns));
        daemon_take_map(t.d, gfns, ARRAY_SIZE(gfns));
        daemon_tick_done(t.d, 2 * i + 2);
        daemon_barrier(t.d);

        unplug_dimm(&t);
        daemon_hint(t.d, 1, DIMM, 0, 0);
        daemon_recv_reject(t.d, 1, HMEM_LINK_REJECT_INVALID, 0);
        /* Nothing of ours keeps the memory. */
        qtest_qmp_assert_success(t.qts, "{ 'execute': 'object-del',"
                                 " 'arguments': { 'id': 'm2' } }");
    }
    /* Tracking goes on with what is left. */
    touch(&t, SLOW);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_next_tick(t.d, 5, 10 * MS);
    g_assert_true(map_test(t.d->map, SLOW));
    teardown(&t);
}

/*
 * Results of hints from before the memory went may name it, later ones may not;
 * hmemd hears of no page where there is no memory.
 */
static void test_memory_results(void)
{
    const struct virtio_hmem_hint late = hint(DIMM + 9, 0, 0);
    uint64_t id[3], addr;
    uint32_t index;
    Results m, told;
    Test t = { };

    setup_hotplug(&t);
    plug_dimm(&t);
    id[0] = pass_hint(&t, 1, DIMM + 7, 0, 0);
    id[1] = pass_hint(&t, 2, SLOW, 0, 1);
    id[2] = pass_hint(&t, 3, DIMM, 9, 0);
    /* This one is not with the guest yet. */
    daemon_hints(t.d, 4, &late, 1);
    daemon_barrier(t.d);
    unplug_dimm(&t);

    set_batch(&m, id[0], 1, true);
    set_result(&m, 0, DIMM + 7, FAST, 0, VIRTIO_HMEM_R_MOVED);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 1, true);
    set_batch(&m, id[1], 1, true);
    set_result(&m, 0, SLOW, DIMM + 3, 0, VIRTIO_HMEM_R_MOVED);
    send_results(&t, &m);
    told = m;
    set_result(&told, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_BAD_GFN);
    daemon_recv_results(t.d, &told, 2, true);
    set_batch(&m, id[2], 1, true);
    set_result(&m, 0, DIMM, DIMM, 9, VIRTIO_HMEM_R_BAD_GFN);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 3, true);
    index = t.hmem.hint_vq->free_head;
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    id[0] = recv_hints(&t, addr, index, &late, 1);
    set_batch(&m, id[0], 1, true);
    set_result(&m, 0, DIMM + 9, DIMM + 9, 0, VIRTIO_HMEM_R_BAD_GFN);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 4, true);

    id[0] = pass_hint(&t, 5, SLOW, 0, 0);
    set_batch(&m, id[0], 1, true);
    set_result(&m, 0, SLOW, DIMM + 3, 0, VIRTIO_HMEM_R_MOVED);
    bad_send(&t, &m);
    expect_broken(&t);
    teardown(&t);
}

/*
 * Memory changes, so that a device that comes before ours finds that its ring
 * has no room, and its interrupt lies on our registers: we are reset and switch
 * the log off, which changes memory once more, before we have heard of the
 * first change.
 */
static void test_memory_nested(void)
{
    const uint64_t from = 0xc0000, step = 0x4000;
    QPCIAddress at = { .devfn = QPCI_DEVFN(3, 0) };
    QVirtioPCIDevice *rng;
    QPCIDevice *bridge;
    QVirtQueue *vq;
    Test t = { }, r;
    uint64_t entry;

    t.d = daemon_new();
    /* So much that the first slice of the log is in tier 0. */
    t.qs = qtest_pc_boot("-machine pc,hmat=on -m 1G -smp 1 -nodefaults"
                         " -object memory-backend-memfd,id=m0,size=896M"
                         " -object memory-backend-memfd,id=m1,size=128M" NUMA
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-rng-pci,addr=3"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,addr=%d",
                         t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
    find_hmem(&t);
    start_driver(&t);
    bridge = qpci_device_find(t.qs->pcibus, QPCI_DEVFN(0, 0));
    /* RAM instead of ROM, and the ring crosses from one part to the other. */
    qpci_config_writeb(bridge, 0x5a, 0x33);
    daemon_recv_ranges(t.d, 3);
    g_assert_cmphex(t.d->ranges[0].num, ==,
                    (from + 2 * step) >> VIRTIO_HMEM_GFN_SHIFT);
    rng = virtio_pci_new(t.qs->pcibus, &at);
    g_assert_nonnull(rng);
    qvirtio_pci_device_enable(rng);
    qvirtio_start_device(&rng->vdev);
    qvirtio_set_features(&rng->vdev, 1ull << VIRTIO_F_VERSION_1);
    vq = qvirtqueue_setup(&rng->vdev, &t.qs->alloc, 0);
    r = (Test) { .qts = t.qts, .pci = rng };
    rng->vdev.bus->queue_select(&rng->vdev, 0);
    write_common64(&r, COMMON(queue_used_lo), from + step - 8);
    write_common16(&r, COMMON(queue_enable), 1);
    qpci_msix_enable(rng->pdev);
    qvirtio_pci_set_msix_configuration_vector(rng, &t.qs->alloc, 0);
    entry = rng->pdev->msix_table_off;
    qpci_io_writel(rng->pdev, rng->pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_LOWER_ADDR,
                   register_addr(&t, COMMON(device_status)));
    qpci_io_writel(rng->pdev, rng->pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_DATA, 0);
    qvirtio_set_driver_ok(&rng->vdev);

    daemon_track(t.d, 10 * MS);
    daemon_barrier(t.d);
    qtest_clock_step(t.qts, 1);
    assert_log(&t, true);
    qpci_config_writeb(bridge, 0x5a, 0x03);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    daemon_recv_ranges(t.d, 3);
    g_assert_cmphex(t.d->ranges[0].num, ==,
                    (from + step) >> VIRTIO_HMEM_GFN_SHIFT);
    /* That was all. */
    daemon_barrier(t.d);
    assert_log(&t, false);
    qvirtqueue_cleanup(rng->vdev.bus, vq, &t.qs->alloc);
    qos_object_destroy((QOSGraphObject *)rng);
    g_free(bridge);
    teardown(&t);
}

/*
 * A guest that maps memory in and out as fast as it can: hmemd is told of the
 * first change and of how it is in the end, when the shortest window is over.
 */
static void test_memory_toggles(void)
{
    /* Of the part of the firmware's shadow that begins at HOLE. */
    const uint8_t none = 0x00, half = 0x03, all = 0x33;
    const uint64_t frames = 4;
    QPCIDevice *bridge;
    Test t = { };
    int i;

    setup(&t);
    bridge = qpci_device_find(t.qs->pcibus, QPCI_DEVFN(0, 0));
    qtest_clock_step(t.qts, t.d->hello.min_window_ns);
    for (i = 0; i < 100; i++) {
        qpci_config_writeb(bridge, 0x5a, i % 2 ? half : all);
    }
    daemon_next_ranges(t.d);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE + 2 * frames);
    daemon_recv_ranges(t.d, 3);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE + frames);

    /* This one waits, the state does not; then time passes. */
    qpci_config_writeb(bridge, 0x5a, none);
    qpci_config_writeb(bridge, 0x5a, all);
    start_driver(&t);
    qtest_clock_step(t.qts, t.d->hello.min_window_ns);
    daemon_next_ranges(t.d);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE + 2 * frames);
    daemon_barrier(t.d);

    /* Time stands still with the guest: nothing waits for it. */
    qpci_config_writeb(bridge, 0x5a, half);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    daemon_next_ranges(t.d);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE + frames);
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK);
    for (i = 0; i < 2; i++) {
        qpci_config_writeb(bridge, 0x5a, i % 2 ? half : all);
        daemon_next_ranges(t.d);
    }
    daemon_barrier(t.d);
    g_free(bridge);
    teardown(&t);
}

/* All memory of a virtio-mem device, plugged in or not; none of an NVDIMM. */
static void test_memory_other(void)
{
    Test t = { };

    setup_hotplug(&t);
    add_backend(&t);
    qtest_qmp_device_add(t.qts, "nvdimm", "n2",
                         "{ 'memdev': 'm2', 'node': 1 }");
    daemon_barrier(t.d);
    teardown(&t);

    t = (Test) { };
    setup_hotplug(&t);
    add_backend(&t);
    qtest_qmp_device_add(t.qts, "virtio-mem-pci", "v2",
                         "{ 'memdev': 'm2', 'node': 0,"
                         " 'requested-size': 0 }");
    recv_plugged(&t, 0);
    teardown(&t);
}

/*
 * A guest that runs: it writes memory and, once it is told to, ejects the
 * device in the middle of whatever the device does.
 */
#define EJECT_FLAG 0x1000

static char *write_bios(const Daemon *d)
{
    static const uint8_t code[] = {
        0x31, 0xc0,                     /* xor ax, ax */
        0x8e, 0xd8,                     /* mov ds, ax */
        0x8e, 0xc0,                     /* mov es, ax */
        0xbf, 0x00, 0x20,               /* again: mov di, 0x2000 */
        0xb9, 0x00, 0x60,               /* mov cx, 0x6000 */
        0xf3, 0xab,                     /* rep stosw */
        0xa0, 0x00, 0x10,               /* mov al, [EJECT_FLAG] */
        0x84, 0xc0,                     /* test al, al */
        0x74, 0xf1,                     /* jz again */
        0x66, 0xb8, 1 << SLOT, 0, 0, 0, /* mov eax, 1 << SLOT */
        0xba, 0x08, 0xae,               /* mov dx, 0xae08 */
        0x66, 0xef,                     /* out dx, eax */
        0xeb, 0xe4,                     /* jmp again */
    };
    static const uint8_t reset[] = {
        0xea, 0x00, 0x00, 0x00, 0xf0,   /* jmp f000:0000 */
    };
    g_autofree char *bios = g_malloc0(64 * KiB);
    char *path = g_build_filename(d->dir, "bios", NULL);

    memcpy(bios, code, sizeof(code));
    memcpy(bios + 0xfff0, reset, sizeof(reset));
    g_assert_true(g_file_set_contents(path, bios, 64 * KiB, NULL));
    return path;
}

/* Answer so many ticks; 0: until the device hangs up. */
static void answer_ticks(Daemon *d, int num)
{
    struct hmem_link_header header;
    struct hmem_link_tick tick;

    while (daemon_read(d, &header, sizeof(header), NULL)) {
        uint8_t payload[256];

        g_assert_cmpint(header.len, <=, sizeof(payload));
        if (!daemon_read(d, payload, header.len, NULL)) {
            return;
        }
        if (header.type == HMEM_LINK_TICK) {
            struct hmem_link_tick_done done;
            const struct hmem_link_header to = {
                HMEM_LINK_TICK_DONE, sizeof(done),
            };

            memcpy(&tick, payload, sizeof(tick));
            done.seq = tick.seq;
            /* It may have hung up meanwhile. */
            if (send(d->fd, &to, sizeof(to), MSG_NOSIGNAL) != sizeof(to) ||
                send(d->fd, &done, sizeof(done), MSG_NOSIGNAL) !=
                sizeof(done)) {
                return;
            }
            if (--num == 0) {
                return;
            }
        }
    }
}

/*
 * As qtest_qmp_eventwait(), but for a vCPU that never idles.  Its interrupts,
 * which QEMU tells us about, have to be read; and it has to stop, or it holds
 * the RCU read lock for ever, and the device is never freed.
 */
static void wait_deleted(Test *t)
{
    QDict *event;

    while (!(event = qtest_qmp_event_ref(t->qts, "DEVICE_DELETED"))) {
        qtest_readb(t->qts, EJECT_FLAG);
        qtest_qmp_assert_success(t->qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(t->qts, "{ 'execute': 'cont' }");
    }
    qobject_unref(event);
}

static void test_eject(void)
{
    g_autofree char *bios = NULL;
    Test t = { .d = daemon_new() };
    int i;

    if (!qtest_has_accel("tcg")) {
        g_test_skip("no TCG");
        daemon_free(t.d);
        return;
    }
    bios = write_bios(t.d);
    t.qs = qtest_pc_boot(MACHINE " -accel tcg -bios %s"
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d", bios, t.d->path, SLOT);
    t.qts = t.qs->qts;
    for (i = 0; i < 8; i++) {
        daemon_accept(t.d);
        daemon_welcome(t.d);
        find_hmem(&t);
        start_driver(&t);
        daemon_track(t.d, MS);
        answer_ticks(t.d, 3);
        qtest_writeb(t.qts, EJECT_FLAG, 1);
        answer_ticks(t.d, 0);
        wait_deleted(&t);
        qtest_writeb(t.qts, EJECT_FLAG, 0);
        qos_object_destroy((QOSGraphObject *)t.pci);
        t.pci = NULL;
        qtest_qmp_device_add(t.qts, "virtio-hmem-pci", "hmem0",
                             "{ 'chardev': 'hmemd', 'addr': '04.0' }");
    }
    unlink(bios);
    teardown(&t);
}

/* The same where a scan is under way, and guest time is its instructions. */
static void test_eject_icount(void)
{
    g_autofree char *bios = NULL;
    Test t = { .d = daemon_new() };

    if (!qtest_has_accel("tcg")) {
        g_test_skip("no TCG");
        daemon_free(t.d);
        return;
    }
    bios = write_bios(t.d);
    t.qs = qtest_pc_boot(MACHINE " -accel tcg -icount shift=3 -bios %s"
                         " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d", bios, t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
    find_hmem(&t);
    start_driver(&t);
    daemon_track_with(t.d, 3600 * 1000 * MS, HMEM_LINK_TRACKER_GPT, 0);
    daemon_barrier(t.d);
    qtest_writeb(t.qts, EJECT_FLAG, 1);
    daemon_expect_drop(t.d);
    wait_deleted(&t);
    unlink(bios);
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

/* False: QEMU is built without plugins. */
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

/* The device does it in its own time. */
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
    /* Set before tracking began: cleared when it does. */
    map_set(log->accessed, FAST);
    map_set(log->dirty, FAST);
    daemon_track_with(t->d, 10 * MS, HMEM_LINK_TRACKER_SIM, flags);
    wait_clear(log->accessed, FAST);
    g_assert_false(map_test(log->dirty, FAST));
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
    /* What is not the guest's memory is nobody's business. */
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

    /* The others are found until they are rearmed. */
    qtest_clock_step(t.qts, 10 * MS);
    recv_log_tick(&t, 2, ARRAY_SIZE(left), 0);
    daemon_take(t.d, accessed_map(t.d), left, ARRAY_SIZE(left));
    g_assert_cmpint(get_stat(t.qts, "accessed-pages"), ==,
                    ARRAY_SIZE(used) + ARRAY_SIZE(left));
    g_assert_cmpint(get_stat(t.qts, "dirty-pages"), ==, 1);
    g_assert_cmpint(get_stat(t.qts, "rearmed-pages"), ==, 2);

    /* An answer that is late is that to another tracking. */
    daemon_track(t.d, 0);
    map_set(rearm_map(t.d), END - 1);
    daemon_tick_done(t.d, 2);
    daemon_barrier(t.d);
    g_assert_true(map_test(log.accessed, END - 1));
    teardown_log(&t, &log);
}

/* A slow daemon: one longer window, and what it rearms is rearmed first. */
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

/* In lockstep it is done before guest time goes on. */
static void test_sim_lockstep(void)
{
    Test t = { };
    GThread *thread;
    Log log;

    if (!setup_log(&t, &log)) {
        return;
    }
    track_log(&t, &log, HMEM_LINK_TRACK_LOCKSTEP);
    assert_property(t.qts, "tracker", "sim");
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

/* From one tracker to the other: each begins anew. */
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

/* Bytes before the entries of a request, with VIRTIO_HMEM_F_LOOK. */
#define SCAN_HEAD                                                           \
    (sizeof(struct virtio_hmem_scan) + sizeof(struct virtio_hmem_look))

#define SCAN_BUFFER(num)                                                    \
    (SCAN_HEAD + (num) * sizeof(struct virtio_hmem_frames))

#define REPORT_BUFFER(num)                                                  \
    (sizeof(struct virtio_hmem_access) +                                    \
     (num) * sizeof(struct virtio_hmem_frames))

#define HINT_BUFFER(num)                                                    \
    (sizeof(struct virtio_hmem_hint_batch) +                                \
     (num) * sizeof(struct virtio_hmem_hint))

typedef struct Report {
    struct virtio_hmem_access header;
    struct virtio_hmem_frames frames[8];
} Report;

typedef struct ScanBuffer {
    uint64_t addr;
    uint32_t index;
} ScanBuffer;

static struct virtio_hmem_frames frames_of(uint64_t gfn, uint64_t mask)
{
    return (struct virtio_hmem_frames) {
        .gfn = cpu_to_le64(gfn),
        .mask = cpu_to_le64(mask),
    };
}

static ScanBuffer post_scan(Test *t, uint32_t len)
{
    ScanBuffer buffer = { .index = t->hmem.scan_vq->free_head };

    buffer.addr = qvirtio_hmem_post_scan(&t->hmem, len);
    return buffer;
}

/*
 * Wait for the device to use the buffer; returns the request's id.  How long
 * the driver is to look, if the device says so, is in t->look_ns then.
 */
static uint64_t recv_scan(Test *t, ScanBuffer buffer, uint32_t flags,
                          const struct virtio_hmem_frames *frames,
                          uint32_t num)
{
    const bool looks = !(t->hmem.refuse & 1ull << VIRTIO_HMEM_F_LOOK);
    const size_t head = looks ? SCAN_HEAD : sizeof(struct virtio_hmem_scan);
    const size_t len = head + num * sizeof(*frames);
    g_autofree struct virtio_hmem_scan *scan = g_malloc(len);
    const struct virtio_hmem_look *look = (const void *)(scan + 1);
    uint32_t used;

    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.scan_vq,
                           buffer.index, &used, DEADLINE_US);
    g_assert_cmpint(used, ==, len);
    qtest_memread(t->qts, buffer.addr, scan, len);
    g_assert_cmpint(le32_to_cpu(scan->num_frames), ==, num);
    g_assert_cmphex(le32_to_cpu(scan->flags), ==, flags);
    if (looks) {
        t->look_ns = le64_to_cpu(look->ns);
        g_assert_cmpint(look->reserved, ==, 0);
    }
    g_assert_cmpmem((const char *)scan + head, len - head, frames,
                    num * sizeof(*frames));
    return le64_to_cpu(scan->id);
}

/* Of a request that asks for a report. */
static uint32_t collect_flags(const Test *t)
{
    return VIRTIO_HMEM_SCAN_REPORT |
        (t->hmem.refuse & 1ull << VIRTIO_HMEM_F_WRITTEN ? 0 :
         VIRTIO_HMEM_SCAN_WRITTEN);
}

static void set_report(Report *r, uint64_t id, uint32_t num, bool last)
{
    r->header = (struct virtio_hmem_access) {
        .id = cpu_to_le64(id),
        .num_frames = cpu_to_le32(num),
        .flags = cpu_to_le32(last ? VIRTIO_HMEM_ACCESS_LAST : 0),
    };
}

static void post_report(Test *t, const Report *r)
{
    qvirtio_hmem_report(&t->hmem, r, sizeof(r->header) +
                        le32_to_cpu(r->header.num_frames) *
                        sizeof(r->frames[0]));
}

/* ... and wait for the device to have read it. */
static void send_report(Test *t, const Report *r)
{
    uint32_t index = t->hmem.access_vq->free_head;

    post_report(t, r);
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.access_vq, index,
                           NULL, DEADLINE_US);
}

/* All there is to say. */
static void finish_scan(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, true);
    send_report(t, &r);
}

static void daemon_track_gpt(Daemon *d, uint32_t flags)
{
    daemon_track_with(d, 10 * MS, HMEM_LINK_TRACKER_GPT, flags);
}

/* The scan before the first window; returns its id. */
static uint64_t clear_scan(Test *t)
{
    ScanBuffer buffer = post_scan(t, SCAN_BUFFER(256));
    uint64_t id = recv_scan(t, buffer, VIRTIO_HMEM_SCAN_REARM_ALL |
                            VIRTIO_HMEM_SCAN_LAST, NULL, 0);

    finish_scan(t, id);
    return id;
}

/*
 * A window ends: the scan that tells what was accessed in it, and rearms these;
 * its id.
 */
static uint64_t rearm_scan(Test *t, const struct virtio_hmem_frames *rearm,
                           uint32_t num)
{
    ScanBuffer buffer = post_scan(t, SCAN_BUFFER(256));

    qtest_clock_step(t->qts, 10 * MS);
    return recv_scan(t, buffer, collect_flags(t) |
                     VIRTIO_HMEM_SCAN_LAST, rearm, num);
}

static uint64_t collect_scan(Test *t)
{
    return rearm_scan(t, NULL, 0);
}

/* Answer a tick, and be sure that it has arrived. */
static void gpt_tick_done(Test *t, uint64_t seq)
{
    daemon_tick_done(t->d, seq);
    daemon_hint(t->d, UINT64_MAX, END, 0, 0);
    daemon_recv_reject(t->d, UINT64_MAX, HMEM_LINK_REJECT_INVALID, 0);
}

static void setup_gpt(Test *t, uint32_t flags)
{
    setup_driver(t);
    daemon_track_gpt(t->d, flags);
    clear_scan(t);
}

static void recv_gpt_tick(Test *t, uint64_t seq, uint64_t window_ns,
                          uint64_t accessed)
{
    g_assert_cmpint(daemon_next_tick(t->d, seq, window_ns).accessed, ==,
                    accessed);
}

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
    /* With what is not the guest's memory, or is no memory at all. */
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

/* Memory in so many pieces that some are of one word. */
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
    /* Every other one. */
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
 * Frames that were written come after those that were accessed, in an order of
 * their own.  Nothing but the driver's word tells of them.
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

    /* The next scan begins anew. */
    gpt_tick_done(&t, 1);
    set_report(&r, collect_scan(&t), 1, true);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&t, &r);
    tick = daemon_next_tick(t.d, 2, 10 * MS);
    g_assert_cmpint(tick.accessed, ==, 1);
    g_assert_cmpint(tick.dirty, ==, 0);
    teardown(&t);
}

/* A driver that cannot tell is not asked. */
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
 * A request says how long a look at a frame has lasted: from the end of the
 * scan before, however late the scan begins.  The first one does not, which has
 * none before it.
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
    /* hmemd takes its time: the scan begins when it has answered. */
    qtest_clock_step(t.qts, 15 * MS);
    buffer = post_scan(&t, SCAN_BUFFER(256));
    gpt_tick_done(&t, 1);
    finish_scan(&t, recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, NULL, 0));
    g_assert_cmpint(t.look_ns, ==, 15 * MS);
    recv_gpt_tick(&t, 2, 15 * MS, 0);
    gpt_tick_done(&t, 2);
    /* The driver does: the next look begins when it is through. */
    id = collect_scan(&t);
    qtest_clock_step(t.qts, 7 * MS);
    finish_scan(&t, id);
    recv_gpt_tick(&t, 3, 17 * MS, 0);
    gpt_tick_done(&t, 3);
    finish_scan(&t, collect_scan(&t));
    g_assert_cmpint(t.look_ns, ==, 10 * MS);
    teardown(&t);
}

/* A driver that does not look for less than a window gets no such request. */
static void test_gpt_no_look(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    Test t = { .hmem.refuse = 1ull << VIRTIO_HMEM_F_LOOK };
    ScanBuffer buffer;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    map_set(rearm_map(t.d), FAST);
    /* One of the least size is large enough. */
    buffer = post_scan(&t, REPORT_BUFFER(256));
    gpt_tick_done(&t, 1);
    qtest_clock_step(t.qts, 10 * MS);
    finish_scan(&t, recv_scan(&t, buffer, collect_flags(&t) |
                              VIRTIO_HMEM_SCAN_LAST, &rearm, 1));
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    g_assert_cmpint(t.look_ns, ==, 0);
    teardown(&t);
}

/* A request that takes more than one buffer, of which one comes late. */
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

/* In a rest nobody looks, and what is there to be found stays. */
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

/* A driver that takes its time: it is known, and nothing else happens. */
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
    /* Moving goes on. */
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

    /* From the start, and the old scan is not known any more. */
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

/* Answer tick 1, and have the driver get the first part of what to rearm. */
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
    /* That was of no window; now the first one can begin. */
    buffer = post_scan(&t, SCAN_BUFFER(256));
    id = recv_scan(&t, buffer, VIRTIO_HMEM_SCAN_REARM_ALL |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    g_assert_false(map_test(accessed_map(t.d), FAST));
    finish_scan(&t, id);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);

    /* In the middle of a request, which is cut short then. */
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

/* hmemd goes in the middle of a scan; another one takes over. */
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

/* The scans take guest time, hmemd does not. */
static void test_gpt_lockstep(void)
{
    const struct virtio_hmem_frames rearm = frames_of(FAST, 1);
    Test t = { };
    Report r;

    setup_gpt(&t, HMEM_LINK_TRACK_LOCKSTEP);
    set_report(&r, collect_scan(&t), 0, true);
    /* QEMU does nothing for the test either, until the tick is answered. */
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

/* It can be left out. */
static void test_gpt_off(void)
{
    Test t = { };

    t.d = daemon_new();
    t.qs = qtest_pc_boot(MACHINE " -chardev socket,id=hmemd,path=%s"
                         " -device virtio-hmem,id=hmem0,chardev=hmemd,"
                         "addr=%d,access=off", t.d->path, SLOT);
    t.qts = t.qs->qts;
    daemon_accept(t.d);
    daemon_welcome(t.d);
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
 * What a guest may get wrong about scans, given the id of one that asks for a
 * report.
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
    qvirtio_hmem_report(&t->hmem, &r, sizeof(r.header) - 1);
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
        ((struct virtio_hmem_access *)r)->frames[i] = frames_of(i * 64, 1);
    }
    qvirtio_hmem_report(&t->hmem, r, REPORT_BUFFER(4096));
}

static void bad_report_flags(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, true);
    r.header.flags |= cpu_to_le32(8);
    post_report(t, &r);
}

static void bad_report_with(Test *t, uint64_t id, uint32_t num, uint32_t flags)
{
    Report r;

    set_report(&r, id, num, false);
    r.header.flags = cpu_to_le32(flags);
    r.frames[0] = frames_of(FAST, 1);
    post_report(t, &r);
}

/* Accessed frames have to come first. */
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

/* For a driver that has not negotiated it. */
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

/* Before it has all of the request. */
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
    id = recv_scan(t, buffer, VIRTIO_HMEM_SCAN_REARM_ALL |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 1);
    post_report(t, &r);
}

/* Where only clearing was asked for. */
static void bad_report_written_unasked(Test *t, uint64_t id)
{
    ScanBuffer buffer;

    finish_scan(t, id);
    recv_gpt_tick(t, 1, 10 * MS, 0);
    daemon_track(t->d, 0);
    daemon_track_gpt(t->d, 0);
    buffer = post_scan(t, SCAN_BUFFER(256));
    id = recv_scan(t, buffer, VIRTIO_HMEM_SCAN_REARM_ALL |
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

/* In another report of the same scan. */
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

/* The buffer that the next request is put in. */
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

/*
 * What the device does to the guest's memory can be done to the device itself:
 * the guest has a buffer, or a ring, lie on the device's own registers.
 * Neither the batches nor the driver may change under the device's hands.
 */

/* More than the smallest buffer has room for. */
#define DMA_HINTS 300

/*
 * A buffer of @len bytes in memory, but for @num of them from @at on, which are
 * elsewhere; returns its address.
 */
static uint64_t post_with_hole(Test *t, QVirtQueue *vq, uint32_t len,
                               uint32_t at, uint32_t num, uint64_t elsewhere)
{
    uint64_t addr = guest_alloc(t->hmem.alloc, len);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, at, true, true);
    int i;

    qvirtqueue_add(t->qts, vq, elsewhere, num, true, true);
    qvirtqueue_add(t->qts, vq, addr + at + num, len - at - num, true, false);
    /* libqos does not link them. */
    for (i = 0; i < 2; i++) {
        qtest_writew(t->qts, vq->desc + 16 * (head + i) + 14, head + i + 1);
    }
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
    return addr;
}

static uint16_t used_idx(Test *t, QVirtQueue *vq)
{
    return qtest_readw(t->qts, vq->used + offsetof(struct vring_used, idx));
}

static void wait_used(Test *t, QVirtQueue *vq, uint16_t num)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_US;

    while (used_idx(t, vq) < num) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/* Nothing has become of the driver, and it gets on with the device. */
static void check_untouched(Test *t)
{
    g_assert_cmphex(t->hmem.vdev->bus->get_status(t->hmem.vdev), ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                    VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    assert_property(t->qts, "driver-state", "ok");
    daemon_hint(t->d, UINT64_MAX, END, 0, 0);
    daemon_recv_reject(t->d, UINT64_MAX, HMEM_LINK_REJECT_INVALID, 0);
}

/*
 * The first byte of each buffer's first hint is written to the device's status:
 * @gfn ends with it.
 */
static void check_dma_hints(uint64_t gfn)
{
    const uint32_t at = sizeof(struct virtio_hmem_hint_batch);
    const uint32_t num[] = { VIRTIO_HMEM_MIN_HINTS,
                             DMA_HINTS - VIRTIO_HMEM_MIN_HINTS };
    g_autofree struct virtio_hmem_hint *hints =
        g_new0(struct virtio_hmem_hint, DMA_HINTS);
    uint64_t addr[6], id;
    Test t = { };
    int i, j;

    setup_driver(&t);
    for (i = 0; i < DMA_HINTS; i++) {
        hints[i] = hint(gfn, 0, 1);
    }
    for (i = 0; i < ARRAY_SIZE(addr); i++) {
        addr[i] = post_with_hole(&t, t.hmem.hint_vq, HINT_BUFFER(256), at,
                                 1, register_addr(&t, COMMON(device_status)));
    }
    daemon_hints(t.d, 1, hints, DMA_HINTS);
    wait_used(&t, t.hmem.hint_vq, 2);
    check_untouched(&t);
    g_assert_cmpint(used_idx(&t, t.hmem.hint_vq), ==, 2);
    g_assert_cmpint(get_outstanding(t.qts), ==, 2);

    /* A driver that starts in one go finds nothing that was left behind. */
    t.hmem.vdev->bus->set_status(t.hmem.vdev, 0xf);
    for (i = 0; i < 2; i++) {
        const size_t len = HINT_BUFFER(num[i]);
        g_autofree uint8_t *got = g_malloc(len);
        Results m;

        qtest_memread(t.qts, addr[i], got, len);
        /* What lies elsewhere is not here. */
        got[at] = gfn;
        g_assert_cmpint(ldl_le_p(got + 8), ==, num[i]);
        g_assert_cmpmem(got + at, len - at, hints, len - at);
        id = ldq_le_p(got);
        for (j = 0; j < num[i]; j++) {
            bool last = j == num[i] - 1;

            set_batch(&m, id, 1, last);
            set_result(&m, 0, gfn, gfn, 0, VIRTIO_HMEM_R_FREE);
            t.hmem.result_vq->free_head = 0;
            send_results(&t, &m);
            daemon_recv_results(t.d, &m, 1, last && i == 1);
        }
    }
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    teardown(&t);
}

static void test_dma_hints_status(void)
{
    check_dma_hints(FAST + 0xf);
}

static void test_dma_hints_reset(void)
{
    check_dma_hints(FAST);
}

/* The same with a request, by the mask of its first entry. */
static void check_dma_scan(uint64_t mask)
{
    const uint32_t at = SCAN_HEAD +
        offsetof(struct virtio_hmem_frames, mask);
    const struct virtio_hmem_frames rearm = frames_of(FAST, mask);
    g_autofree struct virtio_hmem_scan *scan = g_malloc(SCAN_BUFFER(1));
    uint64_t addr;
    Test t = { };
    int i;

    setup_gpt(&t, 0);
    finish_scan(&t, collect_scan(&t));
    recv_gpt_tick(&t, 1, 10 * MS, 0);
    rearm_map(t.d)[FAST / 64] = mask;
    gpt_tick_done(&t, 1);
    /* Two that were used before. */
    addr = post_with_hole(&t, t.hmem.scan_vq, SCAN_BUFFER(256), at,
                          1, register_addr(&t, COMMON(device_status)));
    for (i = 0; i < 3; i++) {
        post_with_hole(&t, t.hmem.scan_vq, SCAN_BUFFER(256), at,
                       1, register_addr(&t, COMMON(device_status)));
    }
    qtest_clock_step(t.qts, 10 * MS);
    wait_used(&t, t.hmem.scan_vq, 3);
    check_untouched(&t);
    g_assert_cmpint(used_idx(&t, t.hmem.scan_vq), ==, 3);
    qtest_memread(t.qts, addr, scan, SCAN_BUFFER(1));
    ((uint8_t *)scan)[at] = mask;
    g_assert_cmpint(le32_to_cpu(scan->num_frames), ==, 1);
    g_assert_cmphex(le32_to_cpu(scan->flags), ==,
                    collect_flags(&t) | VIRTIO_HMEM_SCAN_LAST);
    g_assert_cmpmem((const char *)scan + SCAN_HEAD, sizeof(rearm), &rearm,
                    sizeof(rearm));
    finish_scan(&t, le64_to_cpu(scan->id));
    recv_gpt_tick(&t, 2, 10 * MS, 0);
    teardown(&t);
}

static void test_dma_scan_status(void)
{
    check_dma_scan(0xb);
}

static void test_dma_scan_reset(void)
{
    check_dma_scan(0x100);
}

/*
 * The used ring lies so that the first entry's id, the index of the buffer, is
 * the device's status.
 */
static void move_used_ring(Test *t, QVirtQueue *vq)
{
    vq->used = register_addr(t, COMMON(device_status)) -
        offsetof(struct vring_used, ring);
    t->hmem.vdev->bus->queue_select(t->hmem.vdev, vq->index);
    /* So that it ends before the registers do. */
    write_common16(t, COMMON(queue_size), 64);
    write_common64(t, COMMON(queue_used_lo), vq->used);
    write_common16(t, COMMON(queue_enable), 1);
}

/* Without libqos, which would look into the used ring. */
static void kick_blindly(Test *t, QVirtQueue *vq, uint16_t nth, uint32_t head)
{
    qtest_writew(t->qts, vq->avail + 4 + 2 * nth, head);
    qtest_writew(t->qts, vq->avail + 2, nth + 1);
    t->hmem.vdev->bus->virtqueue_kick(t->hmem.vdev, vq);
}

static void check_dma_results(uint32_t head)
{
    uint64_t id, addr;
    Test t = { };
    Results m;
    int i;

    setup_driver(&t);
    id = pass_hint(&t, 1, SLOW, 1, 0);
    move_used_ring(&t, t.hmem.result_vq);
    for (i = 0; i < 2; i++) {
        set_batch(&m, id, 1, i == 1);
        set_result(&m, 0, SLOW + i, SLOW + i, 0, VIRTIO_HMEM_R_FREE);
        addr = guest_alloc(t.hmem.alloc, sizeof(m));
        qtest_memwrite(t.qts, addr, &m, sizeof(m));
        t.hmem.result_vq->free_head = head;
        qvirtqueue_add(t.qts, t.hmem.result_vq, addr, results_len(&m), false,
                       false);
        kick_blindly(&t, t.hmem.result_vq, i, head);
        daemon_recv_results(t.d, &m, 1, i == 1);
        check_untouched(&t);
    }
    teardown(&t);
}

static void test_dma_results_status(void)
{
    check_dma_results(0xb);
}

static void test_dma_results_reset(void)
{
    check_dma_results(0);
}

static void check_dma_access(uint32_t head)
{
    uint64_t id, addr;
    Test t = { };
    Report r;

    setup_gpt(&t, 0);
    id = collect_scan(&t);
    /* One buffer was used before. */
    move_used_ring(&t, t.hmem.access_vq);
    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(FAST, 7);
    addr = guest_alloc(t.hmem.alloc, sizeof(r));
    qtest_memwrite(t.qts, addr, &r, sizeof(r));
    t.hmem.access_vq->free_head = head;
    qvirtqueue_add(t.qts, t.hmem.access_vq, addr, REPORT_BUFFER(1), false,
                   false);
    kick_blindly(&t, t.hmem.access_vq, 1, head);
    recv_gpt_tick(&t, 1, 10 * MS, 3);
    check_untouched(&t);
    teardown(&t);
}

static void test_dma_access_status(void)
{
    check_dma_access(0xb);
}

static void test_dma_access_reset(void)
{
    check_dma_access(0);
}

/*
 * The way that is not shut: the first hint's GFN is written to a register in
 * the configuration space of the device, or of the port that it is in.
 */

#define ECAM 0xb0000000u
#define PORT 5

/* A PCIe port with the device in it, on bus 1. */
static QPCIDevice *setup_port(Test *t)
{
    QPCIAddress at = { .devfn = 1 << 8 };
    QPCIDevice *mch, *port;

    t->d = daemon_new();
    t->qs = qtest_pc_boot("-machine q35,hmat=on" NODES NUMA HMAT
                          " -global ICH9-LPC.acpi-pci-hotplug-with-bridge-"
                          "support=off -device pcie-root-port,id=rp0,addr=%d,"
                          "chassis=1,slot=1"
                          " -chardev socket,id=hmemd,path=%s,reconnect-ms=20"
                          " -device virtio-hmem,id=hmem0,chardev=hmemd,bus=rp0",
                          PORT, t->d->path);
    t->qts = t->qs->qts;
    daemon_accept(t->d);
    daemon_welcome(t->d);
    mch = qpci_device_find(t->qs->pcibus, QPCI_DEVFN(0, 0));
    /* The configuration space of all devices in memory. */
    qpci_config_writel(mch, 0x64, 0);
    qpci_config_writel(mch, 0x60, ECAM | 1);
    g_free(mch);
    port = qpci_device_find(t->qs->pcibus, QPCI_DEVFN(PORT, 0));
    qpci_config_writel(port, PCI_PRIMARY_BUS, 0x010100);
    /* 16 MiB, where libqos puts BARs. */
    qpci_config_writel(port, PCI_MEMORY_BASE, 0xe0f0e000);
    qpci_config_writel(port, PCI_PREF_MEMORY_BASE, 0xe0f0e000);
    qpci_device_enable(port);
    t->pci = virtio_pci_new(t->qs->pcibus, &at);
    g_assert_nonnull(t->pci);
    qvirtio_pci_device_enable(t->pci);
    qvirtio_start_device(&t->pci->vdev);
    t->hmem = (QVirtioHMEM) {
        .qts = t->qts,
        .alloc = &t->qs->alloc,
        .vdev = &t->pci->vdev,
    };
    start_driver(t);
    return port;
}

static uint64_t express_addr(QPCIDevice *dev, uint8_t offset)
{
    return ECAM + (dev->devfn << 12) +
        qpci_find_capability(dev, PCI_CAP_ID_EXP, 0) + offset;
}

/* Two buffers, so that there is something to go on with. */
static void hint_config(Test *t, uint64_t config, uint16_t value)
{
    const uint32_t at = sizeof(struct virtio_hmem_hint_batch);
    g_autofree struct virtio_hmem_hint *hints =
        g_new0(struct virtio_hmem_hint, DMA_HINTS);
    int i;

    for (i = 0; i < DMA_HINTS; i++) {
        hints[i] = hint(value, 0, 1);
    }
    for (i = 0; i < 2; i++) {
        post_with_hole(t, t->hmem.hint_vq, HINT_BUFFER(256), at,
                       sizeof(value), config);
    }
    daemon_hints(t->d, 1, hints, DMA_HINTS);
}

static void test_dma_config_reset(void)
{
    Test t = { };
    QPCIDevice *port = setup_port(&t);

    g_assert_cmphex(PCI_EXP_DEVCTL_BCR_FLR, ==, SLOW);
    hint_config(&t, express_addr(t.pci->pdev, PCI_EXP_DEVCTL), SLOW);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    assert_property(t.qts, "driver-state", "none");
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    daemon_barrier(t.d);
    g_free(port);
    teardown(&t);
}

#define SLOT_OFF (PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF)

static void check_unplugged(Test *t, QPCIDevice *port)
{
    daemon_expect_drop(t->d);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
    g_free(port);
    teardown(t);
}

static void test_dma_config_unplug(void)
{
    Test t = { };
    QPCIDevice *port = setup_port(&t);

    hint_config(&t, express_addr(port, PCI_EXP_SLTCTL), SLOT_OFF);
    check_unplugged(&t, port);
}

/* The same by the address of an interrupt. */
static void test_dma_config_notify(void)
{
    Test t = { };
    QPCIDevice *port = setup_port(&t);
    QPCIDevice *pdev = t.pci->pdev;
    const uint64_t entry = pdev->msix_table_off + PCI_MSIX_ENTRY_SIZE;

    qpci_msix_enable(pdev);
    qvirtqueue_pci_msix_setup(t.pci, (QVirtQueuePCI *)t.hmem.hint_vq,
                              t.hmem.alloc, 1);
    qpci_io_writel(pdev, pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_LOWER_ADDR,
                   express_addr(port, PCI_EXP_SLTCTL));
    qpci_io_writel(pdev, pdev->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA,
                   SLOT_OFF);
    qvirtio_hmem_post(&t.hmem, HINT_BUFFER(256));
    daemon_hint(t.d, 1, SLOW, 0, 0);
    check_unplugged(&t, port);
}

/*
 * However much the guest has on a queue: QEMU's main loop has its turn in
 * between, as hmemd sees by what else is answered.  Which comes when is up to
 * the host, so that it is tried more than once.
 */
static void test_passes(void)
{
    enum { RESULTS = 300, REJECTS = 500, TRIES = 100 };
    /* So many frames that the answers do not come to an end. */
    const uint8_t order = 14;
    g_autofree struct virtio_hmem_hint *hints =
        g_new(struct virtio_hmem_hint, HMEM_LINK_MAX_HINTS);
    bool between = false;
    QVirtQueue *vq;
    uint64_t addr;
    Test t = { };
    Results m;
    int i, try;

    setup_driver(&t);
    vq = t.hmem.result_vq;
    for (i = 0; i < HMEM_LINK_MAX_HINTS; i++) {
        hints[i] = hint(SLOW, order, 0);
    }
    addr = qvirtio_hmem_post(&t.hmem, HINT_BUFFER(HMEM_LINK_MAX_HINTS));
    daemon_hints(t.d, 1, hints, HMEM_LINK_MAX_HINTS);
    set_batch(&m, recv_hints(&t, addr, 0, hints, HMEM_LINK_MAX_HINTS), 1,
              false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    addr = guest_alloc(t.hmem.alloc, sizeof(m));
    qtest_memwrite(t.qts, addr, &m, sizeof(m));
    /* All entries of the available ring name this buffer from the start. */
    qvirtqueue_add(t.qts, vq, addr, results_len(&m), false, false);
    for (try = 0; try < TRIES && !between; try++) {
        uint32_t results = 0, rejects = 0;

        for (i = 0; i < REJECTS; i++) {
            daemon_hint(t.d, 2, END, 0, 0);
        }
        qtest_writew(t.qts, vq->avail + offsetof(struct vring_avail, idx),
                     (try + 1) * RESULTS);
        t.hmem.vdev->bus->virtqueue_kick(t.hmem.vdev, vq);
        while (results < RESULTS || rejects < REJECTS) {
            struct hmem_link_header header;
            uint8_t payload[sizeof(m)];

            g_assert_true(daemon_read(t.d, &header, sizeof(header), NULL));
            g_assert_cmpint(header.len, <=, sizeof(payload));
            g_assert_true(daemon_read(t.d, payload, header.len, NULL));
            if (header.type == HMEM_LINK_RESULTS) {
                results++;
            } else {
                g_assert_cmpint(header.type, ==, HMEM_LINK_REJECT);
                rejects++;
                between |= results > 0 && results < RESULTS;
            }
        }
    }
    g_assert_true(between);
    assert_property(t.qts, "driver-state", "ok");
    teardown(&t);
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

static void wait_migration(QTestState *qts, const char *wanted)
{
    const bool fails = g_str_equal(wanted, "failed");

    for (;;) {
        QDict *response = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        QDict *info = qdict_get_qdict(response, "return");
        const char *status = qdict_get_try_str(info, "status");
        bool done = !g_strcmp0(status, wanted);

        g_assert_cmpstr(status, !=, fails ? "completed" : "failed");
        qobject_unref(response);
        if (done) {
            return;
        }
        g_usleep(1000);
    }
}

/* The same machine once more, waiting for the first; with an hmemd too. */
static void setup_target(Test *to, const char *uri)
{
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);

    setup_machine(to, incoming);
    g_assert_cmphex(to->d->state.flags, ==, 0);
}

/* The driver has moved with its machine. */
static void move_driver(Test *from, Test *to)
{
    to->pci = g_memdup2(from->pci, sizeof(*from->pci));
    to->pci->pdev = g_memdup2(from->pci->pdev, sizeof(*from->pci->pdev));
    to->pci->pdev->bus = to->qs->pcibus;
    migrate_allocator(&from->qs->alloc, &to->qs->alloc);
    to->hmem = from->hmem;
    to->hmem.qts = to->qts;
    to->hmem.alloc = &to->qs->alloc;
    to->hmem.vdev = &to->pci->vdev;
    to->hmem.hint_vq->vdev = to->hmem.vdev;
    to->hmem.result_vq->vdev = to->hmem.vdev;
    to->hmem.scan_vq->vdev = to->hmem.vdev;
    to->hmem.access_vq->vdev = to->hmem.vdev;
}

static void start_migration(Test *from, const char *uri)
{
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': %s } }", uri);
}

static void test_migration(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    struct virtio_hmem_hint h = hint(FAST, 0, 1);
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    uint64_t id[2], addr, last;
    uint32_t index;
    Results m;

    setup_driver(&from);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);

    /* One batch in half, one untouched, and a buffer for the target. */
    id[0] = pass_hint(&from, 1, SLOW, 1, 0);
    id[1] = pass_hint(&from, 2, FAST, 0, 1);
    set_batch(&m, id[0], 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    send_results(&from, &m);
    daemon_recv_results(from.d, &m, 1, false);
    index = from.hmem.hint_vq->free_head;
    addr = qvirtio_hmem_post(&from.hmem, 8192);

    /* Slow, so that there is something to see while it goes on. */
    set_bandwidth(from.qts, 4096);
    start_migration(&from, uri);
    daemon_recv_state(from.d, running | HMEM_LINK_MIGRATING);
    daemon_hint(from.d, 3, FAST, 0, 1);
    daemon_recv_reject(from.d, 3, HMEM_LINK_REJECT_MIGRATING, 0);
    set_bandwidth(from.qts, 1ull << 40);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, running);
    g_assert_cmpint(get_outstanding(to.qts), ==, 2);

    /* The target's hmemd knows nothing of them, but the device does. */
    set_batch(&m, id[0], 1, true);
    set_result(&m, 0, SLOW + 1, SLOW + 1, 0, VIRTIO_HMEM_R_FREE);
    send_results(&to, &m);
    set_batch(&m, id[1], 1, true);
    set_result(&m, 0, FAST, FAST, 0, VIRTIO_HMEM_R_FREE);
    send_results(&to, &m);
    g_assert_cmpint(get_outstanding(to.qts), ==, 0);
    daemon_hints(to.d, 1, &h, 1);
    last = recv_hints(&to, addr, index, &h, 1);
    g_assert_cmpint(last, >, id[1]);

    /* What was answered on the source counts. */
    set_batch(&m, id[0], 1, true);
    bad_send(&to, &m);
    daemon_recv_state(to.d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    teardown(&to);
    teardown(&from);
}

/* A scan goes on on the other side, where its report is of no use. */
static void test_migration_scan(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    uint64_t id;
    Report r;

    setup_gpt(&from, 0);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    id = collect_scan(&from);
    set_report(&r, id, 1, false);
    r.frames[0] = frames_of(SLOW, 1);
    send_report(&from, &r);
    start_migration(&from, uri);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, running);

    set_report(&r, id, 1, true);
    r.frames[0] = frames_of(SLOW + 64, 1);
    send_report(&to, &r);
    g_assert_false(map_test(accessed_map(to.d), SLOW + 64));
    daemon_track_gpt(to.d, 0);
    g_assert_cmpint(clear_scan(&to), >, id);
    finish_scan(&to, collect_scan(&to));
    recv_gpt_tick(&to, 1, 10 * MS, 0);
    teardown(&to);
    teardown(&from);
}

/* In the middle of the written frames. */
static void test_migration_written(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    uint64_t id;
    Report r;

    setup_gpt(&from, 0);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    id = collect_scan(&from);
    set_report(&r, id, 1, false);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&from, &r);
    start_migration(&from, uri);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, running);

    r.frames[0] = frames_of(SLOW, 1);
    send_report(&to, &r);
    g_assert_false(map_test(to.d->map, SLOW));
    bad_report_with(&to, id, 1, VIRTIO_HMEM_ACCESS_LAST);
    daemon_recv_state(to.d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    teardown(&to);
    teardown(&from);
}

static void test_migration_online(void)
{
    Test from = { }, to = { };
    g_autofree char *uri = NULL;

    setup_driver(&from);
    set_online(&from, 1, 96 * MiB);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    start_migration(&from, uri);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(to.d->state.online[1], ==, 96 * MiB);
    g_assert_cmpint(qvirtio_config_readq(to.hmem.vdev, ONLINE(1)), ==,
                    96 * MiB);
    teardown(&to);
    teardown(&from);
}

/* Given up: as if nothing had been. */
static void test_migration_cancel(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    struct virtio_hmem_hint h = hint(FAST, 0, 1);
    g_autofree char *uri = NULL;
    Test from = { };
    uint64_t addr;

    setup_driver(&from);
    uri = g_strdup_printf("file:%s/migration", from.d->dir);
    /* Waits for a buffer, and gets none before the migration is over. */
    daemon_hints(from.d, 1, &h, 1);
    daemon_hint(from.d, 2, END, 0, 0);
    daemon_recv_reject(from.d, 2, HMEM_LINK_REJECT_INVALID, 0);
    set_bandwidth(from.qts, 4096);
    start_migration(&from, uri);
    daemon_recv_state(from.d, running | HMEM_LINK_MIGRATING);
    addr = qvirtio_hmem_post(&from.hmem, 8192);
    g_assert_cmpint(get_outstanding(from.qts), ==, 0);
    qtest_qmp_assert_success(from.qts, "{ 'execute': 'migrate_cancel' }");
    daemon_recv_state(from.d, running);
    recv_hints(&from, addr, 0, &h, 1);
    unlink(uri + strlen("file:"));
    teardown(&from);
}

/* Tiers in another order: the guest would not notice, so QEMU has to. */
static void test_migration_tiers(void)
{
    g_autofree char *uri = NULL;
    QTestState *to;
    Test from = { };

    setup(&from);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    to = qtest_initf("-machine pc,hmat=on" NODES NUMA
                     LB(0, "access-latency", "latency=300")
                     LB(1, "access-latency", "latency=80")
                     " -device virtio-hmem,id=hmem0,addr=%d -incoming %s",
                     SLOT, uri);
    start_migration(&from, uri);
    qtest_set_expected_status(to, EXIT_FAILURE);
    qtest_wait_qemu(to);
    qtest_quit(to);
    teardown(&from);
}

/* Frames of guest memory that were sent, more than once if they were. */
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
 * While a machine is sent it is not tracked, whatever hmemd asks for; that
 * comes afterwards.  Nothing is sent twice for it, and nothing is missing.
 */
static void test_migration_track(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    static const uint64_t gfns[] = { FAST + 100, SLOW + 100 };
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    uint64_t sent;

    setup_driver(&from);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    daemon_track(from.d, MS);
    qtest_qmp_assert_success(
        from.qts, "{ 'execute': 'migrate-set-capabilities', 'arguments': {"
        " 'capabilities': [ { 'capability': 'pause-before-switchover',"
        " 'state': true } ] } }");
    set_bandwidth(from.qts, 4096);
    start_migration(&from, uri);
    daemon_recv_state(from.d, running | HMEM_LINK_MIGRATING);
    assert_property(from.qts, "tracker", "none");
    wait_migration(from.qts, "active");

    /* No window ends, nor does one begin. */
    qtest_clock_step(from.qts, MS);
    daemon_track(from.d, 0);
    daemon_track(from.d, 2 * MS);
    daemon_hint(from.d, 1, FAST, 0, 1);
    daemon_recv_reject(from.d, 1, HMEM_LINK_REJECT_MIGRATING, 0);
    assert_property(from.qts, "tracker", "none");
    qtest_clock_step(from.qts, 2 * MS);

    /* All of memory has been sent once, and nothing is left to send. */
    set_bandwidth(from.qts, 1ull << 40);
    wait_migration(from.qts, "pre-switchover");
    daemon_recv_state(from.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_MIGRATING);
    sent = frames_sent(from.qts);
    /* The firmware, too. */
    g_assert_cmpint(sent, >=, END);
    g_assert_cmpint(sent, <, END + END / 8);
    qtest_writeq(from.qts, gfns[0] << VIRTIO_HMEM_GFN_SHIFT, 0x1122334455);
    qtest_writeq(from.qts, gfns[1] << VIRTIO_HMEM_GFN_SHIFT, 0x66778899aa);
    qtest_qmp_assert_success(
        from.qts, "{ 'execute': 'migrate-continue',"
        " 'arguments': { 'state': 'pre-switchover' } }");
    qtest_qmp_eventwait(to.qts, "RESUME");
    g_assert_cmphex(qtest_readq(to.qts, gfns[0] << VIRTIO_HMEM_GFN_SHIFT), ==,
                    0x1122334455);
    g_assert_cmphex(qtest_readq(to.qts, gfns[1] << VIRTIO_HMEM_GFN_SHIFT), ==,
                    0x66778899aa);
    daemon_recv_state(from.d, HMEM_LINK_DRIVER_OK);
    assert_property(from.qts, "tracker", "dirty");
    teardown(&to);
    teardown(&from);
}

/*
 * The device's state as it lies in a migration stream: what describes the
 * tiers, which nothing else looks like, then the batches.  All big-endian.
 */
#define STREAM_TIERS (4 + VIRTIO_HMEM_MAX_TIERS * (4 + 8))
#define STREAM_PART (3 * 8)

static uint8_t *find_stream(uint8_t *stream, size_t len)
{
    uint8_t tiers[STREAM_TIERS] = { };
    uint8_t *found;

    stl_be_p(tiers, 2);
    stl_be_p(tiers + 4 + 4, 1);
    stq_be_p(tiers + 4 + VIRTIO_HMEM_MAX_TIERS * 4, 0x8000000);
    stq_be_p(tiers + 4 + VIRTIO_HMEM_MAX_TIERS * 4 + 8, 0x8000000);
    found = memmem(stream, len, tiers, sizeof(tiers));
    g_assert_nonnull(found);
    return found;
}

/* Of the scan: its fields follow the name and a version. */
static uint8_t *find_scan(uint8_t *stream, size_t len)
{
    static const char name[] = "virtio-hmem-device/access";
    uint8_t *found = memmem(stream, len, name, strlen(name));

    g_assert_nonnull(found);
    return found + strlen(name) + 4;
}

/* One field of a stream that has two batches of one frame each, and a scan. */
static const struct BadStream {
    const char *name;
    /* Of the scan, or of the tiers and batches. */
    bool scan;
    uint32_t offset;
    /* Bytes; 0: as it was, which is good. */
    uint32_t len;
    uint64_t value;
} bad_streams[] = {
    { "good" },
    { "tiers", false, 0, 4, 3 },
    { "tiers-many", false, 0, 4, UINT32_MAX },
    { "pxm", false, 8, 4, 2 },
    { "size", false, 4 + 4 * VIRTIO_HMEM_MAX_TIERS, 8, 4096 },
    { "next-zero", false, STREAM_TIERS, 8, 0 },
    { "next-last", false, STREAM_TIERS, 8, UINT64_MAX },
    { "next-early", false, STREAM_TIERS, 8, 2 },
    { "batch-late", false, STREAM_TIERS + 8, 8, 1000 },
    { "batch-free", false, STREAM_TIERS + 8, 8, 0 },
    { "batch-twice", false, STREAM_TIERS + 8 + STREAM_PART, 8, 1 },
    { "frames-none", false, STREAM_TIERS + 16, 8, 0 },
    { "frames-many", false, STREAM_TIERS + 16, 8, UINT64_MAX },
    { "answered", false, STREAM_TIERS + 24, 8, 2 },
    { "scan-next-zero", true, 0, 8, 0 },
    { "scan-next-last", true, 0, 8, UINT64_MAX },
    { "scan-next-early", true, 0, 8, 2 },
    { "scan-late", true, 8, 8, UINT64_MAX },
    { "scan-flags", true, 16, 4, UINT32_MAX },
    { "scan-no-flags", true, 16, 4, 0 },
    { "scan-both", true, 16, 4, VIRTIO_HMEM_SCAN_REPORT |
                                VIRTIO_HMEM_SCAN_REARM_ALL },
    { "scan-not-written", true, 16, 4, VIRTIO_HMEM_SCAN_REPORT },
    { "scan-gfn", true, 21, 8, 63 },
};

/* What the stream says is what an attacker can say: refused, field by field. */
static void test_migration_stream(void)
{
    g_autofree char *path = NULL, *uri = NULL;
    g_autofree uint8_t *stream = NULL;
    Test from = { };
    gsize len;
    Report r;
    int i;

    setup_gpt(&from, 0);
    g_assert_cmpint(pass_hint(&from, 1, SLOW, 0, 0), ==, 1);
    g_assert_cmpint(pass_hint(&from, 2, FAST, 0, 1), ==, 2);
    g_assert_cmpint(collect_scan(&from), ==, 2);
    set_report(&r, 2, 1, false);
    r.header.flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_WRITTEN);
    r.frames[0] = frames_of(FAST, 1);
    send_report(&from, &r);
    path = g_strdup_printf("%s/migration", from.d->dir);
    uri = g_strdup_printf("file:%s", path);
    set_bandwidth(from.qts, 1ull << 40);
    start_migration(&from, uri);
    wait_migration(from.qts, "completed");
    g_assert_true(g_file_get_contents(path, (char **)&stream, &len, NULL));

    for (i = 0; i < ARRAY_SIZE(bad_streams); i++) {
        const struct BadStream *bad = &bad_streams[i];
        g_autofree uint8_t *copy = g_memdup2(stream, len);
        uint8_t *at = (bad->scan ? find_scan : find_stream)(copy, len);
        QTestState *to;

        if (bad->len == 4) {
            stl_be_p(at + bad->offset, bad->value);
        } else if (bad->len) {
            stq_be_p(at + bad->offset, bad->value);
        }
        g_assert_true(g_file_set_contents(path, (char *)copy, len, NULL));
        g_test_message("%s", bad->name);
        to = qtest_initf(MACHINE " -device virtio-hmem,id=hmem0,addr=%d"
                         " -incoming defer", SLOT);
        qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
                                 " 'arguments': { 'uri': %s,"
                                 " 'exit-on-error': false } }", uri);
        wait_migration(to, bad->len ? "failed" : "completed");
        qtest_quit(to);
    }
    unlink(path);
    teardown(&from);
}

/*
 * All of them
 */

static void add_data_tests(void)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(realize_errors); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/realize/%s",
                                                realize_errors[i].name);

        qtest_add_data_func(name, &realize_errors[i], test_realize_error);
    }
    for (i = 0; i < ARRAY_SIZE(bad_messages); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/link/bad/%s",
                                                bad_messages[i].name);

        qtest_add_data_func(name, &bad_messages[i], test_link_bad);
    }
    for (i = 0; i < ARRAY_SIZE(bad_guests); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/guest/bad/%s",
                                                bad_guests[i].name);

        qtest_add_data_func(name, &bad_guests[i], test_bad_guest);
    }
    for (i = 0; i < ARRAY_SIZE(bad_scanners); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/guest/bad/%s",
                                                bad_scanners[i].name);

        qtest_add_data_func(name, &bad_scanners[i], test_bad_scanner);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        { "config/hmat", test_config },
        { "config/online", test_config_online },
        { "config/online/refused", test_config_online_refused },
        { "config/features", test_config_features },
        { "config/order/cpus", test_config_order_cpus },
        { "config/order/latency", test_config_order_latency },
        { "config/order/bandwidth", test_config_order_bandwidth },
        { "config/order/missing", test_config_order_missing },
        { "help", test_help },
        { "microvm", test_microvm },
        { "link/hello", test_link_hello },
        { "link/reconnect", test_link_reconnect },
        { "link/late", test_link_late },
        { "link/tcp", test_link_tcp },
        { "link/pieces", test_link_pieces },
        { "hints/no-driver", test_hints_no_driver },
        { "hints/deliver", test_hints_deliver },
        { "hints/wait", test_hints_wait },
        { "hints/split", test_hints_split },
        { "hints/invalid", test_hints_invalid },
        { "hints/busy", test_hints_busy },
        { "hints/twice", test_hints_twice },
        { "hints/stopped", test_hints_stopped },
        { "results/ok", test_results_ok },
        { "results/restricted", test_results_restricted },
        { "results/scattered", test_results_scattered },
        { "results/orphan", test_results_orphan },
        { "results/backlog", test_results_backlog },
        { "reset/device", test_reset },
        { "reset/system", test_system_reset },
        { "unplug", test_unplug },
        { "dirty/windows", test_dirty_windows },
        { "dirty/pieces", test_dirty_pieces },
        { "dirty/slices", test_dirty_slices },
        { "dirty/slices-answer", test_dirty_slices_answer },
        { "dirty/slices-stop", test_dirty_slices_stop },
        { "dirty/short", test_dirty_short },
        { "dirty/log", test_dirty_log },
        { "dirty/keep", test_dirty_keep },
        { "host", test_host },
        { "memory/dimm", test_memory_dimm },
        { "memory/results", test_memory_results },
        { "memory/other", test_memory_other },
        { "memory/nested", test_memory_nested },
        { "memory/toggles", test_memory_toggles },
        { "eject", test_eject },
        { "eject/icount", test_eject_icount },
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
        { "gpt/incomplete", test_gpt_incomplete },
        { "gpt/look", test_gpt_look },
        { "gpt/no-look", test_gpt_no_look },
        { "gpt/parts", test_gpt_parts },
        { "gpt/rest", test_gpt_rest },
        { "gpt/late", test_gpt_late },
        { "gpt/driver", test_gpt_driver },
        { "gpt/change", test_gpt_change },
        { "gpt/disconnect", test_gpt_disconnect },
        { "gpt/lockstep", test_gpt_lockstep },
        { "gpt/off", test_gpt_off },
        { "results/passes", test_passes },
        { "dma/hints/status", test_dma_hints_status },
        { "dma/hints/reset", test_dma_hints_reset },
        { "dma/results/status", test_dma_results_status },
        { "dma/results/reset", test_dma_results_reset },
        { "dma/scan/status", test_dma_scan_status },
        { "dma/scan/reset", test_dma_scan_reset },
        { "dma/access/status", test_dma_access_status },
        { "dma/access/reset", test_dma_access_reset },
        { "dma/config/reset", test_dma_config_reset },
        { "dma/config/unplug", test_dma_config_unplug },
        { "dma/config/notify", test_dma_config_notify },
        { "migration/live", test_migration },
        { "migration/scan", test_migration_scan },
        { "migration/written", test_migration_written },
        { "migration/online", test_migration_online },
        { "migration/cancel", test_migration_cancel },
        { "migration/tiers", test_migration_tiers },
        { "migration/track", test_migration_track },
        { "migration/stream", test_migration_stream },
    };
    int i;

    g_test_init(&argc, &argv, NULL);
    for (i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/%s",
                                                tests[i].name);

        qtest_add_func(name, tests[i].func);
    }
    add_data_tests();
    return g_test_run();
}
