/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tests of hints and results: valid ones, faults of a guest, and
 * buffers that the guest has placed in the device's registers.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

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
    /* The device clears padding before the guest sees it. */
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
    /* The barrier comes after both hints, so the device has them. */
    daemon_hint(t.d, 3, END, 0, 0);
    daemon_recv_reject(t.d, 3, HMEM_LINK_REJECT_INVALID, 0);
    g_assert_cmpint(get_outstanding(t.qts), ==, 0);

    addr = qvirtio_hmem_post(&t.hmem, 8192);
    recv_hints(&t, addr, 0, &a, 1);
    addr = qvirtio_hmem_post(&t.hmem, 8192);
    recv_hints(&t, addr, 1, &b, 1);
    teardown(&t);
}

/* A batch that needs two buffers is finished when both are. */
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
    /* The device used both buffers before it notified the driver. */
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
        /* in the hole, behind the end, far away, and where sums overflow */
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

    /* A finished batch makes room. */
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

/* Two unfinished batches with the same id. */
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

    /* A large page that was split: two messages with three results. */
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

/* Only the bytes of a buffer matter, not how descriptors split it. */
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

/* hmemd has gone; the device accepts the guest's results all the same. */
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

    /* The id is free again, and the next message is about the new batch. */
    id = pass_hint(&t, 3, SLOW, 0, 0);
    set_batch(&m, id, 1, true);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 3, true);
    teardown(&t);
}

/*
 * hmemd does not read: the device disconnects, does not wait, and does not
 * grow.
 */
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
            /* libqos does not reuse descriptors: free the last one. */
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

/* Post the results with so many bytes of what a flag stands for behind them. */
static void post_behind(Test *t, const Results *m, uint32_t flags,
                        const void *data, uint32_t len)
{
    const uint32_t before = results_len(m);
    g_autofree Results *buf = g_malloc(MAX(before + len, sizeof(*buf)));

    memcpy(buf, m, before);
    memcpy((char *)buf + before, data, len);
    buf->b.flags |= cpu_to_le32(flags);
    qvirtio_hmem_result(&t->hmem, buf, before + len);
}

static void post_pauses(Test *t, const Results *m,
                        const struct virtio_hmem_pauses *pauses, uint32_t len)
{
    post_behind(t, m, VIRTIO_HMEM_RESULT_PAUSES, pauses, len);
}

/* The same, all of the pauses; and wait until the device has read them. */
static void send_pauses(Test *t, const Results *m,
                        const struct virtio_hmem_pauses *pauses)
{
    uint32_t index = t->hmem.result_vq->free_head;

    post_pauses(t, m, pauses, sizeof(*pauses));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.result_vq, index,
                           NULL, DEADLINE_US);
}

/* Check that hmemd is told these pauses. */
static void daemon_recv_pauses(Daemon *d, const struct virtio_hmem_pauses *sent)
{
    struct hmem_link_pauses got;
    int i;

    daemon_recv_to(d, HMEM_LINK_PAUSES, &got, sizeof(got));
    g_assert_cmpuint(got.sum_ns, ==, le64_to_cpu(sent->sum_ns));
    for (i = 0; i < VIRTIO_HMEM_PAUSE_BUCKETS; i++) {
        g_assert_cmpuint(got.pauses[i], ==, le64_to_cpu(sent->pauses[i]));
    }
}

