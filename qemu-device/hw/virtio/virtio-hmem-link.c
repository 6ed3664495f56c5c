/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the message stream to and from hmemd, over a chardev.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "chardev/char-socket.h"
#include "io/channel.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "system/runstate.h"
#include "hw/virtio/virtio-hmem-link.h"
#include "trace.h"

static bool hmem_link_len_ok(uint32_t type, uint32_t len)
{
    const size_t batch = sizeof(struct virtio_hmem_hint_batch);
    const size_t hint = sizeof(struct virtio_hmem_hint);

    switch (type) {
    case HMEM_LINK_WELCOME:
        return len == sizeof(struct hmem_link_welcome);
    case HMEM_LINK_HINTS:
        return len >= batch + hint &&
               len <= batch + hint * HMEM_LINK_MAX_HINTS &&
               (len - batch) % hint == 0;
    case HMEM_LINK_TRACK:
        return len == sizeof(struct hmem_link_track);
    case HMEM_LINK_TICK_DONE:
        return len == sizeof(struct hmem_link_tick_done);
    case HMEM_LINK_RESIZE:
        return len == sizeof(struct hmem_link_resize);
    default:
        return false;
    }
}

static void hmem_link_check_header(HmemLink *link)
{
    const struct hmem_link_header *header = &link->rx->header;

    if (!hmem_link_len_ok(header->type, header->len)) {
        hmem_link_drop(link, "message of type 0x%x with %u bytes",
                       header->type, header->len);
    } else if ((header->type == HMEM_LINK_WELCOME) == link->welcome) {
        hmem_link_drop(link, link->welcome ? "a second WELCOME" :
                       "message of type 0x%x before WELCOME", header->type);
    }
}

static void hmem_link_receive(HmemLink *link)
{
    const struct hmem_link_header *header = &link->rx->header;

    trace_virtio_hmem_link_receive(link->name, header->type, header->len);
    if (header->type == HMEM_LINK_WELCOME) {
        const struct hmem_link_welcome *welcome = (void *)link->rx->payload;

        if (welcome->magic != HMEM_LINK_MAGIC) {
            hmem_link_drop(link, "WELCOME with magic 0x%x, which is not "
                           "hmemd's", welcome->magic);
        } else if (welcome->version != HMEM_LINK_VERSION) {
            hmem_link_drop(link, "hmemd speaks version %u of the link, this "
                           "QEMU version %u", welcome->version,
                           HMEM_LINK_VERSION);
        } else {
            link->welcome = true;
            link->ops->welcome(link->opaque);
        }
        return;
    }
    link->ops->message(link->opaque, header->type, link->rx->payload,
                       header->len);
}

/* Bytes until the header, or after it the payload, is complete. */
static size_t hmem_link_missing(HmemLink *link)
{
    const size_t header = sizeof(link->rx->header);

    if (link->rx_len < header) {
        return header - link->rx_len;
    }
    return header + link->rx->header.len - link->rx_len;
}

static int hmem_link_can_read(void *opaque)
{
    HmemLink *link = opaque;

    return link->up ? hmem_link_missing(link) : 0;
}

static void hmem_link_read(void *opaque, const uint8_t *buf, int size)
{
    HmemLink *link = opaque;

    while (link->up && size > 0) {
        size_t n = MIN(size, hmem_link_missing(link));

        memcpy((uint8_t *)link->rx + link->rx_len, buf, n);
        link->rx_len += n;
        buf += n;
        size -= n;

        if (link->rx_len == sizeof(link->rx->header)) {
            hmem_link_check_header(link);
        } else if (hmem_link_missing(link) == 0) {
            link->rx_len = 0;
            hmem_link_receive(link);
        }
    }
}

static gboolean hmem_link_writable(void *unused, GIOCondition condition,
                                   void *opaque);

