/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzing target for virtio-hmem.
 *
 * The device is between a guest's driver and hmemd, and trusts neither.  So an
 * input is a program for both: each of its steps is an action of the guest, of
 * hmemd, or of the machine.  The steps build messages that are nearly right,
 * with ids that the device has given out: the generic fuzzer cannot know those,
 * and it has no hmemd.
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/pci.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "hw/virtio/virtio-hmem.h"
#include "standard-headers/linux/virtio_pci.h"
#include "chardev/char.h"
#include "io/channel-buffer.h"
#include "migration/vmstate.h"
#include "migration/qemu-file.h"
#include "system/runstate.h"
#include "tests/qtest/libqtest.h"
#include "tests/qtest/libqos/libqos-malloc.h"
#include "tests/qtest/libqos/malloc-pc.h"
#include "tests/qtest/libqos/pci-pc.h"
#include "tests/qtest/libqos/virtio-hmem.h"
#include "fuzz.h"

#define SLOT 4

/* Buffers are in the memory of tier 0, one after the other; then again. */
#define BUFFERS (16 * MiB)
#define BUFFER_SIZE (64 * KiB)
#define NUM_BUFFERS 128

/*
 * The registers of q35's host bridge that change what the guest's memory is.
 * Those behind them can be locked until the machine is reset.
 */
#define MCH_PAM 0x90
#define MCH_NUM_PAM 7

/*
 * What takes many times as long as other steps, because all memory regions are
 * mapped anew, is done in few of the steps that could: then an execution takes
 * half of the time.
 */
#define MAX_PAM_CHANGES 2
#define SELDOM 0xf0

/* The steps: the first byte of each, modulo their number. */
enum {
    /* of the guest */
    STEP_POST_HINTS,
    STEP_POST_SCAN,
    STEP_RESULTS,
    STEP_REPORT,
    STEP_RESIZE,
    STEP_CONFIG,
    STEP_PCI_CONFIG,
    STEP_TOUCH,
    STEP_GUEST_RAW,
    STEP_START,
    STEP_STOP,
    /* of hmemd */
    STEP_HINTS,
    STEP_TRACK,
    STEP_TICK_DONE,
    STEP_REQUEST,
    STEP_LINK_RAW,
    STEP_CONNECT,
    /* of the machine */
    STEP_CLOCK,
    STEP_SNAPSHOT,
    STEP_PAUSE,
    STEP_UNPLUG,
    NUM_STEPS
};

/* The rest of the input; behind its end there are zeros. */
typedef struct Input {
    const uint8_t *data;
    size_t len;
} Input;

static VirtIOHMEM *device;
static QPCIBus *pci_bus;
static QVirtioPCIDevice *pci;
static QGuestAllocator allocator;
static QVirtioHMEM guest;
static unsigned int next_buffer;
/*
 * The registers' values at first.  To reset the machine after each input takes
 * as long as most inputs, because all memory regions are mapped anew.
 */
static uint8_t pam[MCH_NUM_PAM];
static unsigned int pam_changes;
/* This input has unplugged the device. */
static bool unplugged;
/*
 * The machine can be reset.  After a state of the device was loaded that does
 * not come from this machine, the bus may not know the level of its interrupt,
 * and asserts that it does.
 */
static bool can_reset = true;
/* The state that is loaded ends too early. */
static bool cut;
/* hmemd's end of the link; -1: not connected. */
static int link_fd = -1;

static void find_fuzzed(void)
{
    device = VIRTIO_HMEM(object_resolve_path_type("", TYPE_VIRTIO_HMEM, NULL));
}

static uint64_t take(Input *in, size_t bytes)
{
    uint64_t value = 0;
    size_t n = MIN(bytes, in->len);

    if (n == 0) {
        return 0;
    }
    memcpy(&value, in->data, n);
    in->data += n;
    in->len -= n;
    return le64_to_cpu(value);
}

/* Frames of both tiers, and some that are none. */
static uint64_t take_gfn(Input *in)
{
    uint64_t gfn = take(in, 2);

    return gfn == UINT16_MAX ? take(in, 8) : gfn;
}

/*
 * hmemd
 */