/* The guest's counts of pauses reach hmemd, whatever they are. */
static void test_results_pauses(void)
{
    const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
    struct virtio_hmem_pauses pauses = { .sum_ns = cpu_to_le64(12345678) };
    Test t = { };
    Results m;
    int i;

    for (i = 0; i < VIRTIO_HMEM_PAUSE_BUCKETS; i++) {
        pauses.pauses[i] = cpu_to_le64(i ? 1ull << (2 * i) : UINT64_MAX);
    }
    setup_driver(&t);
    g_assert_true(t.d->state.features & 1ull << VIRTIO_HMEM_F_PAUSE);

    /* They come before the results; more results can follow. */
    set_batch(&m, pass_hint(&t, 5, SLOW, 1, 0), 1, false);
    set_result(&m, 0, SLOW, FAST, 0, VIRTIO_HMEM_R_MOVED);
    send_pauses(&t, &m, &pauses);
    daemon_recv_pauses(t.d, &pauses);
    daemon_recv_results(t.d, &m, 5, false);
    m.b.flags = cpu_to_le32(VIRTIO_HMEM_RESULT_LAST);
    set_result(&m, 0, SLOW + 1, FAST + 1, 0, VIRTIO_HMEM_R_MOVED);
    pauses.sum_ns = 0;
    send_pauses(&t, &m, &pauses);
    daemon_recv_pauses(t.d, &pauses);
    daemon_recv_results(t.d, &m, 5, true);
    g_assert_cmpint(get_stat(t.qts, "frames-by-reason.moved"), ==, 2);

    /* A driver need not tell them each time. */
    set_batch(&m, pass_hint(&t, 6, SLOW, 0, 0), 1, true);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    send_results(&t, &m);
    daemon_recv_results(t.d, &m, 6, true);

    /* An hmemd that is new is told what the last one knew. */
    daemon_close(t.d);
    daemon_accept(t.d);
    daemon_recv_pauses(t.d, &pauses);
    daemon_welcome(t.d);

    /* The pauses of a driver that has gone are not those of the next one. */
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    daemon_close(t.d);
    daemon_accept(t.d);
    g_assert_cmphex(t.d->state.flags, ==, running);
    daemon_welcome(t.d);
    daemon_barrier(t.d);
    teardown(&t);
}

/* Post the results with an account behind them; wait until they are read. */
static void send_results_account(Test *t, const Results *m,
                                 const struct virtio_hmem_account *account)
{
    uint32_t index = t->hmem.result_vq->free_head;

    post_behind(t, m, VIRTIO_HMEM_RESULT_ACCOUNT, account, sizeof(*account));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.result_vq, index,
                           NULL, DEADLINE_US);
}

/* The account comes after the results, if hmemd wants it. */
static void test_results_account(void)
{
    struct {
        struct virtio_hmem_pauses pauses;
        struct virtio_hmem_account account;
    } both = { .pauses.sum_ns = cpu_to_le64(5), .account = some_account() };
    struct virtio_hmem_account *a = &both.account;
    Test t = { };
    Results m;
    int i;

    setup_driver(&t);
    g_assert_true(t.d->state.features & 1ull << VIRTIO_HMEM_F_ACCOUNT);
    set_batch(&m, pass_hint(&t, 5, SLOW, 1, 0), 1, false);
    set_result(&m, 0, SLOW, FAST, 0, VIRTIO_HMEM_R_MOVED);
    send_results_account(&t, &m, a);
    daemon_recv_results(t.d, &m, 5, false);
    daemon_barrier(t.d);

    daemon_track_with(t.d, 10 * MS, HMEM_LINK_TRACKER_HOST,
                      HMEM_LINK_TRACK_ACCOUNT);
    daemon_barrier(t.d);
    m.b.flags = cpu_to_le32(VIRTIO_HMEM_RESULT_LAST);
    set_result(&m, 0, SLOW + 1, FAST + 1, 0, VIRTIO_HMEM_R_MOVED);
    send_results_account(&t, &m, a);
    daemon_recv_results(t.d, &m, 5, true);
    daemon_recv_account(t.d, a);

    /* Beside pauses; and a guest that lies: hmemd gets bounded numbers. */
    for (i = 0; i < VIRTIO_HMEM_MAX_TIERS; i++) {
        a->tiers[i] = (struct virtio_hmem_account_tier) {
            .total = cpu_to_le64(i == 1 ? 4096 : UINT64_MAX),
            .free = cpu_to_le64(UINT64_MAX),
            .reserve = cpu_to_le64(i == 1 ? 4097 : UINT64_MAX - 1),
        };
    }
    a->entries = cpu_to_le64(1);
    set_batch(&m, pass_hint(&t, 6, SLOW, 0, 0), 1, true);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_behind(&t, &m, VIRTIO_HMEM_RESULT_PAUSES | VIRTIO_HMEM_RESULT_ACCOUNT,
                &both, sizeof(both));
    daemon_recv_pauses(t.d, &both.pauses);
    daemon_recv_results(t.d, &m, 6, true);
    memset(a->tiers, 0, sizeof(a->tiers));
    a->tiers[0].total = cpu_to_le64(256 * MiB);
    a->tiers[0].free = cpu_to_le64(256 * MiB);
    a->tiers[0].reserve = cpu_to_le64(256 * MiB);
    a->tiers[1].total = cpu_to_le64(4096);
    a->tiers[1].free = cpu_to_le64(4096);
    a->tiers[1].reserve = cpu_to_le64(4096);
    daemon_recv_account(t.d, a);
    teardown(&t);
}

