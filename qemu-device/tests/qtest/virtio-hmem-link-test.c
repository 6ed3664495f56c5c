/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tests of the device's configuration and memory, and of the link
 * to hmemd.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

/*
 * Configuration
 */

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
    assert_driver(t.qts, "none");
    teardown(&t);
}

/* The driver writes how much memory is online, and can write nothing else. */
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
    /* The device bounds the value, and rounds it down to frames. */
    set_online(&t, 1, UINT64_MAX);
    g_assert_cmpint(t.d->state.online[1], ==, 256 * MiB);
    set_online(&t, 1, 3 * MiB + 4095);
    g_assert_cmpint(t.d->state.online[1], ==, 3 * MiB);

    /* hmemd is told once, however often the driver writes. */
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

    /* A reset clears the value, and hmemd gets no message in between. */
    write_config(&t, ONLINE(0), 4096);
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(t.d->state.online[0], ==, 0);
    qtest_clock_step(t.qts, 10 * MS);
    qvirtio_start_device(t.hmem.vdev);
    qvirtio_hmem_start(&t.hmem);
    daemon_recv_state(t.d, running);
    g_assert_cmpint(qvirtio_config_readq(t.hmem.vdev, ONLINE(0)), ==, 0);
    /* A later write does not bring back the value from before the reset. */
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
        1ull << VIRTIO_HMEM_F_LOOK, 1ull << VIRTIO_HMEM_F_COST,
        1ull << VIRTIO_HMEM_F_PAGING, 0,
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

/*
 * Only a driver that has set FEATURES_OK is at work, because until then it can
 * change its features, which hmemd must know.
 */
static void test_config_features_late(void)
{
    const uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE |
        VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK;
    const uint64_t late = 1ull << VIRTIO_HMEM_F_PAUSE;
    Test t = { .hmem.refuse = late };
    QVirtioDevice *vdev;
    uint64_t features;

    setup_driver(&t);
    vdev = t.hmem.vdev;
    features = t.d->state.features;
    pass_hint(&t, 1, SLOW, 0, 0);
    g_assert_cmpint(get_outstanding(t.qts), ==, 1);

    vdev->bus->set_status(vdev, status);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);
    vdev->bus->set_features(vdev, features | late);
    daemon_barrier(t.d);

    vdev->bus->set_status(vdev, status | VIRTIO_CONFIG_S_FEATURES_OK);
    daemon_recv_state(t.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t.d->state.features, ==, features | late);
    teardown(&t);
}

/* Nodes and kinds of the tiers for a command line. */
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
                " -numa node,nodeid=1,memdev=m1,cpus=0-2"
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
                " -device '{\"driver\":\"virtio-hmem\",\"addr\":\"4\","
                "\"kinds\":[\"dram\",\"cxl\",\"nvm\"]}'",
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

/* Bandwidths are known, but no latencies; the slow node is the first one. */
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

/* If a single latency is missing, the others do not count. */
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
        "heterogeneous memory needs at least two NUMA nodes with a memory "
        "backend, the machine has 0: use '-numa node,memdev=...'",
    }, {
        "one-node",
        "-machine pc -nodefaults -m 128M"
        " -object memory-backend-ram,id=m0,size=128M"
        " -numa node,nodeid=0,memdev=m0 -numa node,nodeid=1", "{}",
        "heterogeneous memory needs at least two NUMA nodes with a memory "
        "backend, the machine has 1: use '-numa node,memdev=...'",
    }, {
        "kinds-unknown", MACHINE, "{ 'kinds': [ 'dram', 'tape' ] }",
        "'kinds' has 'tape', which is not dram, nvm or cxl",
    }, {
        "kinds-number", MACHINE, "{ 'kinds': [ 'dram' ] }",
        "'kinds' names 1 tiers, but the machine has 2 NUMA nodes with a "
        "memory backend",
    }, {
        "min-window", MACHINE, "{ 'min-window': 3600001 }",
        "'min-window' is 3600001 ms, but can be 3600000 ms at most",
    }, {
        "second", MACHINE " -device virtio-hmem,id=first", "{}",
        "only one virtio-hmem device is supported: it serves all tiers of the "
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
    /* Try twice: the first failure must leave nothing behind. */
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

/* Machines whose guest would not find the tiers, with either transport. */
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
        g_assert_nonnull(strstr(said, "microvm does not tell its guest about "
                                "NUMA nodes (no ACPI SRAT): use another "
                                "machine, such as q35"));
    }
}

