/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: code that its tests share.
 */

#include "qemu/osdep.h"
#include "virtio-hmem-common.h"

/*
 * hmemd
 */

static size_t maps_size(const Daemon *d)
{
    return HMEM_LINK_MAPS * d->hello.map_bytes;
}

Daemon *daemon_new(void)
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

void daemon_close(Daemon *d)
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

void daemon_free(Daemon *d)
{
    daemon_close(d);
    close(d->listener);
    unlink(d->path);
    rmdir(d->dir);
    g_free(d->path);
    g_free(d->dir);
    g_free(d);
}

void wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    g_assert_cmpint(poll(&p, 1, DEADLINE_MS), ==, 1);
}

bool daemon_read(Daemon *d, void *buf, size_t len, int *fd)
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

void *daemon_recv(Daemon *d, uint32_t type, uint32_t *len, int *fd)
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

void daemon_recv_to(Daemon *d, uint32_t type, void *to, uint32_t size)
{
    uint32_t len;
    g_autofree void *payload = daemon_recv(d, type, &len, NULL);

    g_assert_cmpint(len, ==, size);
    memcpy(to, payload, size);
}

void daemon_recv_state(Daemon *d, uint32_t flags)
{
    daemon_recv_to(d, HMEM_LINK_STATE, &d->state, sizeof(d->state));
    g_assert_cmphex(d->state.flags, ==, flags);
}

void daemon_send_raw(Daemon *d, const void *buf, size_t len)
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

void daemon_welcome(Daemon *d)
{
    const struct hmem_link_welcome welcome = {
        .magic = HMEM_LINK_MAGIC,
        .version = HMEM_LINK_VERSION,
    };

    daemon_send(d, HMEM_LINK_WELCOME, &welcome, sizeof(welcome));
}

void daemon_accept(Daemon *d)
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
    /* The seal keeps others from shrinking the maps while they are in use. */
    g_assert_cmpint(ftruncate(fd, 0), ==, -1);
    close(fd);

    ranges = daemon_recv(d, HMEM_LINK_RANGES, &len, NULL);
    d->num_ranges = len / sizeof(*ranges);
    g_assert_cmpint(d->num_ranges, <=, ARRAY_SIZE(d->ranges));
    g_assert_cmpint(len % sizeof(*ranges), ==, 0);
    memcpy(d->ranges, ranges, len);

    daemon_recv_to(d, HMEM_LINK_STATE, &d->state, sizeof(d->state));
}

void daemon_expect_drop(Daemon *d)
{
    char c;

    while (daemon_read(d, &c, 1, NULL)) {
        continue;
    }
}

struct virtio_hmem_hint hint(uint64_t gfn, uint8_t order, uint8_t tier)
{
    return (struct virtio_hmem_hint) {
        .gfn = cpu_to_le64(gfn),
        .order = order,
        .tier = tier,
    };
}

