/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the message stream to and from hmemd, over a chardev.
 *
 * This is framing only: it checks that messages have a known type, a length
 * that fits it and come in order, and it never blocks unless told to wait.
 * What a message means is for the device to say.  All functions and callbacks
 * run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_LINK_H
#define HW_VIRTIO_HMEM_LINK_H

#include "chardev/char-fe.h"
#include "hw/virtio/hmem_link.h"
#include "hw/virtio/virtio-hmem-compat.h"

/*
 * Bytes that may wait for hmemd to read them: twice what a guest can hand over
 * at once, a queue of 128 result batches.  A connection that falls behind
 * further is dropped: neither the guest nor QEMU waits for hmemd.
 */
#define HMEM_LINK_MAX_BACKLOG (2 * 128 * HMEM_LINK_MAX_PAYLOAD)

typedef struct HmemLinkOps {
    /* Connected: send HELLO, RANGES and STATE. */
    void (*opened)(void *opaque);
    /* Disconnected, for whatever reason. */
    void (*closed)(void *opaque);
    /*
     * A message other than WELCOME; @len fits @type, the content is not yet
     * checked.  @payload is 8-byte aligned and valid during the call.
     */
    void (*message)(void *opaque, uint32_t type, void *payload, uint32_t len);
} HmemLinkOps;

typedef struct HmemLink {
    HmemChardev chr;
    const HmemLinkOps *ops;
    void *opaque;
    /* Names the device in error messages. */
    char *name;

    /* Connected, and the connection is not being given up. */
    bool up;
    /* hmemd has answered HELLO. */
    bool welcome;
    /* The chardev cannot pass file descriptors, which was said once. */
    bool unusable;

    /* The message being received: header, then payload. */
    struct {
        struct hmem_link_header header;
        uint64_t payload[HMEM_LINK_MAX_PAYLOAD / sizeof(uint64_t)];
    } *rx;
    size_t rx_len;

    /* What waits to be written: @tx from @tx_done on. */
    GByteArray *tx;
    size_t tx_done;
    guint watch;

    /*
     * Writes, and closes a connection that was given up.  Nothing else does:
     * a write can find the connection closed, and who sends something is not
     * prepared to have it end under his hands.
     */
    QEMUBH *bh;

    /* Statistics, since the device was created. */
    uint64_t num_opened;
    uint64_t num_dropped;
} HmemLink;

/*
 * @link->chr is set as a property.  Fails if it is of a kind that can never
 * work; without one, the link is simply never up.
 */
bool hmem_link_realize(HmemLink *link, const char *name,
                       const HmemLinkOps *ops, void *opaque, Error **errp);

/* Start to call back; @ops->opened is called at once if already connected. */
void hmem_link_start(HmemLink *link);

/* Disconnects.  Undoes hmem_link_realize(); @ops->closed is not called. */
void hmem_link_unrealize(HmemLink *link);

/*
 * Queue a message.  @len is at most HMEM_LINK_MAX_PAYLOAD.  Without a
 * connection it is dropped.
 */
void hmem_link_send(HmemLink *link, enum hmem_link_type type,
                    const void *payload, size_t len);

/* As hmem_link_send(); @fd goes with the first byte.  The queue is empty. */
void hmem_link_send_fd(HmemLink *link, enum hmem_link_type type,
                       const void *payload, size_t len, int fd);

/*
 * Do nothing but send and receive until @done, which takes the same opaque as
 * the callbacks, or until the connection is lost or given up.  Holds the BQL
 * all the while.  The connection may have been closed when it returns.
 */
void hmem_link_wait(HmemLink *link, bool (*done)(void *opaque));

/* Give the connection up, and say why. */
void hmem_link_drop(HmemLink *link, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