/*
 * Faults of a guest.  Each function sends wrong results, given the id of an
 * unfinished batch with a page of order 2 at SLOW.
 */

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

/* A driver could send such results without end. */
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
    m.b.flags = cpu_to_le32(8);
    bad_send(t, &m);
}

/* A flag that a driver may set that has negotiated VIRTIO_HMEM_F_PAUSE. */
static void bad_pauses(Test *t, uint64_t id)
{
    const struct virtio_hmem_pauses pauses = { };
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_pauses(t, &m, &pauses, sizeof(pauses));
}

static void bad_pauses_truncated(Test *t, uint64_t id)
{
    const struct virtio_hmem_pauses pauses = { };
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_pauses(t, &m, &pauses, sizeof(pauses) - 1);
}

/* A flag that a driver may set that has negotiated VIRTIO_HMEM_F_ACCOUNT. */
static void bad_account(Test *t, uint64_t id)
{
    const struct virtio_hmem_account account = some_account();
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_behind(t, &m, VIRTIO_HMEM_RESULT_ACCOUNT, &account, sizeof(account));
}

static void bad_account_truncated(Test *t, uint64_t id)
{
    const struct virtio_hmem_account account = some_account();
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_behind(t, &m, VIRTIO_HMEM_RESULT_ACCOUNT, &account,
                sizeof(account) - 1);
}

/* Room for one of the two only. */
static void bad_account_pauses(Test *t, uint64_t id)
{
    const struct virtio_hmem_pauses pauses = { };
    Results m;

    set_batch(&m, id, 1, false);
    set_result(&m, 0, SLOW, SLOW, 0, VIRTIO_HMEM_R_FREE);
    post_behind(t, &m, VIRTIO_HMEM_RESULT_PAUSES | VIRTIO_HMEM_RESULT_ACCOUNT,
                &pauses, sizeof(pauses));
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

/* Device-writable descriptors, on a queue that the device only reads. */
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

    /* A table whose size is not a multiple of a descriptor's. */
    qtest_writew(t->qts, vq->desc + 16 * head + 12, VRING_DESC_F_INDIRECT);
    qvirtqueue_kick(t->qts, t->hmem.vdev, vq, head);
}