void daemon_hints(Daemon *d, uint64_t id,
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

void daemon_hint(Daemon *d, uint64_t id, uint64_t gfn, uint8_t order,
                 uint8_t tier)
{
    struct virtio_hmem_hint h = hint(gfn, order, tier);

    daemon_hints(d, id, &h, 1);
}

void daemon_recv_reject(Daemon *d, uint64_t id, uint32_t code,
                        uint32_t index)
{
    struct hmem_link_reject reject;

    daemon_recv_to(d, HMEM_LINK_REJECT, &reject, sizeof(reject));
    g_assert_cmpint(reject.id, ==, id);
    g_assert_cmpint(reject.code, ==, code);
    g_assert_cmpint(reject.hint, ==, index);
}

void daemon_barrier(Daemon *d)
{
    daemon_hint(d, UINT64_MAX, 1ull << 50, 0, 0);
    daemon_recv_reject(d, UINT64_MAX, d->state.flags & HMEM_LINK_DRIVER_OK ?
                       HMEM_LINK_REJECT_INVALID : HMEM_LINK_REJECT_NO_DRIVER,
                       0);
}

void daemon_track_with(Daemon *d, uint64_t window_ns, uint32_t tracker,
                       uint32_t flags)
{
    const struct hmem_link_track track = {
        .window_ns = window_ns,
        .tracker = window_ns ? tracker : 0,
        .flags = flags,
    };

    daemon_send(d, HMEM_LINK_TRACK, &track, sizeof(track));
}

void daemon_track_flags(Daemon *d, uint64_t window_ns, uint32_t flags)
{
    daemon_track_with(d, window_ns, HMEM_LINK_TRACKER_DIRTY, flags);
}

void daemon_track(Daemon *d, uint64_t window_ns)
{
    daemon_track_flags(d, window_ns, 0);
}

void daemon_tick_done(Daemon *d, uint64_t seq)
{
    const struct hmem_link_tick_done done = { .seq = seq };

    daemon_send(d, HMEM_LINK_TICK_DONE, &done, sizeof(done));
}

struct hmem_link_tick daemon_next_tick(Daemon *d, uint64_t seq,
                                       uint64_t window_ns)
{
    struct hmem_link_tick tick;

    daemon_recv_to(d, HMEM_LINK_TICK, &tick, sizeof(tick));
    g_assert_cmpint(tick.seq, ==, seq);
    g_assert_cmpint(tick.window_ns, ==, window_ns);
    return tick;
}

void daemon_recv_tick(Daemon *d, uint64_t seq, uint64_t window_ns,
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

uint64_t *accessed_map(Daemon *d)
{
    return d->map + map_words(d);
}

uint64_t *rearm_map(Daemon *d)
{
    return accessed_map(d) + map_words(d);
}

bool map_test(const uint64_t *map, uint64_t gfn)
{
    return qatomic_read(&map[gfn / 64]) >> gfn % 64 & 1;
}

void map_set(uint64_t *map, uint64_t gfn)
{
    qatomic_or(&map[gfn / 64], 1ull << gfn % 64);
}

void daemon_take(Daemon *d, uint64_t *map, const uint64_t *gfns, int num)
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

void daemon_take_all(Daemon *d)
{
    memset(d->map, 0, d->hello.map_bytes);
}

void daemon_take_map(Daemon *d, const uint64_t *gfns, int num)
{
    daemon_take(d, d->map, gfns, num);
}

/*
 * Machine
 */

QVirtioPCIDevice *find_device(QOSState *qs, int slot)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(slot, 0) };
    QVirtioPCIDevice *pci = virtio_pci_new(qs->pcibus, &addr);

    g_assert_nonnull(pci);
    g_assert_cmpint(pci->vdev.device_type, ==, VIRTIO_ID_HMEM);
    qvirtio_pci_device_enable(pci);
    qvirtio_start_device(&pci->vdev);
    return pci;
}

void setup_machine(Test *t, const char *extra)
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

void find_hmem(Test *t)
{
    t->pci = find_device(t->qs, SLOT);
    t->hmem = (QVirtioHMEM) {
        .refuse = t->hmem.refuse,
        .qts = t->qts,
        .alloc = &t->qs->alloc,
        .vdev = &t->pci->vdev,
    };
}

void setup(Test *t)
{
    setup_machine(t, "");
    find_hmem(t);
}

