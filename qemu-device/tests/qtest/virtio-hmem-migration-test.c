/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tests of live migration.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

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

/*
 * A twin of the machine, with an hmemd of its own, which waits for its state.
 */
static void setup_target(Test *to, const char *uri)
{
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);

    setup_machine(to, incoming);
    g_assert_cmphex(to->d->state.flags, ==, 0);
}

static void start_migration(Test *from, const char *uri)
{
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': %s } }", uri);
}

static void load_migration(QTestState *to, const char *uri)
{
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s,"
                             " 'exit-on-error': false } }", uri);
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

    /*
     * One batch is half answered, one untouched; and a buffer is left for the
     * target.
     */
    id[0] = pass_hint(&from, 1, SLOW, 1, 0);
    id[1] = pass_hint(&from, 2, FAST, 0, 1);
    set_batch(&m, id[0], 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    send_results(&from, &m);
    daemon_recv_results(from.d, &m, 1, false);
    index = from.hmem.hint_vq->free_head;
    addr = qvirtio_hmem_post(&from.hmem, 8192);

    /* Migrate slowly, so that the test can observe the migration. */
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

    /* The target's device knows the batches, its hmemd does not. */
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

    /* Results on the source still count. */
    set_batch(&m, id[0], 1, true);
    bad_send(&to, &m);
    daemon_recv_state(to.d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    teardown(&to);
    teardown(&from);
}

/* The driver's report of a scan goes on on the target, which drops it. */
static void migrate_in_scan(bool within)
{
    const uint32_t flags = VIRTIO_HMEM_SCAN_REPORT | VIRTIO_HMEM_SCAN_LOOK |
        VIRTIO_HMEM_SCAN_REARM_ALL | VIRTIO_HMEM_SCAN_LAST;
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    ScanBuffer buffer;
    uint64_t id;
    Report r;

    setup_gpt(&from, within ? HMEM_LINK_TRACK_ACCESSED |
              HMEM_LINK_TRACK_WITHIN : 0);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    if (within) {
        buffer = post_scan(&from, SCAN_BUFFER(256));
        qtest_clock_step(from.qts, 10 * MS);
        id = recv_scan(&from, buffer, flags, NULL, 0);
    } else {
        id = collect_scan(&from);
    }
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

static void test_migration_scan(void)
{
    migrate_in_scan(false);
}

static void test_migration_scan_within(void)
{
    migrate_in_scan(true);
}

/* The driver answers on the target, whose hmemd wants the answer. */
static void test_migration_account(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    struct virtio_hmem_account account = some_account();
    Test from = { }, to = { };
    g_autofree char *uri = NULL;
    ScanBuffer buffer;
    uint64_t id;
    Report r;

    setup_driver(&from);
    uri = g_strdup_printf("unix:%s/migration", from.d->dir);
    setup_target(&to, uri);
    buffer = post_scan(&from, SCAN_BUFFER(256));
    daemon_track_with(from.d, 10 * MS, HMEM_LINK_TRACKER_HOST,
                      HMEM_LINK_TRACK_ACCOUNT);
    daemon_barrier(from.d);
    qtest_clock_step(from.qts, 10 * MS);
    id = recv_scan(&from, buffer, VIRTIO_HMEM_SCAN_ACCOUNT |
                   VIRTIO_HMEM_SCAN_LAST, NULL, 0);
    start_migration(&from, uri);
    qtest_qmp_eventwait(to.qts, "RESUME");
    move_driver(&from, &to);
    daemon_recv_state(to.d, running);
    daemon_track_with(to.d, 10 * MS, HMEM_LINK_TRACKER_HOST,
                      HMEM_LINK_TRACK_ACCOUNT);
    daemon_barrier(to.d);
    set_report(&r, id, 0, true);
    send_account(&to, &r, &account);
    daemon_recv_account(to.d, &account);
    teardown(&to);
    teardown(&from);
}

/* Migration in the middle of the reports of written frames. */
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

/* A cancelled migration changes nothing. */
static void test_migration_cancel(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    struct virtio_hmem_hint h = hint(FAST, 0, 1);
    g_autofree char *uri = NULL;
    Test from = { };
    uint64_t addr;

    setup_driver(&from);
    uri = g_strdup_printf("file:%s/migration", from.d->dir);
    /*
     * The batch waits for a buffer, and gets none before the migration has
     * ended.
     */
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

/*
 * COLO keeps a migration running for good, so it is refused, and the device
 * goes on.
 */
static void test_migration_colo(void)
{
    g_autofree char *uri = NULL;
    QDict *response, *info;
    Test t = { };

    setup_driver(&t);
    response = qtest_qmp(t.qts, "{ 'execute': 'migrate-set-capabilities',"
                         " 'arguments': { 'capabilities': [ { 'capability':"
                         " 'x-colo', 'state': true } ] } }");
    if (qdict_haskey(response, "error")) {
        g_test_skip("QEMU was built without replication");
    } else {
        uri = g_strdup_printf("file:%s/migration", t.d->dir);
        start_migration(&t, uri);
        wait_migration(t.qts, "failed");
        info = qtest_qmp(t.qts, "{ 'execute': 'query-migrate' }");
        g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(info, "return"),
                                              "error-desc"),
                                "does not support COLO"));
        qobject_unref(info);
        unlink(uri + strlen("file:"));
        pass_hint(&t, 1, SLOW, 1, 0);
    }
    qobject_unref(response);
    teardown(&t);
}

