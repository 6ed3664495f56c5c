/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tests of the device in QEMU's monitor.  The other tests use the
 * counters of the query.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

/* In this time, QEMU sends one event of a kind. */
#define EVENT_NS (1000 * MS)

/* A register of ACPI: the guest lets go of devices of the PCI bus. */
#define EJECT 0xae08

/*
 * Query
 */

static QList *query(QTestState *qts)
{
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-virtio-hmem' }");
    QList *list = qobject_ref(qdict_get_qlist(response, "return"));

    g_assert_nonnull(list);
    qobject_unref(response);
    return list;
}

static void test_query_none(void)
{
    QTestState *qts = qtest_init("-machine none");
    g_autofree char *text = qtest_hmp(qts, "info virtio-hmem");
    QList *list = query(qts);

    g_assert_true(qlist_empty(list));
    g_assert_cmpstr(text, ==, "");
    qobject_unref(list);
    qtest_quit(qts);
}

static void assert_tier(const QListEntry *entry, int node, const char *kind,
                        uint64_t minimum, uint64_t requested)
{
    const QDict *tier = qobject_to(QDict, qlist_entry_obj(entry));

    g_assert_cmpint(qdict_get_int(tier, "node"), ==, node);
    g_assert_cmpstr(qdict_get_str(tier, "kind"), ==, kind);
    g_assert_cmpint(qdict_get_int(tier, "size"), ==, 128 * MiB);
    g_assert_cmpint(qdict_get_int(tier, "minimum"), ==, minimum);
    g_assert_cmpint(qdict_get_int(tier, "requested"), ==, requested);
    /* There is no driver that gives memory up. */
    g_assert_cmpint(qdict_get_int(tier, "actual"), ==, 128 * MiB);
}

static void test_query(void)
{
    Daemon *d = daemon_new();
    QTestState *qts = qtest_initf(
        MACHINE " -chardev socket,id=c,path=%s,reconnect-ms=20"
        " -device '{\"driver\":\"virtio-hmem\",\"id\":\"hmem0\","
        "\"chardev\":\"c\",\"kinds\":[\"dram\",\"cxl\"],"
        "\"initial\":\":96M\",\"minimum\":\"32M:64M\"}'", d->path);
    const QListEntry *entry;
    const QDict *info;
    QList *list;
    char *text;

    daemon_accept(d);
    list = query(qts);
    g_assert_cmpint(qlist_size(list), ==, 1);
    info = qobject_to(QDict, qlist_peek(list));
    g_assert_cmpstr(qdict_get_str(info, "id"), ==, "hmem0");
    g_assert_cmpstr(qdict_get_str(info, "qom-path"), ==, DEVICE_PATH);
    /* hmemd has not answered yet. */
    g_assert_false(qdict_get_bool(info, "connected"));
    g_assert_cmpstr(qdict_get_str(info, "driver-state"), ==, "none");
    g_assert_cmpint(qdict_get_int(info, "outstanding"), ==, 0);
    g_assert_cmpstr(qdict_get_str(info, "tracker"), ==, "none");
    g_assert_false(qdict_get_bool(info, "dirty-log"));
    entry = qlist_first(qdict_get_qlist(info, "tiers"));
    assert_tier(entry, 0, "dram", 32 * MiB, 128 * MiB);
    entry = qlist_next(entry);
    assert_tier(entry, 1, "cxl", 64 * MiB, 96 * MiB);
    g_assert_null(qlist_next(entry));
    qobject_unref(list);

    text = qtest_hmp(qts, "info virtio-hmem");
    g_assert_nonnull(strstr(text, "virtio-hmem \"hmem0\""));
    g_assert_nonnull(strstr(text, "hmemd: not connected, 1 connections"));
    g_assert_nonnull(strstr(text, "driver: none"));
    g_assert_nonnull(strstr(text, "tier 1: node 1, cxl, 128 of 128 MiB, "
                            "requested 96 MiB, minimum 64 MiB"));
    g_free(text);

    qtest_quit(qts);
    daemon_free(d);
}

/*
 * Events
 */

static QDict *next_event(Test *t, const char *name)
{
    QDict *event = qtest_qmp_eventwait_ref(t->qts, name);
    QDict *data = qobject_ref(qdict_get_qdict(event, "data"));

    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "hmem0");
    g_assert_cmpstr(qdict_get_str(data, "qom-path"), ==, DEVICE_PATH);
    qobject_unref(event);
    return data;
}

static void expect_connection(Test *t, bool connected)
{
    QDict *data = next_event(t, "VIRTIO_HMEM_CONNECTION_CHANGE");

    g_assert_cmpint(qdict_get_bool(data, "connected"), ==, connected);
    qobject_unref(data);
}

static void expect_driver(Test *t, const char *state)
{
    QDict *data = next_event(t, "VIRTIO_HMEM_DRIVER_CHANGE");

    g_assert_cmpstr(qdict_get_str(data, "state"), ==, state);
    qobject_unref(data);
}

static void reconnect(Test *t)
{
    daemon_accept(t->d);
    daemon_welcome(t->d);
    daemon_barrier(t->d);
}

static void test_event_connection(void)
{
    Test t = { };

    setup(&t);
    expect_connection(&t, true);
    qtest_clock_step(t.qts, EVENT_NS);
    daemon_close(t.d);
    expect_connection(&t, false);

    /* A second event within the time comes at its end, and is the last one. */
    reconnect(&t);
    daemon_close(t.d);
    /* Connected, but not before WELCOME. */
    daemon_accept(t.d);
    daemon_close(t.d);
    daemon_accept(t.d);
    qtest_clock_step(t.qts, EVENT_NS);
    expect_connection(&t, false);
    qtest_clock_step(t.qts, EVENT_NS);
    daemon_welcome(t.d);
    expect_connection(&t, true);
    teardown(&t);
}

static void test_event_driver(void)
{
    Results m = { };
    Test t = { };

    setup_driver(&t);
    expect_driver(&t, "ok");
    qtest_clock_step(t.qts, EVENT_NS);

    set_batch(&m, 77, 1, true);
    set_result(&m, 0, FAST, FAST, 0, VIRTIO_HMEM_R_FREE);
    bad_send(&t, &m);
    expect_driver(&t, "broken");
    qtest_clock_step(t.qts, EVENT_NS);

    /* Clears the state, and starts the driver: one event, and one later. */
    expect_broken(&t);
    expect_driver(&t, "none");
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    qtest_clock_step(t.qts, EVENT_NS);
    expect_driver(&t, "none");
    teardown(&t);
}

static void test_event_unplug(void)
{
    Test t = { };

    setup_driver(&t);
    expect_connection(&t, true);
    expect_driver(&t, "ok");
    qtest_clock_step(t.qts, EVENT_NS);
    qtest_qmp_device_del_send(t.qts, "hmem0");
    qtest_outl(t.qts, EJECT, 1 << SLOT);
    expect_driver(&t, "none");
    expect_connection(&t, false);
    qtest_qmp_eventwait(t.qts, "DEVICE_DELETED");
    teardown(&t);
}

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
        { "query/none", test_query_none },
        { "query/state", test_query },
        { "event/connection", test_event_connection },
        { "event/driver", test_event_driver },
        { "event/unplug", test_event_unplug },
    };

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
    return g_test_run();
}