/* Every property of the device has a description, under either type name. */
static void test_help(void)
{
    static const char *const types[] = {
        "virtio-hmem-device", "virtio-hmem-pci",
    };
    static const char *const names[] = {
        "chardev", "kinds", "access", "resize", "initial", "minimum",
    };
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
    g_assert_cmpint(hello->num_cpus, ==, 3);
    g_assert_cmpint(hello->map_bytes % 8, ==, 0);
    g_assert_cmpint(hello->map_bytes, >=, END / 8);
    /* There is no simulator, and the test can stop guest time. */
    g_assert_cmphex(hello->trackers, ==,
                    HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT |
                    HMEM_LINK_TRACKER_HOST);
    g_assert_cmphex(hello->track_flags, ==,
                    HMEM_LINK_TRACK_LOCKSTEP | HMEM_LINK_TRACK_REST |
                    HMEM_LINK_TRACK_ACCESSED | HMEM_LINK_TRACK_LONG |
                    HMEM_LINK_TRACK_CLEARED | HMEM_LINK_TRACK_WITHIN |
                    HMEM_LINK_TRACK_ACCOUNT);
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
    assert_connected(t.qts, true);
    teardown(&t);
}

/* QEMU runs without hmemd, and connects when hmemd starts. */
static void test_link_late(void)
{
    Daemon *d = daemon_new();
    QOSState *qs;
    char *elsewhere = g_strdup_printf("%s.later", d->path);

    g_assert_cmpint(rename(d->path, elsewhere), ==, 0);
    qs = qtest_pc_boot(MACHINE " -chardev socket,id=c,path=%s,reconnect-ms=20"
                       " -device virtio-hmem,id=hmem0,chardev=c", d->path);
    assert_connected(qs->qts, false);
    g_assert_cmpint(rename(elsewhere, d->path), ==, 0);
    daemon_accept(d);
    g_assert_cmpint(strncmp(d->hello.vm, "qemu-", 5), ==, 0);
    qtest_shutdown(qs);
    daemon_free(d);
    g_free(elsewhere);
}

/* A socket that cannot pass file descriptors. */
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
    /* Messages that are sent instead of a correct WELCOME. */
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
      { MS, TRACKER_FLAGS(HMEM_LINK_TRACKER_DIRTY, 8) } },
    { "track-within-long", false, HMEM_LINK_TRACK, 16,
      { MS, TRACKER_FLAGS(HMEM_LINK_TRACKER_GPT, HMEM_LINK_TRACK_LONG |
                          HMEM_LINK_TRACK_WITHIN) } },
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
    /* Send all at once, because the device may disconnect after the header. */
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

/* A message is received as a whole, however the socket splits it. */
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
 * Memory that comes and goes
 */

/* The first frame of memory devices, and the number of frames of one. */
#define DIMM 0x100000
#define DIMM_NUM 0x8000

static void setup_hotplug(Test *t)
{
    t->d = daemon_new();
    t->qs = qtest_pc_boot("-machine pc,hmat=on,nvdimm=on"
                          " -m 256M,slots=4,maxmem=1G -smp 3 -nodefaults"
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

/* Check for the three ranges from boot, and one more range in this tier. */
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

/*
 * Eject the device, as the guest's firmware does after the guest has freed it.
 */
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

        /*
         * The window in which the memory came does not contain it, the next one
         * does.
         */
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
        /* The device keeps no reference to the memory. */
        qtest_qmp_assert_success(t.qts, "{ 'execute': 'object-del',"
                                 " 'arguments': { 'id': 'm2' } }");
    }
    /* Tracking continues with the remaining memory. */
    touch(&t, SLOW);
    qtest_clock_step(t.qts, 10 * MS);
    daemon_next_tick(t.d, 5, 10 * MS);
    g_assert_true(map_test(t.d->map, SLOW));
    teardown(&t);
}