static void bad_hint_buffer(Test *t, uint32_t len)
{
    /* The device looks at the buffer when it has hints. */
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

static const struct BadGuest bad_guests[] = {
    { "empty", bad_empty },
    { "no-results", bad_no_results },
    { "no-results-last", bad_no_results_last },
    { "short", bad_short },
    { "truncated", bad_truncated },
    { "num-wraps", bad_num_wraps },
    { "too-many", bad_too_many },
    { "flags", bad_flags },
    { "pauses", bad_pauses, VIRTIO_HMEM_F_PAUSE },
    { "pauses-truncated", bad_pauses_truncated },
    { "account", bad_account, VIRTIO_HMEM_F_ACCOUNT },
    { "account-truncated", bad_account_truncated },
    { "account-pauses", bad_account_pauses },
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

    /*
     * Both ids of hmemd are free again, and the device has forgotten the old
     * id.
     */
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

/* hmemd can tell a driver that was started anew from one that it knows. */
static void test_boot(void)
{
    Test t = { };
    uint32_t boot;

    setup_machine(&t, "");
    g_assert_cmphex(t.d->state.boot, ==, 0);
    teardown(&t);

    t = (Test) { };
    setup_driver(&t);
    boot = t.d->state.boot;
    g_assert_cmphex(boot, !=, 0);
    daemon_close(t.d);
    daemon_accept(t.d);
    g_assert_cmphex(t.d->state.boot, ==, boot);
    daemon_welcome(t.d);
    qvirtio_hmem_stop(&t.hmem);
    daemon_recv_state(t.d, HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t.d->state.boot, ==, 0);
    qvirtio_start_device(t.hmem.vdev);
    start_driver(&t);
    g_assert_cmphex(t.d->state.boot, !=, 0);
    g_assert_cmphex(t.d->state.boot, !=, boot);
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

/* Unplug and plug the device, with batches under way and tracking on. */
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
 * The guest can place a buffer or a ring in the device's own registers, so that
 * the device writes to itself.  Neither batches nor the driver's state may
 * change while the device uses them.
 */

/* More hints than fit into the smallest buffer. */
#define DMA_HINTS 300

/*
 * Post a buffer of @len bytes in memory, except @num bytes from @at on, which
 * are at another address.  Returns the address of the buffer.
 */
static uint64_t post_with_hole(Test *t, QVirtQueue *vq, uint32_t len,
                               uint32_t at, uint32_t num, uint64_t elsewhere)
{
    uint64_t addr = guest_alloc(t->hmem.alloc, len);
    uint32_t head = qvirtqueue_add(t->qts, vq, addr, at, true, true);
    int i;

    qvirtqueue_add(t->qts, vq, elsewhere, num, true, true);
    qvirtqueue_add(t->qts, vq, addr + at + num, len - at - num, true, false);
    /* libqos does not link the descriptors. */
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

/* Check that the driver's state has not changed, and that the device works. */
static void check_untouched(Test *t)
{
    g_assert_cmphex(t->hmem.vdev->bus->get_status(t->hmem.vdev), ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                    VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    assert_driver(t->qts, "ok");
    daemon_hint(t->d, UINT64_MAX, END, 0, 0);
    daemon_recv_reject(t->d, UINT64_MAX, HMEM_LINK_REJECT_INVALID, 0);
}

/*
 * The first byte of each buffer's first hint, the lowest byte of @gfn, is
 * written to the device's status.
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

    /* A driver that starts finds no old state. */
    t.hmem.vdev->bus->set_status(t.hmem.vdev, 0xf);
    for (i = 0; i < 2; i++) {
        const size_t len = HINT_BUFFER(num[i]);
        g_autofree uint8_t *got = g_malloc(len);
        Results m;

        qtest_memread(t.qts, addr[i], got, len);
        /* The bytes at the other address are missing here. */
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

/* The same with a scan request: the mask of its first entry is written. */
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
    /* Two buffers were used before. */
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
 * The used ring is placed so that the first entry's id, which is the index of
 * the buffer, is written to the device's status.
 */
static void move_used_ring(Test *t, QVirtQueue *vq)
{
    vq->used = register_addr(t, COMMON(device_status)) -
        offsetof(struct vring_used, ring);
    t->hmem.vdev->bus->queue_select(t->hmem.vdev, vq->index);
    /* The ring must end before the registers do. */
    write_common16(t, COMMON(queue_size), 64);
    write_common64(t, COMMON(queue_used_lo), vq->used);
    write_common16(t, COMMON(queue_enable), 1);
}

/* Do without libqos, which would read the used ring. */
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
 * The guard of the device does not cover configuration space: here the first
 * hint's GFN is written to a register there, of the device or of its port.
 */

#define ECAM 0xb0000000u
#define PORT 5

/* A PCIe port with the device, on bus 1. */
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
    /* Map the configuration space of all devices into memory. */
    qpci_config_writel(mch, 0x64, 0);
    qpci_config_writel(mch, 0x60, ECAM | 1);
    g_free(mch);
    port = qpci_device_find(t->qs->pcibus, QPCI_DEVFN(PORT, 0));
    qpci_config_writel(port, PCI_PRIMARY_BUS, 0x010100);
    /* A window of 16 MiB, where libqos puts BARs. */
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

/* Two buffers, so that the device could continue after the first. */
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
    assert_driver(t.qts, "none");
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
 * However many buffers the guest posts, QEMU's main loop gets its turns: other
 * messages of hmemd are answered in between.  The host decides the order, so
 * try several times.
 */
static void test_passes(void)
{
    enum { RESULTS = 300, REJECTS = 500, TRIES = 100 };
    /* So many frames that results never end. */
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
    assert_driver(t.qts, "ok");
    teardown(&t);
}

int main(int argc, char **argv)
{
    static const HmemTest tests[] = {
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
        { "results/pauses", test_results_pauses },
        { "results/account", test_results_account },
        { "reset/device", test_reset },
        { "reset/boot", test_boot },
        { "reset/system", test_system_reset },
        { "unplug", test_unplug },
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
    };
    int i;

    g_test_init(&argc, &argv, NULL);
    add_tests(tests, ARRAY_SIZE(tests));
    for (i = 0; i < ARRAY_SIZE(bad_guests); i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/guest/bad/%s",
                                                bad_guests[i].name);

        qtest_add_data_func(name, &bad_guests[i], test_bad_guest);
    }
    return g_test_run();
}
