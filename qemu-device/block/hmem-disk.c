/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-disk: a disk in QEMU's memory, with the latency and bandwidth of a real
 * disk in guest time.  See docs/system/hmem-sim.rst.
 *
 * With -icount, a request takes the same guest time in each run, because
 * nothing here waits for the host: the data is copied at once when a timer of
 * the guest's clock fires.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "block/block-io.h"
#include "block/block_int.h"
#include "qemu/coroutine.h"
#include "qemu/iov.h"
#include "qemu/module.h"
#include "qemu/option.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "system/runstate.h"

enum {
    READ,
    WRITE,
    DIRECTIONS,
};

typedef struct HmemDisk HmemDisk;

/* A request that waits; lives on the stack of its coroutine. */
typedef struct HmemDiskWait {
    HmemDisk *disk;
    QEMUTimer timer;
    Coroutine *co;
    QTAILQ_ENTRY(HmemDiskWait) next;
} HmemDiskWait;

/* Protected by the BQL. */
struct HmemDisk {
    uint8_t *data;
    int64_t size;
    uint64_t latency_ns[DIRECTIONS];
    uint64_t bytes_per_s[DIRECTIONS]; /* 0: no limit */
    int64_t free_ns; /* guest time at which the disk transfers nothing more */
    QTAILQ_HEAD(, HmemDiskWait) waits;
    VMChangeStateEntry *state_handler;
};

static QemuOptsList options = {
    .name = "hmem-disk",
    .head = QTAILQ_HEAD_INITIALIZER(options.head),
    .desc = {
        {
            .name = BLOCK_OPT_SIZE,
            .type = QEMU_OPT_SIZE,
            .help = "size of the disk",
        }, {
            .name = "read-ns",
            .type = QEMU_OPT_NUMBER,
            .help = "latency of a read in ns",
        }, {
            .name = "write-ns",
            .type = QEMU_OPT_NUMBER,
            .help = "latency of a write in ns",
        }, {
            .name = "read-bps",
            .type = QEMU_OPT_SIZE,
            .help = "bytes read per second; 0: no limit",
        }, {
            .name = "write-bps",
            .type = QEMU_OPT_SIZE,
            .help = "bytes written per second; 0: no limit",
        },
        { /* end of list */ }
    },
};

static void fired(void *opaque)
{
    HmemDiskWait *w = opaque;

    QTAILQ_REMOVE(&w->disk->waits, w, next);
    aio_co_wake(w->co);
}

/* A stopped guest's clock fires no timer, but QEMU waits for all requests. */
static void state_changed(void *opaque, bool running, RunState state)
{
    HmemDisk *d = opaque;
    HmemDiskWait *w;

    while (!running && (w = QTAILQ_FIRST(&d->waits))) {
        timer_del(&w->timer);
        fired(w);
    }
}

static int hmem_disk_open(BlockDriverState *bs, QDict *dict, int flags,
                          Error **errp)
{
    HmemDisk *d = bs->opaque;
    QemuOpts *opts = qemu_opts_create(&options, NULL, 0, &error_abort);
    int ret = -EINVAL;

    if (!qemu_opts_absorb_qdict(opts, dict, errp)) {
        goto out;
    }
    d->size = qemu_opt_get_size(opts, BLOCK_OPT_SIZE, 0);
    d->latency_ns[READ] = qemu_opt_get_number(opts, "read-ns", 0);
    d->latency_ns[WRITE] = qemu_opt_get_number(opts, "write-ns", 0);
    d->bytes_per_s[READ] = qemu_opt_get_size(opts, "read-bps", 0);
    d->bytes_per_s[WRITE] = qemu_opt_get_size(opts, "write-bps", 0);
    if (d->size <= 0 || d->size % BDRV_SECTOR_SIZE) {
        error_setg(errp, "hmem-disk: size must be a multiple of %lld bytes, "
                   "and more than 0", BDRV_SECTOR_SIZE);
    } else if (MAX(d->latency_ns[READ], d->latency_ns[WRITE]) >
               NANOSECONDS_PER_SECOND) {
        error_setg(errp, "hmem-disk: read-ns and write-ns must not be more "
                   "than a second");
    } else {
        d->data = g_try_malloc0(d->size);
        ret = d->data ? 0 : -ENOMEM;
        if (ret) {
            error_setg(errp, "hmem-disk: no memory for %" PRId64 " bytes",
                       d->size);
        }
    }
    bs->supported_write_flags = BDRV_REQ_FUA;
    if (!ret) {
        QTAILQ_INIT(&d->waits);
        d->state_handler = qemu_add_vm_change_state_handler(state_changed, d);
    }
out:
    qemu_opts_del(opts);
    return ret;
}