/* Write what waits.  Returns false if the socket is full. */
static bool hmem_link_write(HmemLink *link)
{
    while (link->up && link->tx_done < link->tx->len) {
        int n = qemu_chr_fe_write(&link->chr, link->tx->data + link->tx_done,
                                  link->tx->len - link->tx_done);

        if (!link->up) {
            /* The write has closed the connection. */
            return true;
        }
        if (n > 0) {
            link->tx_done += n;
        } else if (n < 0 && errno != EAGAIN) {
            /* The connection is dead. */
            link->up = false;
            qemu_bh_schedule(link->bh);
            return true;
        } else {
            return false;
        }
    }
    g_byte_array_set_size(link->tx, 0);
    link->tx_done = 0;
    return true;
}

static void hmem_link_flush(HmemLink *link)
{
    if (!hmem_link_write(link)) {
        link->watch = qemu_chr_fe_add_watch(&link->chr, G_IO_OUT | G_IO_HUP,
                                            hmem_link_writable, link);
    }
}

static gboolean hmem_link_writable(void *unused, GIOCondition condition,
                                   void *opaque)
{
    HmemLink *link = opaque;

    link->watch = 0;
    hmem_link_flush(link);
    return G_SOURCE_REMOVE;
}

static void hmem_link_bh(void *opaque)
{
    HmemLink *link = opaque;

    if (!link->up) {
        qemu_chr_fe_disconnect(&link->chr);
    } else if (!link->watch) {
        hmem_link_flush(link);
    }
}

void hmem_link_send(HmemLink *link, enum hmem_link_type type,
                    const void *payload, size_t len)
{
    const struct hmem_link_header header = { .type = type, .len = len };
    size_t waiting;

    assert(len <= HMEM_LINK_MAX_PAYLOAD);
    if (!link->up) {
        return;
    }
    waiting = link->tx->len - link->tx_done;
    if (waiting + sizeof(header) + len > HMEM_LINK_MAX_BACKLOG) {
        hmem_link_drop(link, "hmemd does not read: %zu bytes are waiting",
                       waiting);
        return;
    }
    trace_virtio_hmem_link_send(link->name, type, len, waiting);
    if (link->tx_done > link->tx->len / 2) {
        g_byte_array_remove_range(link->tx, 0, link->tx_done);
        link->tx_done = 0;
    }
    g_byte_array_append(link->tx, (const uint8_t *)&header, sizeof(header));
    g_byte_array_append(link->tx, payload, len);
    qemu_bh_schedule(link->bh);
}

void hmem_link_send_fd(HmemLink *link, enum hmem_link_type type,
                       const void *payload, size_t len, int fd)
{
    if (!link->up) {
        return;
    }
    assert(link->tx->len == 0);
    if (qemu_chr_fe_set_msgfds(&link->chr, &fd, 1) < 0) {
        if (!link->unusable) {
            hmem_link_drop(link, "chardev '%s' cannot pass file descriptors: "
                           "use a unix socket", link->chr.chr->label);
        }
        /* Report this once, not on each reconnect. */
        link->unusable = true;
        link->up = false;
        qemu_bh_schedule(link->bh);
        return;
    }
    hmem_link_send(link, type, payload, len);
}

void hmem_link_drop(HmemLink *link, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    if (!link->up) {
        return;
    }
    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    error_report("virtio-hmem '%s': connection to hmemd dropped: %s",
                 link->name, why);
    link->num_dropped++;
    link->up = false;
    qemu_bh_schedule(link->bh);
}

/*
 * Read from the socket directly.  The chardev calls its handler from the main
 * loop only, and its synchronous read returns only when all requested bytes
 * have come.  The chardev has no other state for reading: if its handler runs
 * later for the same bytes, it finds nothing to read.
 */