static socklen_t link_address(struct sockaddr_un *addr)
{
    int n;

    /* An abstract name goes with the process. */
    *addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
    n = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1,
                 "virtio-hmem-fuzz-%d", (int)getpid());
    return offsetof(struct sockaddr_un, sun_path) + 1 + n;
}

static void link_close(QTestState *s)
{
    if (link_fd >= 0) {
        close(link_fd);
        link_fd = -1;
        flush_events(s);
    }
}

/* Read what the device has sent, so that the link does not fill up. */
static void link_drain(QTestState *s)
{
    uint8_t buf[4096];
    ssize_t n;

    if (link_fd < 0) {
        return;
    }
    do {
        n = recv(link_fd, buf, sizeof(buf), MSG_DONTWAIT);
    } while (n > 0);
    if (n == 0 || errno != EAGAIN) {
        link_close(s);
    }
}

static void link_send_raw(const void *data, size_t len)
{
    if (link_fd >= 0) {
        ssize_t ignored = send(link_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        (void)ignored;
    }
}

static void link_send(uint32_t type, const void *payload, uint32_t len)
{
    const struct hmem_link_header header = { .type = type, .len = len };

    link_send_raw(&header, sizeof(header));
    link_send_raw(payload, len);
}

static void link_welcome(void)
{
    const struct hmem_link_welcome welcome = {
        .magic = HMEM_LINK_MAGIC,
        .version = HMEM_LINK_VERSION,
    };

    link_send(HMEM_LINK_WELCOME, &welcome, sizeof(welcome));
}

static void link_connect(QTestState *s)
{
    struct sockaddr_un addr;
    socklen_t len = link_address(&addr);

    link_close(s);
    link_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(link_fd, >=, 0);
    g_assert_cmpint(connect(link_fd, (void *)&addr, len), ==, 0);
    flush_events(s);
}

static void hmemd_hints(Input *in)
{
    const uint64_t cookie = take(in, 1);
    const uint8_t count = take(in, 1);
    const uint32_t num = count >= 0xf0 ? HMEM_LINK_MAX_HINTS : 1 + count % 16;
    const size_t len = sizeof(struct virtio_hmem_hint_batch) +
        num * sizeof(struct virtio_hmem_hint);
    g_autofree struct virtio_hmem_hint_batch *batch = g_malloc0(len);
    uint32_t i;

    batch->id = cpu_to_le64(cookie);
    batch->num_hints = cpu_to_le32(num);
    for (i = 0; i < num; i++) {
        if (i < 16) {
            batch->hints[i].gfn = cpu_to_le64(take_gfn(in));
            batch->hints[i].order = take(in, 1) % 20;
            batch->hints[i].tier = take(in, 1) % 4;
        } else {
            batch->hints[i] = batch->hints[i % 16];
        }
    }
    link_send(HMEM_LINK_HINTS, batch, len);
}

static void hmemd_track(Input *in)
{
    const uint8_t what = take(in, 1);
    const bool on = what & 0x80;
    const struct hmem_link_track track = {
        .window_ns = on ? hmem_track_min_window(&device->track) *
            (1 + take(in, 1)) : 0,
        .tracker = on ? 1u << what % 4 : 0,
        .flags = on ? (what >> 4 & 3) |
            (what & 4 ? HMEM_LINK_TRACK_ACCOUNT : 0) : 0,
    };

    link_send(HMEM_LINK_TRACK, &track, sizeof(track));
}

static void hmemd_tick_done(Input *in)
{
    const struct hmem_link_tick_done done = {
        .seq = device->track.seq + (int8_t)take(in, 1),
    };
    uint8_t rearm = take(in, 1) % 8;

    while (rearm--) {
        uint64_t gfn = take(in, 2);

        if (gfn / 8 < device->track.maps.bytes) {
            qatomic_or(&device->track.maps.rearm[gfn / 64],
                       1ull << gfn % 64);
        }
    }
    link_send(HMEM_LINK_TICK_DONE, &done, sizeof(done));
}

static void hmemd_resize(Input *in)
{
    const struct hmem_link_resize resize = {
        .tier = take(in, 1) % 4,
        .bytes = take(in, 2) << VIRTIO_HMEM_GFN_SHIFT,
    };

    link_send(HMEM_LINK_RESIZE, &resize, sizeof(resize));
}

static void hmemd_raw(Input *in)
{
    size_t n = MIN(take(in, 1), in->len);

    link_send_raw(in->data, n);
    in->data += n;
    in->len -= n;
}

/*
 * Guest
 */

static void guest_stop(void)
{
    if (guest.hint_vq) {
        qvirtio_hmem_stop(&guest);
    }
}

/* libqos writes each descriptor, which took half of the time. */
static void shorten_queues(void)
{
    const uint64_t common = pci->common_cfg_offset;
    uint16_t i;

    for (i = 0; i < VIRTIO_HMEM_VQ_MAX; i++) {
        qpci_io_writew(pci->pdev, pci->bar, common +
                       offsetof(struct virtio_pci_common_cfg, queue_select), i);
        qpci_io_writew(pci->pdev, pci->bar, common +
                       offsetof(struct virtio_pci_common_cfg, queue_size), 16);
    }
}

/* The driver starts, and refuses those features. */
static void guest_start(uint64_t refuse)
{
    guest_stop();
    if (refuse & 1ull << VIRTIO_HMEM_F_ACCESS) {
        /* libqos expects that the device accepts the features. */
        refuse |= 1ull << VIRTIO_HMEM_F_WRITTEN |
            1ull << VIRTIO_HMEM_F_INCOMPLETE | 1ull << VIRTIO_HMEM_F_LOOK |
            1ull << VIRTIO_HMEM_F_COST;
    }
    if (refuse & 1ull << VIRTIO_HMEM_F_RESIZE) {
        refuse |= 1ull << VIRTIO_HMEM_F_PAGING;
    }
    guest.refuse = refuse;
    qvirtio_start_device(guest.vdev);
    shorten_queues();
    qvirtio_hmem_start(&guest);
}

/*
 * Post a buffer with a readable and a writable part.  @split: the readable part
 * is in two descriptors.
 */
static void guest_post(QVirtQueue *vq, const void *out, size_t out_len,
                       size_t in_len, bool split)
{
    QTestState *s = guest.qts;
    const uint64_t addr = BUFFERS + next_buffer++ % NUM_BUFFERS * BUFFER_SIZE;
    const size_t first = split ? out_len / 2 : 0;
    uint32_t head;

    if (!vq || vq->num_free < 3) {
        return;
    }
    head = vq->free_head;
    if (out_len) {
        qtest_memwrite(s, addr, out, out_len);
    }
    if (first) {
        qvirtqueue_add(s, vq, addr, first, false, true);
    }
    if (out_len || !in_len) {
        qvirtqueue_add(s, vq, addr + first, out_len - first, false, in_len);
    }
    if (in_len) {
        qvirtqueue_add(s, vq, addr + out_len, in_len, true, false);
    }
    qvirtqueue_kick(s, guest.vdev, vq, head);
}

static void guest_raw(Input *in)
{
    QVirtQueue *const vqs[] = {
        guest.hint_vq, guest.result_vq, guest.scan_vq, guest.access_vq,
        guest.resize_vq,
    };
    const uint8_t what = take(in, 1);
    const size_t in_len = take(in, 1) * 64;
    const size_t n = MIN(take(in, 1), in->len);

    guest_post(vqs[what % ARRAY_SIZE(vqs)], in->data, n, in_len, what & 0x80);
    in->data += n;
    in->len -= n;
}

static void guest_post_for(Input *in, QVirtQueue *vq)
{
    const uint8_t size = take(in, 1);

    guest_post(vq, NULL, 0, 4096 + size * 64, false);
}

/* Results of one of the hint batches that are under way. */
static void guest_results(Input *in)
{
    struct {
        struct virtio_hmem_result_batch b;
        struct virtio_hmem_result r[16];
        /* Room for these behind any number of results. */
        struct virtio_hmem_pauses p;
        struct virtio_hmem_account a;
    } m = { };
    const VirtIOHMEMSent *sent =
        &device->sent[take(in, 1) % VIRTIO_HMEM_MAX_SENT];
    const uint8_t what = take(in, 1);
    const uint32_t num = what % 16;
    size_t len;
    uint32_t i;

    m.b.id = cpu_to_le64(sent->id);
    m.b.num_results = cpu_to_le32(num);
    m.b.flags = cpu_to_le32(what >> 4 & 7);
    m.b.foreign_moves = cpu_to_le64(what);
    for (i = 0; i < num; i++) {
        const uint8_t reason = take(in, 1);

        m.r[i].gfn = cpu_to_le64(take_gfn(in));
        m.r[i].reason = reason % 32;
        m.r[i].status = reason & 0x80 ? reason >> 5 :
            virtio_hmem_status(m.r[i].reason);
        m.r[i].order = take(in, 1) % 20;
        m.r[i].new_gfn = reason & 0x40 ? cpu_to_le64(take_gfn(in)) :
            m.r[i].gfn;
    }
    len = sizeof(m.b) + num * sizeof(m.r[0]);
    if (what >> 4 & VIRTIO_HMEM_RESULT_PAUSES) {
        memset((char *)&m + len, what, sizeof(m.p));
        len += sizeof(m.p);
    }
    if (what >> 4 & VIRTIO_HMEM_RESULT_ACCOUNT) {
        memset((char *)&m + len, what, sizeof(m.a));
        len += sizeof(m.a);
    }
    guest_post(guest.result_vq, &m, len, 0, what & 0x80);
}

static void guest_report(Input *in)
{
    struct {
        struct virtio_hmem_access b;
        struct virtio_hmem_cost c;
        struct virtio_hmem_frames f[15];
        /* Room for this behind any number of frames. */
        struct virtio_hmem_account a;
    } m = { };
    const uint8_t what = take(in, 1);
    const uint32_t num = what % 16;
    size_t len = offsetof(typeof(m), f[num]);
    uint64_t gfn = 0;
    uint32_t i;

    m.b.id = cpu_to_le64(device->access.id);
    m.b.num_frames = cpu_to_le32(num);
    m.b.flags = cpu_to_le32(what >> 4);
    m.c.ns = cpu_to_le64(take(in, 1) * 0x0101010101010101ull);
    for (i = 0; i < num; i++) {
        gfn += 64 * take(in, 1);
        m.f[i].gfn = cpu_to_le64(gfn);
        m.f[i].mask = cpu_to_le64(take(in, 1) * 0x0101010101010101ull);
    }
    /* If the driver refused VIRTIO_HMEM_F_COST, the cost is a wrong entry. */
    if (what >> 4 & VIRTIO_HMEM_ACCESS_ACCOUNT) {
        memset((char *)&m + len, what, sizeof(m.a));
        len += sizeof(m.a);
    }
    guest_post(guest.access_vq, &m, len, 0, what & 1);
}

static void guest_resize(Input *in)
{
    struct {
        struct virtio_hmem_resize b;
        union {
            struct virtio_hmem_run r[16];
            struct virtio_hmem_paging paging;
        };
    } m = { };
    const uint8_t what = take(in, 1);
    const uint32_t num = what % 16;
    size_t len = num * sizeof(m.r[0]);
    uint32_t i;

    m.b.op = what >> 4 & 3;
    m.b.tier = what >> 6;
    m.b.why = take(in, 1) % 8;
    m.b.num_runs = cpu_to_le32(num);
    m.b.free = cpu_to_le64(take(in, 1) * MiB);
    for (i = 0; i < num; i++) {
        m.r[i].gfn = cpu_to_le64(take_gfn(in));
        m.r[i].num = cpu_to_le64(take(in, 2));
    }
    if (!num) {
        m.paging.swapped = cpu_to_le64(take(in, 1));
        len = sizeof(m.paging);
    }
    guest_post(guest.resize_vq, &m, sizeof(m.b) + len,
               sizeof(struct virtio_hmem_resized), m.b.why & 1);
}

/* A write to the configuration space, where the driver tells what is online. */
static void guest_config(Input *in)
{
    const uint8_t what = take(in, 1);
    const uint64_t off = what % 2 ?
        offsetof(struct virtio_hmem_config, tiers[what / 2 % 8].online) :
        what / 2 * sizeof(uint32_t);

    qpci_io_writel(pci->pdev, pci->bar, pci->device_cfg_offset + off,
                   take(in, 4));
}

/* The port of the register's value. */
static uint16_t select_pam(QTestState *s, int i)
{
    qtest_outl(s, 0xcf8, 1u << 31 | (MCH_PAM + i));
    return 0xcfc + (MCH_PAM + i) % 4;
}

static void guest_pci_config(Input *in)
{
    const int i = take(in, 1) % MCH_NUM_PAM;
    const uint8_t value = take(in, 1);

    if (pam_changes < MAX_PAM_CHANGES) {
        pam_changes++;
        qtest_outb(guest.qts, select_pam(guest.qts, i), value);
    }
}

static void restore_pam(QTestState *s)
{
    int i;

    if (!pam_changes) {
        return;
    }
    memory_region_transaction_begin();
    for (i = 0; i < MCH_NUM_PAM; i++) {
        qtest_outb(s, select_pam(s, i), pam[i]);
    }
    memory_region_transaction_commit();
    pam_changes = 0;
}

static void guest_touch(Input *in)
{
    qtest_writeb(guest.qts, take(in, 2) << VIRTIO_HMEM_GFN_SHIFT, 1);
}

/*
 * Machine
 */

/*
 * With LOCKSTEP, the device waits for hmemd in the timer, and nothing else
 * runs.  So the answer has to be there before, and the end of the stream after
 * it, for the case that the device waits for more.
 */
static void machine_step(Input *in)
{
    const int64_t ns = 1ll << take(in, 1) % 34;
    const bool lockstep = device->track.tracker &&
        device->track.flags & HMEM_LINK_TRACK_LOCKSTEP;

    if (lockstep && link_fd >= 0) {
        const struct hmem_link_tick_done done = {
            .seq = device->track.seq + 1,
        };

        link_send(HMEM_LINK_TICK_DONE, &done, sizeof(done));
        shutdown(link_fd, SHUT_WR);
    }
    qtest_clock_step(guest.qts, ns);
    if (lockstep) {
        flush_events(guest.qts);
        link_close(guest.qts);
    }
}

static GByteArray *save(const VMStateDescription *vmsd, void *opaque)
{
    QIOChannelBuffer *to = qio_channel_buffer_new(4096);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(to));
    GByteArray *data = g_byte_array_new();

    g_assert_cmpint(HMEM_SAVE_STATE(f, vmsd, opaque), ==, 0);
    qemu_fflush(f);
    g_byte_array_append(data, to->data, to->usage);
    qemu_fclose(f);
    object_unref(OBJECT(to));
    return data;
}