static void hmem_disk_close(BlockDriverState *bs)
{
    HmemDisk *d = bs->opaque;

    qemu_del_vm_change_state_handler(d->state_handler);
    g_free(d->data);
}

static int64_t coroutine_fn hmem_disk_co_getlength(BlockDriverState *bs)
{
    HmemDisk *d = bs->opaque;

    return d->size;
}

/*
 * Wait as long as the request takes: latencies of requests overlap, and their
 * transfers come one after the other.  The timer is the main loop's, because
 * with -icount QEMU runs those in the vCPU's thread, at their exact time.
 */
static void coroutine_fn hmem_disk_co_wait(HmemDisk *d, int direction,
                                           int64_t bytes)
{
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
        d->latency_ns[direction];
    int64_t end = start;
    uint64_t speed = d->bytes_per_s[direction];
    HmemDiskWait w = { .disk = d, .co = qemu_coroutine_self() };

    if (!runstate_is_running()) {
        return;
    }
    if (speed) {
        /* A request has less than 2^31 bytes, so the product fits. */
        end = MAX(d->free_ns, start) + bytes * NANOSECONDS_PER_SECOND / speed;
        d->free_ns = end;
    }
    timer_init_ns(&w.timer, QEMU_CLOCK_VIRTUAL, fired, &w);
    timer_mod_ns(&w.timer, end);
    QTAILQ_INSERT_TAIL(&d->waits, &w, next);
    qemu_coroutine_yield();
}

static int coroutine_fn hmem_disk_co_preadv(BlockDriverState *bs,
                                            int64_t offset, int64_t bytes,
                                            QEMUIOVector *qiov,
                                            BdrvRequestFlags flags)
{
    HmemDisk *d = bs->opaque;

    hmem_disk_co_wait(d, READ, bytes);
    qemu_iovec_from_buf(qiov, 0, d->data + offset, bytes);
    return 0;
}

static int coroutine_fn hmem_disk_co_pwritev(BlockDriverState *bs,
                                             int64_t offset, int64_t bytes,
                                             QEMUIOVector *qiov,
                                             BdrvRequestFlags flags)
{
    HmemDisk *d = bs->opaque;

    qemu_iovec_to_buf(qiov, 0, d->data + offset, bytes);
    hmem_disk_co_wait(d, WRITE, bytes);
    return 0;
}

static int coroutine_fn hmem_disk_co_flush(BlockDriverState *bs)
{
    return 0;
}

static BlockDriver hmem_disk = {
    .format_name = "hmem-disk",
    .protocol_name = "hmem-disk",
    .instance_size = sizeof(HmemDisk),

    .bdrv_open = hmem_disk_open,
    .bdrv_close = hmem_disk_close,
    .bdrv_co_getlength = hmem_disk_co_getlength,
    .bdrv_co_preadv = hmem_disk_co_preadv,
    .bdrv_co_pwritev = hmem_disk_co_pwritev,
    .bdrv_co_flush_to_disk = hmem_disk_co_flush,
};

static void hmem_disk_init(void)
{
    bdrv_register(&hmem_disk);
}

block_init(hmem_disk_init);