static void hmem_link_read_now(HmemLink *link, QIOChannel *ioc)
{
    uint8_t buf[4096];
    ssize_t n = qio_channel_read(ioc, (char *)buf,
                                 MIN(sizeof(buf), hmem_link_missing(link)),
                                 NULL);

    if (n > 0) {
        hmem_link_read(link, buf, n);
    } else if (n != QIO_CHANNEL_ERR_BLOCK) {
        link->up = false;
        qemu_bh_schedule(link->bh);
    }
}

void hmem_link_wait(HmemLink *link, bool (*done)(void *opaque))
{
    /* Check this often if a signal has told QEMU to end. */
    const int64_t slice_ns = 100 * SCALE_MS;

    if (link->up && link->watch) {
        g_source_remove(link->watch);
        link->watch = 0;
    }
    while (link->up && !done(link->opaque)) {
        SocketChardev *chr = SOCKET_CHARDEV(link->chr.chr);
        bool written = hmem_link_write(link);
        GPollFD poll = { .events = G_IO_IN | (written ? 0 : G_IO_OUT) };

        if (!link->up) {
            break;
        }
        poll.fd = chr->sioc->fd;
        if (qemu_poll_ns(&poll, 1, slice_ns) > 0) {
            hmem_link_read_now(link, chr->ioc);
        } else if (qemu_shutdown_requested_get()) {
            hmem_link_drop(link, "QEMU was told to end while hmemd had a tick "
                           "to answer");
        }
    }
    if (link->up && link->tx->len) {
        /* The main loop writes the rest. */
        qemu_bh_schedule(link->bh);
    }
}

/* Also called during a write that fails, when the chardev is locked. */
static void hmem_link_reset(HmemLink *link)
{
    link->up = false;
    link->welcome = false;
    link->rx_len = 0;
    link->tx_done = 0;
    /* A new array, because the old one can have grown large. */
    g_byte_array_unref(link->tx);
    link->tx = g_byte_array_new();
    if (link->watch) {
        g_source_remove(link->watch);
        link->watch = 0;
    }
    qemu_bh_cancel(link->bh);
}

static void hmem_link_event(void *opaque, QEMUChrEvent event)
{
    HmemLink *link = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        hmem_link_reset(link);
        trace_virtio_hmem_link_opened(link->name);
        link->num_opened++;
        link->up = true;
        link->ops->opened(link->opaque);
        break;
    case CHR_EVENT_CLOSED:
        trace_virtio_hmem_link_closed(link->name);
        hmem_link_reset(link);
        link->ops->closed(link->opaque);
        break;
    default:
        break;
    }
}

bool hmem_link_realize(HmemLink *link, const char *name,
                       const HmemLinkOps *ops, void *opaque, Error **errp)
{
    Chardev *chr = link->chr.chr;

    if (chr && !object_dynamic_cast(OBJECT(chr), TYPE_CHARDEV_SOCKET)) {
        error_setg(errp, "chardev '%s' cannot pass file descriptors: use a "
                   "unix socket", chr->label);
        return false;
    }
    link->name = g_strdup(name);
    link->ops = ops;
    link->opaque = opaque;
    link->rx = g_malloc(sizeof(*link->rx));
    link->tx = g_byte_array_new();
    link->bh = qemu_bh_new(hmem_link_bh, link);
    return true;
}

void hmem_link_start(HmemLink *link)
{
    qemu_chr_fe_set_handlers(&link->chr, hmem_link_can_read, hmem_link_read,
                             hmem_link_event, NULL, link, NULL, true);
}

void hmem_link_unrealize(HmemLink *link)
{
    qemu_chr_fe_set_handlers(&link->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    hmem_link_reset(link);
    qemu_chr_fe_disconnect(&link->chr);
    /*
     * Free the chardev for the next device now, not with the last reference to
     * us.
     */
    qemu_chr_fe_deinit(&link->chr, false);
    qemu_bh_delete(link->bh);
    g_byte_array_unref(link->tx);
    g_free(link->rx);
    g_free(link->name);
    link->bh = NULL;
    link->tx = NULL;
    link->rx = NULL;
    link->name = NULL;
}