static int load(const VMStateDescription *vmsd, void *opaque,
                const GByteArray *data)
{
    /* QEMU looks whether a subsection follows: its end is no end of file. */
    const size_t more = cut ? 0 : 64;
    QIOChannelBuffer *from = qio_channel_buffer_new(data->len + more);
    QEMUFile *f;
    int ret;

    memcpy(from->data, data->data, data->len);
    memset(from->data + data->len, 0, more);
    from->usage = data->len + more;
    f = qemu_file_new_input(QIO_CHANNEL(from));
    object_unref(OBJECT(from));
    ret = HMEM_LOAD_STATE(f, vmsd, opaque);
    qemu_fclose(f);
    return ret;
}

/*
 * Reset what a state is then loaded into.  @all: the machine, as loadvm does;
 * else the device alone, which takes a fraction of the time.
 */
static void reset_and_load(bool all, const GByteArray *data, int *ret)
{
    DeviceState *dev = qdev_get_parent_bus(DEVICE(device))->parent;

    if (all) {
        qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    } else {
        /* The reset and the state unmap and map the device's registers. */
        memory_region_transaction_begin();
        device_cold_reset(dev);
    }
    *ret = load(DEVICE_GET_CLASS(device)->vmsd, device, data);
    if (!all) {
        memory_region_transaction_commit();
    }
}