void start_driver(Test *t)
{
    qvirtio_hmem_start(&t->hmem);
    daemon_recv_state(t->d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
    g_assert_cmphex(t->d->state.features, ==,
                    t->pci->vdev.bus->get_guest_features(t->hmem.vdev));
    g_assert_true(t->d->state.features & (1ull << VIRTIO_HMEM_F_LARGE));
}

void move_driver(Test *from, Test *to)
{
    QVirtQueue *vqs[] = {
        from->hmem.hint_vq, from->hmem.result_vq, from->hmem.scan_vq,
        from->hmem.access_vq, from->hmem.resize_vq,
    };
    int i;

    to->pci = g_memdup2(from->pci, sizeof(*from->pci));
    to->pci->pdev = g_memdup2(from->pci->pdev, sizeof(*from->pci->pdev));
    to->pci->pdev->bus = to->qs->pcibus;
    migrate_allocator(&from->qs->alloc, &to->qs->alloc);
    to->hmem = from->hmem;
    to->hmem.qts = to->qts;
    to->hmem.alloc = &to->qs->alloc;
    to->hmem.vdev = &to->pci->vdev;
    for (i = 0; i < ARRAY_SIZE(vqs); i++) {
        if (vqs[i]) {
            vqs[i]->vdev = to->hmem.vdev;
        }
    }
}

void setup_driver(Test *t)
{
    setup(t);
    start_driver(t);
}

void teardown(Test *t)
{
    if (t->pci) {
        qos_object_destroy((QOSGraphObject *)t->pci);
    }
    qtest_shutdown(t->qs);
    daemon_free(t->d);
}

/* The state of the device; the caller drops the reference. */
static QDict *get_info(QTestState *qts)
{
    QDict *response = qtest_qmp(qts, "{ 'execute': 'query-virtio-hmem' }");
    QList *list = qdict_get_qlist(response, "return");
    QDict *info;

    g_assert_nonnull(list);
    g_assert_cmpint(qlist_size(list), ==, 1);
    info = qobject_ref(qobject_to(QDict, qlist_peek(list)));
    qobject_unref(response);
    return info;
}

uint64_t get_stat(QTestState *qts, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", 2);
    QDict *info = get_info(qts);
    QDict *stats = qdict_get_qdict(info, "stats");
    QDict *dict = names[1] ? qdict_get_qdict(stats, names[0]) : stats;
    uint64_t value;

    g_assert_nonnull(dict);
    value = qdict_get_int(dict, names[1] ?: names[0]);
    qobject_unref(info);
    return value;
}

void assert_connected(QTestState *qts, bool connected)
{
    QDict *info = get_info(qts);

    g_assert_cmpint(qdict_get_bool(info, "connected"), ==, connected);
    qobject_unref(info);
}

void assert_driver(QTestState *qts, const char *state)
{
    QDict *info = get_info(qts);

    g_assert_cmpstr(qdict_get_str(info, "driver-state"), ==, state);
    qobject_unref(info);
}

void assert_tracker(QTestState *qts, const char *tracker)
{
    QDict *info = get_info(qts);

    g_assert_cmpstr(qdict_get_str(info, "tracker"), ==, tracker);
    qobject_unref(info);
}

void assert_log(Test *t, bool on)
{
    QDict *info = get_info(t->qts);

    g_assert_cmpint(qdict_get_bool(info, "dirty-log"), ==, on);
    qobject_unref(info);
}

uint64_t get_outstanding(QTestState *qts)
{
    QDict *info = get_info(qts);
    uint64_t value = qdict_get_int(info, "outstanding");

    qobject_unref(info);
    return value;
}

/*
 * Driver
 */

uint64_t recv_hints(Test *t, uint64_t addr, uint32_t index,
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

uint64_t pass_hint(Test *t, uint64_t cookie, uint64_t gfn,
                   uint8_t order, uint8_t tier)
{
    struct virtio_hmem_hint h = hint(gfn, order, tier);
    uint32_t index = t->hmem.hint_vq->free_head;
    uint64_t addr = qvirtio_hmem_post(&t->hmem, 8192);

    daemon_hints(t->d, cookie, &h, 1);
    return recv_hints(t, addr, index, &h, 1);
}

void set_result(Results *m, int i, uint64_t gfn, uint64_t new_gfn,
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

void set_batch(Results *m, uint64_t id, uint32_t num, bool last)
{
    m->b = (struct virtio_hmem_result_batch) {
        .id = cpu_to_le64(id),
        .num_results = cpu_to_le32(num),
        .flags = cpu_to_le32(last ? VIRTIO_HMEM_RESULT_LAST : 0),
        .foreign_moves = cpu_to_le64(1234),
    };
}

uint32_t results_len(const Results *m)
{
    return sizeof(m->b) + le32_to_cpu(m->b.num_results) * sizeof(m->r[0]);
}

void send_results(Test *t, const Results *m)
{
    uint32_t index = t->hmem.result_vq->free_head;

    qvirtio_hmem_result(&t->hmem, m, results_len(m));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.result_vq, index,
                           NULL, DEADLINE_US);
}

void daemon_recv_results(Daemon *d, const Results *sent,
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

void expect_broken(Test *t)
{
    daemon_recv_state(t->d, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
    assert_driver(t->qts, "broken");
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

uint64_t register_addr(Test *t, uint64_t offset)
{
    return t->pci->bar.addr + t->pci->common_cfg_offset + offset;
}

void write_common16(Test *t, uint64_t offset, uint16_t value)
{
    qpci_io_writew(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset, value);
}

void write_common64(Test *t, uint64_t offset, uint64_t value)
{
    qpci_io_writel(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset, value);
    qpci_io_writel(t->pci->pdev, t->pci->bar,
                   t->pci->common_cfg_offset + offset + 4, value >> 32);
}

void write_config(Test *t, uint64_t offset, uint32_t value)
{
    QPCIDevice *pdev = t->pci->pdev;

    qpci_io_writel(pdev, t->pci->bar, t->pci->device_cfg_offset + offset,
                   value);
}

void set_online(Test *t, int tier, uint64_t bytes)
{
    write_config(t, ONLINE(tier), bytes);
    write_config(t, ONLINE(tier) + 4, bytes >> 32);
    qtest_clock_step(t->qts, 10 * MS);
    daemon_recv_state(t->d, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
}

void bad_send(Test *t, const Results *m)
{
    qvirtio_hmem_result(&t->hmem, m, results_len(m));
}

void touch(Test *t, uint64_t gfn)
{
    qtest_writeb(t->qts, (gfn << VIRTIO_HMEM_GFN_SHIFT) + 123, 1);
}

void daemon_next_ranges(Daemon *d)
{
    g_autofree void *ranges = NULL;
    uint32_t len;

    ranges = daemon_recv(d, HMEM_LINK_RANGES, &len, NULL);
    g_assert_cmpint(len, <=, sizeof(d->ranges));
    d->num_ranges = len / sizeof(d->ranges[0]);
    memcpy(d->ranges, ranges, len);
}

void daemon_recv_ranges(Daemon *d, uint32_t num)
{
    daemon_hint(d, UINT64_MAX, 1ull << 50, 0, 0);
    daemon_next_ranges(d);
    g_assert_cmpint(d->num_ranges, ==, num);
    daemon_recv_reject(d, UINT64_MAX, d->state.flags & HMEM_LINK_DRIVER_OK ?
                       HMEM_LINK_REJECT_INVALID : HMEM_LINK_REJECT_NO_DRIVER,
                       0);
}

struct virtio_hmem_frames frames_of(uint64_t gfn, uint64_t mask)
{
    return (struct virtio_hmem_frames) {
        .gfn = cpu_to_le64(gfn),
        .mask = cpu_to_le64(mask),
    };
}

ScanBuffer post_scan(Test *t, uint32_t len)
{
    ScanBuffer buffer = { .index = t->hmem.scan_vq->free_head };

    buffer.addr = qvirtio_hmem_post_scan(&t->hmem, len);
    return buffer;
}

uint64_t recv_scan(Test *t, ScanBuffer buffer, uint32_t flags,
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

static uint32_t written_flag(const Test *t)
{
    return t->hmem.refuse & 1ull << VIRTIO_HMEM_F_WRITTEN || t->accessed ? 0 :
        VIRTIO_HMEM_SCAN_WRITTEN;
}

uint32_t clear_flags(const Test *t)
{
    return VIRTIO_HMEM_SCAN_REARM_ALL | written_flag(t);
}

uint32_t collect_flags(const Test *t)
{
    return VIRTIO_HMEM_SCAN_REPORT | written_flag(t);
}

void set_report(Report *r, uint64_t id, uint32_t num, bool last)
{
    r->header = (struct virtio_hmem_access) {
        .id = cpu_to_le64(id),
        .num_frames = cpu_to_le32(num),
        .flags = cpu_to_le32(last ? VIRTIO_HMEM_ACCESS_LAST : 0),
    };
    r->cost = (struct virtio_hmem_cost) { };
}

void post_report(Test *t, const Report *r)
{
    const size_t frames = le32_to_cpu(r->header.num_frames) *
        sizeof(r->frames[0]);
    struct {
        struct virtio_hmem_access header;
        struct virtio_hmem_frames frames[ARRAY_SIZE(r->frames)];
    } without = { .header = r->header };

    if (t->hmem.refuse & 1ull << VIRTIO_HMEM_F_COST) {
        memcpy(without.frames, r->frames, frames);
        qvirtio_hmem_report(&t->hmem, &without, sizeof(r->header) + frames);
    } else {
        qvirtio_hmem_report(&t->hmem, r, REPORT_HEAD + frames);
    }
}

struct virtio_hmem_account some_account(void)
{
    return (struct virtio_hmem_account) {
        .tiers[0] = { .total = cpu_to_le64(100 * MiB),
                      .free = cpu_to_le64(3 * MiB),
                      .reserve = cpu_to_le64(2 * MiB) },
        .tiers[1] = { .total = cpu_to_le64(128 * MiB),
                      .free = cpu_to_le64(128 * MiB),
                      .reserve = cpu_to_le64(5 * MiB) },
        .entries = cpu_to_le64(1000),
        .skipped = cpu_to_le64(UINT64_MAX),
        .left_out = cpu_to_le64(7),
        .collapsed = cpu_to_le64(8),
    };
}

void post_account(Test *t, const Report *r,
                  const struct virtio_hmem_account *account, uint32_t len)
{
    const size_t before = REPORT_HEAD +
        le32_to_cpu(r->header.num_frames) * sizeof(r->frames[0]);
    g_autofree Report *buf = g_malloc(MAX(before + len, sizeof(*buf)));

    memcpy(buf, r, before);
    memcpy((char *)buf + before, account, len);
    buf->header.flags |= cpu_to_le32(VIRTIO_HMEM_ACCESS_ACCOUNT);
    qvirtio_hmem_report(&t->hmem, buf, before + len);
}

void send_account(Test *t, const Report *r,
                  const struct virtio_hmem_account *account)
{
    uint32_t index = t->hmem.access_vq->free_head;

    post_account(t, r, account, sizeof(*account));
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.access_vq, index,
                           NULL, DEADLINE_US);
}

void daemon_recv_account(Daemon *d, const struct virtio_hmem_account *sent)
{
    struct hmem_link_account got;
    int i;

    daemon_recv_to(d, HMEM_LINK_ACCOUNT, &got, sizeof(got));
    for (i = 0; i < HMEM_LINK_MAX_TIERS; i++) {
        const struct virtio_hmem_account_tier *tier = &sent->tiers[i];

        g_assert_cmpuint(got.tiers[i].total, ==, le64_to_cpu(tier->total));
        g_assert_cmpuint(got.tiers[i].free, ==, le64_to_cpu(tier->free));
        g_assert_cmpuint(got.tiers[i].reserve, ==, le64_to_cpu(tier->reserve));
    }
    g_assert_cmpuint(got.entries, ==, le64_to_cpu(sent->entries));
    g_assert_cmpuint(got.skipped, ==, le64_to_cpu(sent->skipped));
    g_assert_cmpuint(got.left_out, ==, le64_to_cpu(sent->left_out));
    g_assert_cmpuint(got.collapsed, ==, le64_to_cpu(sent->collapsed));
}

void send_report(Test *t, const Report *r)
{
    uint32_t index = t->hmem.access_vq->free_head;

    post_report(t, r);
    qvirtio_wait_used_elem(t->qts, t->hmem.vdev, t->hmem.access_vq, index,
                           NULL, DEADLINE_US);
}

void finish_scan(Test *t, uint64_t id)
{
    Report r;

    set_report(&r, id, 0, true);
    send_report(t, &r);
}

void daemon_track_gpt(Daemon *d, uint32_t flags)
{
    daemon_track_with(d, 10 * MS, HMEM_LINK_TRACKER_GPT, flags);
}

uint64_t clear_scan(Test *t)
{
    ScanBuffer buffer = post_scan(t, SCAN_BUFFER(256));
    uint64_t id = recv_scan(t, buffer, clear_flags(t) |
                            VIRTIO_HMEM_SCAN_LAST, NULL, 0);

    finish_scan(t, id);
    return id;
}

uint64_t rearm_scan(Test *t, const struct virtio_hmem_frames *rearm,
                    uint32_t num)
{
    ScanBuffer buffer = post_scan(t, SCAN_BUFFER(256));

    qtest_clock_step(t->qts, 10 * MS);
    return recv_scan(t, buffer, collect_flags(t) |
                     VIRTIO_HMEM_SCAN_LAST, rearm, num);
}

uint64_t collect_scan(Test *t)
{
    return rearm_scan(t, NULL, 0);
}

void gpt_tick_done(Test *t, uint64_t seq)
{
    daemon_tick_done(t->d, seq);
    daemon_hint(t->d, UINT64_MAX, END, 0, 0);
    daemon_recv_reject(t->d, UINT64_MAX, HMEM_LINK_REJECT_INVALID, 0);
}

void setup_gpt(Test *t, uint32_t flags)
{
    setup_driver(t);
    daemon_track_gpt(t->d, flags);
    t->accessed = flags & HMEM_LINK_TRACK_ACCESSED;
    clear_scan(t);
}

void recv_gpt_tick(Test *t, uint64_t seq, uint64_t window_ns,
                   uint64_t accessed)
{
    g_assert_cmpint(daemon_next_tick(t->d, seq, window_ns).accessed, ==,
                    accessed);
}

void bad_report_with(Test *t, uint64_t id, uint32_t num, uint32_t flags)
{
    Report r;

    set_report(&r, id, num, false);
    r.header.flags = cpu_to_le32(flags);
    r.frames[0] = frames_of(FAST, 1);
    post_report(t, &r);
}

/*
 * All tests
 */

void add_tests(const HmemTest *tests, int num)
{
    int i;

    for (i = 0; i < num; i++) {
        g_autofree char *name = g_strdup_printf("virtio-hmem/%s",
                                                tests[i].name);

        qtest_add_func(name, tests[i].func);
    }
}