/* HMAT, with these numbers for tier 0 (read and write) and tier 1 (read). */
#define TIERS(latency0, latency1, bandwidth0, bandwidth1)                   \
    "-machine pc,hmat=on" NODES NUMA                                        \
    LB(0, "access-latency", "latency=" latency0)                            \
    LB(1, "read-latency", "latency=" latency1)                              \
    LB(1, "write-latency", "latency=500")                                   \
    LB(0, "access-bandwidth", "bandwidth=" bandwidth0)                      \
    LB(1, "read-bandwidth", "bandwidth=" bandwidth1)                        \
    LB(1, "write-bandwidth", "bandwidth=2G")

/*
 * The guest would not notice that its device has become another one, so QEMU
 * must refuse, and say what differs.
 */
static const struct Mismatch {
    const char *name, *machine, *device, *says;
} mismatches[] = {
    { "order", TIERS("600", "300", "20G", "6G"), "",
      "tier 0 changed from" },
    { "kinds", MACHINE, ",\"kinds\":[\"dram\",\"cxl\"]",
      "the kind of tier 1 differs" },
    { "latency", TIERS("80", "310", "20G", "6G"), "",
      "the read latency of tier 1 differs" },
    { "bandwidth", TIERS("80", "300", "21G", "6G"), "",
      "the read bandwidth of tier 0 differs" },
    { "access", MACHINE, ",\"access\":false", "Features 0x" },
    { "resize", MACHINE, ",\"resize\":false",
      "sizes of a device with resize=on" },
};

static void test_migration_mismatch(void)
{
    Test from = { };
    g_autofree char *path = NULL, *uri = NULL, *log = NULL;
    int i;

    setup_driver(&from);
    path = g_strdup_printf("%s/migration", from.d->dir);
    log = g_strdup_printf("%s/log", from.d->dir);
    uri = g_strdup_printf("file:%s", path);
    set_bandwidth(from.qts, 1ull << 40);
    start_migration(&from, uri);
    wait_migration(from.qts, "completed");
    for (i = 0; i < ARRAY_SIZE(mismatches); i++) {
        const struct Mismatch *m = &mismatches[i];
        g_autofree char *said = NULL;
        QTestState *to;

        g_test_message("%s", m->name);
        to = qtest_initf("%s -device '{\"driver\":\"virtio-hmem\","
                         "\"id\":\"hmem0\",\"addr\":\"%d\"%s}'"
                         " -incoming defer 2>%s", m->machine, SLOT, m->device,
                         log);
        load_migration(to, uri);
        wait_migration(to, "failed");
        qtest_quit(to);
        g_assert_true(g_file_get_contents(log, &said, NULL, NULL));
        if (!strstr(said, m->says)) {
            g_error("%s: expected '%s': %s", m->name, m->says, said);
        }
    }
    unlink(log);
    unlink(path);
    teardown(&from);
}

/* The number of frames of guest memory that were sent; repeats count. */
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
 * A machine is not tracked during migration.  If hmemd asks for tracking, it
 * begins afterwards.  Tracking makes no frame be sent twice, and no frame is
 * missing.
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
    assert_tracker(from.qts, "none");
    wait_migration(from.qts, "active");

    /* No window ends or begins. */
    qtest_clock_step(from.qts, MS);
    daemon_track(from.d, 0);
    daemon_track(from.d, 2 * MS);
    daemon_hint(from.d, 1, FAST, 0, 1);
    daemon_recv_reject(from.d, 1, HMEM_LINK_REJECT_MIGRATING, 0);
    assert_tracker(from.qts, "none");
    qtest_clock_step(from.qts, 2 * MS);

    /* All of memory has been sent once, and nothing is left to send. */
    set_bandwidth(from.qts, 1ull << 40);
    wait_migration(from.qts, "pre-switchover");
    daemon_recv_state(from.d, HMEM_LINK_DRIVER_OK | HMEM_LINK_MIGRATING);
    sent = frames_sent(from.qts);
    /* The firmware was sent as well. */
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
    assert_tracker(from.qts, "dirty");
    teardown(&to);
    teardown(&from);
}