/*
 * Save the device's state, change bytes of the part that is not of virtio, and
 * load the state into the device again, as loadvm does.
 */
static void machine_snapshot(Input *in)
{
    const VMStateDescription *whole = DEVICE_GET_CLASS(device)->vmsd;
    const VMStateDescription *part = VIRTIO_DEVICE_GET_CLASS(device)->vmsd;
    g_autoptr(GByteArray) all = NULL;
    g_autoptr(GByteArray) own = NULL;
    g_autoptr(GByteArray) state = g_byte_array_new();
    const uint8_t what = take(in, 1);
    const bool reset_all = can_reset && what >= SELDOM;
    uint8_t num = what % 4;
    uint8_t *at;
    int ret;

    vm_stop(RUN_STATE_PAUSED);
    /* The level of the interrupt is also state of the bus, which stays. */
    qpci_io_readb(pci->pdev, pci->bar, pci->isr_cfg_offset);
    all = save(whole, device);
    own = save(part, device);
    g_byte_array_append(state, all->data, all->len);
    at = memmem(state->data, state->len, own->data, own->len);
    g_assert_nonnull(at);
    while (num--) {
        size_t off = take(in, 2) % own->len;

        at[off] ^= take(in, 1);
    }
    reset_and_load(reset_all, state, &ret);
    if (ret) {
        reset_and_load(reset_all, all, &ret);
        g_assert_cmpint(ret, ==, 0);
    }
    vm_start();
}