/*
 * Results may name memory that has gone if the hints were sent before; results
 * of later hints may not. hmemd never gets a result for a page without memory.
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
    /* The guest has not got this batch yet. */
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
 * A change of memory makes an earlier device find that its ring is not in
 * memory any more, and raise an interrupt whose address is that of this
 * device's registers.  This resets the device, which switches the log off,
 * which changes memory again, all before the device has processed the first
 * change.
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
    /* So much memory that the first slice of the log is in tier 0. */
    t.qs = qtest_pc_boot("-machine pc,hmat=on -m 1G -smp 3 -nodefaults"
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
    /* RAM replaces ROM, and the ring crosses the border between two parts. */
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
    /* No more messages have come. */
    daemon_barrier(t.d);
    assert_log(&t, false);
    qvirtqueue_cleanup(rng->vdev.bus, vq, &t.qs->alloc);
    qos_object_destroy((QOSGraphObject *)rng);
    g_free(bridge);
    teardown(&t);
}

/*
 * A guest maps memory in and out as fast as it can. hmemd gets the first
 * change, and the last state when the shortest window is over.
 */
static void test_memory_toggles(void)
{
    /*
     * The register for the part of the firmware's shadow that begins at HOLE.
     */
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

    /* Ranges wait, but the state does not; then time passes. */
    qpci_config_writeb(bridge, 0x5a, none);
    qpci_config_writeb(bridge, 0x5a, all);
    start_driver(&t);
    qtest_clock_step(t.qts, t.d->hello.min_window_ns);
    daemon_next_ranges(t.d);
    g_assert_cmphex(t.d->ranges[0].num, ==, HOLE + 2 * frames);
    daemon_barrier(t.d);

    /* The clock stands still with the guest, so ranges do not wait for it. */
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

/*
 * A tier has all memory of a virtio-mem device, plugged or not; none of an
 * NVDIMM.
 */
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
 * A running guest.  It writes memory, and on a flag ejects the device in the
 * middle of the device's work.
 */
#define EJECT_FLAG 0x1000
/* The value of the flag that the guest obeys, or has obeyed. */
#define EJECT_SEEN 0x1001

static char *write_bios(const Daemon *d)
{
    static const uint8_t code[] = {
        /* The timer stops: nobody reads what its interrupts make QEMU send. */
        0xb0, 0x30,                     /* mov al, 0x30 */
        0xe6, 0x43,                     /* out 0x43, al */
        0x31, 0xc0,                     /* xor ax, ax */
        0x8e, 0xd8,                     /* mov ds, ax */
        0x8e, 0xc0,                     /* mov es, ax */
        0xbf, 0x00, 0x20,               /* again: mov di, 0x2000 */
        0xb9, 0x00, 0x60,               /* mov cx, 0x6000 */
        0xf3, 0xab,                     /* rep stosw */
        0xa0, 0x00, 0x10,               /* mov al, [EJECT_FLAG] */
        0xa2, 0x01, 0x10,               /* mov [EJECT_SEEN], al */
        0x84, 0xc0,                     /* test al, al */
        0x74, 0xee,                     /* jz again */
        0x66, 0xb8, 1 << SLOT, 0, 0, 0, /* mov eax, 1 << SLOT */
        0xba, 0x08, 0xae,               /* mov dx, 0xae08 */
        0x66, 0xef,                     /* out dx, eax */
        0xeb, 0xe1,                     /* jmp again */
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

/* Answer this many ticks; 0: until the device disconnects. */
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
            /* The device may have disconnected meanwhile. */
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
 * Like qtest_qmp_eventwait(), but for a vCPU that never idles.  The test must
 * read the messages about its interrupts.  And the vCPU must stop, or it holds
 * the RCU read lock forever, and the device is never freed.
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
        /* Or the guest ejects the next device because of the old value. */
        while (qtest_readb(t.qts, EJECT_SEEN)) {
            g_usleep(1000);
        }
        qos_object_destroy((QOSGraphObject *)t.pci);
        t.pci = NULL;
        qtest_qmp_device_add(t.qts, "virtio-hmem-pci", "hmem0",
                             "{ 'chardev': 'hmemd', 'addr': '04.0' }");
    }
    unlink(bios);
    teardown(&t);
}

/* The same during a scan, with guest time that counts instructions. */
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

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
        { "config/hmat", test_config },
        { "config/online", test_config_online },
        { "config/online/refused", test_config_online_refused },
        { "config/features", test_config_features },
        { "config/features-late", test_config_features_late },
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
        { "memory/dimm", test_memory_dimm },
        { "memory/results", test_memory_results },
        { "memory/other", test_memory_other },
        { "memory/nested", test_memory_nested },
        { "memory/toggles", test_memory_toggles },
        { "eject", test_eject },
        { "eject/icount", test_eject_icount },
    };
    int i;

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
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
    return g_test_run();
}