/*
 * The device's state in a migration stream: a description of the tiers, which
 * is unique in the stream, then the batches.  All numbers are big-endian.
 */
#define STREAM_TIERS (4 + VIRTIO_HMEM_MAX_TIERS * (4 + 8))
#define STREAM_NEXT STREAM_TIERS
#define STREAM_NUM (STREAM_NEXT + 8)
#define STREAM_PARTS (STREAM_NUM + 4)
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

/* The state of the scan: its fields follow the name and a version. */
static uint8_t *find_scan(uint8_t *stream, size_t len)
{
    static const char name[] = "virtio-hmem-device/access";
    uint8_t *found = memmem(stream, len, name, strlen(name));

    g_assert_nonnull(found);
    return found + strlen(name) + 4;
}

/*
 * A field to change, in a stream with two batches of one frame each, and a
 * scan.
 */
static const struct BadStream {
    const char *name;
    /* The field belongs to the scan, or to the tiers and batches. */
    bool scan;
    uint32_t offset;
    /* Size in bytes; 0: change nothing, and the stream is valid. */
    uint32_t len;
    uint64_t value;
} bad_streams[] = {
    { "good" },
    { "tiers", false, 0, 4, 3 },
    { "tiers-many", false, 0, 4, UINT32_MAX },
    { "pxm", false, 8, 4, 2 },
    { "size", false, 4 + 4 * VIRTIO_HMEM_MAX_TIERS, 8, 4096 },
    { "next-zero", false, STREAM_NEXT, 8, 0 },
    { "next-last", false, STREAM_NEXT, 8, UINT64_MAX },
    { "next-early", false, STREAM_NEXT, 8, 2 },
    { "batches-many", false, STREAM_NUM, 4, UINT32_MAX },
    { "batches-less", false, STREAM_NUM, 4, 1 },
    { "batch-late", false, STREAM_PARTS, 8, 1000 },
    { "batch-free", false, STREAM_PARTS, 8, 0 },
    { "batch-twice", false, STREAM_PARTS + STREAM_PART, 8, 1 },
    { "frames-none", false, STREAM_PARTS + 8, 8, 0 },
    { "frames-many", false, STREAM_PARTS + 8, 8, UINT64_MAX },
    { "answered", false, STREAM_PARTS + 16, 8, 2 },
    { "scan-next-zero", true, 0, 8, 0 },
    { "scan-next-last", true, 0, 8, UINT64_MAX },
    { "scan-next-early", true, 0, 8, 2 },
    { "scan-late", true, 8, 8, UINT64_MAX },
    { "scan-flags", true, 16, 4, UINT32_MAX },
    { "scan-no-flags", true, 16, 4, 0 },
    { "scan-both", true, 16, 4, VIRTIO_HMEM_SCAN_REPORT |
                                VIRTIO_HMEM_SCAN_REARM_ALL },
    { "scan-account", true, 16, 4, VIRTIO_HMEM_SCAN_ACCOUNT |
                                   VIRTIO_HMEM_SCAN_WRITTEN },
    { "scan-not-written", true, 16, 4, VIRTIO_HMEM_SCAN_REPORT },
    { "scan-gfn", true, 21, 8, 63 },
};

/* An attacker can write the stream: each wrong field is refused. */
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
        load_migration(to, uri);
        wait_migration(to, bad->len ? "failed" : "completed");
        qtest_quit(to);
    }
    unlink(path);
    teardown(&from);
}

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
        { "migration/live", test_migration },
        { "migration/scan", test_migration_scan },
        { "migration/scan-within", test_migration_scan_within },
        { "migration/written", test_migration_written },
        { "migration/account", test_migration_account },
        { "migration/online", test_migration_online },
        { "migration/cancel", test_migration_cancel },
        { "migration/colo", test_migration_colo },
        { "migration/mismatch", test_migration_mismatch },
        { "migration/track", test_migration_track },
        { "migration/stream", test_migration_stream },
    };

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
    return g_test_run();
}
