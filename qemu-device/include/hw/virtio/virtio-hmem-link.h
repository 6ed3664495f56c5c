/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the message stream to and from hmemd, over a chardev.
 *
 * This is framing only.  It checks that each message has a known type and a
 * length that fits, and that messages come in order.  It never blocks, except
 * in hmem_link_wait().  The device interprets the messages.  All functions and
 * callbacks run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_LINK_H
#define HW_VIRTIO_HMEM_LINK_H

#include "chardev/char-fe.h"
#include "hw/virtio/hmem_link.h"
#include "hw/virtio/virtio-hmem-compat.h"

/*
 * Bytes that may wait for hmemd to read them: twice as many as a guest can
 * produce at once, which is a queue of 128 result batches.  If more are
 * waiting, the link drops the connection.  Neither the guest nor QEMU waits for
 * hmemd.
 */
#define HMEM_LINK_MAX_BACKLOG (2 * 128 * HMEM_LINK_MAX_PAYLOAD)

typedef struct HmemLinkOps {
    /* The link is connected: send HELLO, RANGES and STATE. */
    void (*opened)(void *opaque);
    /* hmemd has answered HELLO. */
    void (*welcome)(void *opaque);
    /* The link is disconnected, for whatever reason. */
    void (*closed)(void *opaque);
    /*
     * A message other than WELCOME has arrived.  @len fits @type; the content
     * is not checked.  @payload is 8-byte aligned and valid during the call.
     */
    void (*message)(void *opaque, uint32_t type, void *payload, uint32_t len);
} HmemLinkOps;

typedef struct HmemLink {
    HmemChardev chr;
    const HmemLinkOps *ops;
    void *opaque;
    /* Names the device in error messages. */
    char *name;

    /* The link is connected and has not given up the connection. */
    bool up;
    /* hmemd has answered HELLO. */
    bool welcome;
    /* The chardev cannot pass file descriptors; this was reported once. */
    bool unusable;

    /* The message that is being received: its header, then its payload. */
    struct {
        struct hmem_link_header header;
        uint64_t payload[HMEM_LINK_MAX_PAYLOAD / sizeof(uint64_t)];
    } *rx;
    size_t rx_len;

    /* Bytes to write: @tx from @tx_done on. */
    GByteArray *tx;
    size_t tx_done;
    guint watch;

    /*
     * Only this bottom half writes, and closes a connection that was given up.
     * A write can find the connection closed, and a caller that sends a message
     * does not expect the connection to end during the call.
     */
    QEMUBH *bh;

    /* Counted since the device was created. */
    uint64_t num_opened;
    uint64_t num_dropped;
} HmemLink;

/*
 * The property @link->chr is set before.  Fails if that kind of chardev can
 * never work.  Without a chardev, the link never connects.
 */
bool hmem_link_realize(HmemLink *link, const char *name,
                       const HmemLinkOps *ops, void *opaque, Error **errp);

/* Enable callbacks.  Calls @ops->opened at once if the link is connected. */
void hmem_link_start(HmemLink *link);

/* Disconnect and undo hmem_link_realize().  Does not call @ops->closed. */
void hmem_link_unrealize(HmemLink *link);

/*
 * Queue a message.  @len is at most HMEM_LINK_MAX_PAYLOAD.  Drops the message
 * if there is no connection.
 */
void hmem_link_send(HmemLink *link, enum hmem_link_type type,
                    const void *payload, size_t len);

/*
 * Like hmem_link_send(); @fd goes with the first byte of the message.  The
 * queue must be empty.
 */
void hmem_link_send_fd(HmemLink *link, enum hmem_link_type type,
                       const void *payload, size_t len, int fd);

/*
 * Only send and receive, with the BQL held, until @done(opaque) returns true or
 * the connection is lost or given up.  @opaque is that of the callbacks.  The
 * connection may have been closed when this function returns.
 */
void hmem_link_wait(HmemLink *link, bool (*done)(void *opaque));

/* Give up the connection and report the reason. */
void hmem_link_drop(HmemLink *link, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