/* The VM is stopped and continues; in between, hmemd can send something. */
static void machine_stop(Input *in, QTestState *s)
{
    vm_stop(RUN_STATE_PAUSED);
    flush_events(s);
    switch (take(in, 1) % 4) {
    case 0:
        hmemd_hints(in);
        break;
    case 1:
        hmemd_track(in);
        break;
    case 2:
        link_connect(s);
        link_welcome();
        break;
    default:
        break;
    }
    flush_events(s);
    vm_start();
}

/* The guest's side of the device that the machine has now. */
static void find_device(QTestState *s)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT, 0) };

    pci_bus = qpci_new_pc(s, NULL);
    pci = virtio_pci_new(pci_bus, &addr);
    g_assert_nonnull(pci);
    qvirtio_pci_device_enable(pci);
}

static void forget_device(void)
{
    qos_object_destroy((QOSGraphObject *)pci);
    qpci_free_pc(pci_bus);
    pci = NULL;
}

/*
 * The device is unplugged while everything is under way, and another one is
 * plugged in.  The root bus has no hotplug, so this does what hotplug ends
 * with.
 */
static void replace_device(QTestState *s, bool hmemd_goes)
{
    DeviceState *dev = qdev_get_parent_bus(DEVICE(device))->parent;
    BusState *bus = qdev_get_parent_bus(dev);
    QVirtQueue **const vqs[] = {
        &guest.hint_vq, &guest.result_vq, &guest.scan_vq, &guest.access_vq,
        &guest.resize_vq,
    };
    int i;

    object_unparent(OBJECT(dev));
    for (i = 0; i < ARRAY_SIZE(vqs); i++) {
        if (*vqs[i]) {
            qvirtqueue_cleanup(guest.vdev->bus, *vqs[i], guest.alloc);
            *vqs[i] = NULL;
        }
    }
    forget_device();
    if (hmemd_goes) {
        link_close(s);
    }
    flush_events(s);

    dev = qdev_new("virtio-hmem-pci");
    dev->hotplugged = false;
    qdev_prop_set_int32(dev, "addr", PCI_DEVFN(SLOT, 0));
    qdev_prop_set_bit(dev, "ioeventfd", false);
    qdev_prop_set_chr(dev, "chardev", qemu_chr_find("hmemd"));
    qdev_realize_and_unref(dev, bus, &error_abort);
    find_fuzzed();
    find_device(s);
    guest.vdev = &pci->vdev;
    guest_start(0);
}

/* hmemd goes, or the device, or both. */
static void machine_unplug(Input *in, QTestState *s)
{
    const uint8_t what = take(in, 1);

    if (what < SELDOM || unplugged) {
        link_close(s);
    } else {
        unplugged = true;
        replace_device(s, what & 1);
    }
}

/* Make good what an earlier step has broken. */
static void repair(QTestState *s)
{
    if (VIRTIO_DEVICE(device)->broken) {
        guest_start(guest.refuse);
    }
    if (link_fd < 0) {
        link_connect(s);
        link_welcome();
    }
}

static void step(QTestState *s, Input *in)
{
    const uint8_t op = take(in, 1);

    if (op & 0x80) {
        repair(s);
    }
    switch (op % NUM_STEPS) {
    case STEP_POST_HINTS:
        guest_post_for(in, guest.hint_vq);
        break;
    case STEP_POST_SCAN:
        guest_post_for(in, guest.scan_vq);
        break;
    case STEP_RESULTS:
        guest_results(in);
        break;
    case STEP_REPORT:
        guest_report(in);
        break;
    case STEP_RESIZE:
        guest_resize(in);
        break;
    case STEP_CONFIG:
        guest_config(in);
        break;
    case STEP_PCI_CONFIG:
        guest_pci_config(in);
        break;
    case STEP_TOUCH:
        guest_touch(in);
        break;
    case STEP_GUEST_RAW:
        guest_raw(in);
        break;
    case STEP_START:
        guest_start(take(in, 1));
        break;
    case STEP_STOP:
        guest_stop();
        break;
    case STEP_HINTS:
        hmemd_hints(in);
        break;
    case STEP_TRACK:
        hmemd_track(in);
        break;
    case STEP_TICK_DONE:
        hmemd_tick_done(in);
        break;
    case STEP_REQUEST:
        hmemd_resize(in);
        break;
    case STEP_LINK_RAW:
        hmemd_raw(in);
        break;
    case STEP_CONNECT:
        link_connect(s);
        break;
    case STEP_CLOCK:
        machine_step(in);
        break;
    case STEP_SNAPSHOT:
        machine_snapshot(in);
        break;
    case STEP_PAUSE:
        machine_stop(in, s);
        break;
    case STEP_UNPLUG:
        machine_unplug(in, s);
        break;
    }
    flush_events(s);
    link_drain(s);
}

/* A guest's driver and hmemd, which have just started. */
static void begin(QTestState *s)
{
    restore_pam(s);
    pc_alloc_init(&allocator, s, 0);
    next_buffer = 0;
    unplugged = false;
    guest = (QVirtioHMEM) {
        .qts = s,
        .alloc = &allocator,
    };
    if (!pci) {
        find_device(s);
    }
    guest.vdev = &pci->vdev;
    link_connect(s);
    link_welcome();
    flush_events(s);
    guest_start(0);
}

static void end(QTestState *s)
{
    link_close(s);
    guest_stop();
    flush_events(s);
    alloc_destroy(&allocator);
}

static void virtio_hmem_fuzz(QTestState *s, const unsigned char *data,
                             size_t len)
{
    Input in = { .data = data, .len = len };

    begin(s);
    while (in.len) {
        step(s, &in);
    }
    end(s);
}

static void virtio_hmem_pre_fuzz(QTestState *s)
{
    int i;

    for (i = 0; i < MCH_NUM_PAM; i++) {
        pam[i] = qtest_inb(s, select_pam(s, i));
    }
    find_fuzzed();
}

#include "virtio_hmem_stream_fuzz.c.inc"

static GString *virtio_hmem_cmdline(FuzzTarget *t)
{
    GString *args = g_string_new(TARGET_NAME);
    struct sockaddr_un addr;

    link_address(&addr);
    g_string_append_printf(
        args, " -display none -machine q35,accel=qtest -nodefaults -m 64M"
        " -object memory-backend-ram,id=m0,size=32M"
        " -object memory-backend-ram,id=m1,size=32M"
        " -numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1"
        " -chardev socket,id=hmemd,path=%s,abstract=on,server=on,wait=off"
        " -device virtio-hmem,chardev=hmemd,addr=%d,ioeventfd=off",
        addr.sun_path + 1, SLOT);
    return args;
}

static void register_virtio_hmem_fuzz_targets(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "virtio-hmem",
        .description = "Fuzz virtio-hmem as the guest's driver and as hmemd",
        .get_init_cmdline = virtio_hmem_cmdline,
        .pre_fuzz = virtio_hmem_pre_fuzz,
        .fuzz = virtio_hmem_fuzz,
    });
    fuzz_add_target(&(FuzzTarget) {
        .name = "virtio-hmem-stream",
        .description = "Fuzz what virtio-hmem loads from a migration stream",
        .get_init_cmdline = virtio_hmem_cmdline,
        .pre_fuzz = stream_pre_fuzz,
        .fuzz = stream_fuzz,
    });
}

fuzz_target_init(register_virtio_hmem_fuzz_targets);
