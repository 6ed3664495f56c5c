/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libqos driver for virtio-hmem, that is, the guest's side of the device.
 */
#ifndef TESTS_LIBQOS_VIRTIO_HMEM_H
#define TESTS_LIBQOS_VIRTIO_HMEM_H

#include "qgraph.h"
#include "virtio.h"
#include "virtio-pci.h"

typedef struct QVirtioHMEM {
    QTestState *qts;
    QGuestAllocator *alloc;
    QVirtioDevice *vdev;
    /* Offered feature bits that the driver must not accept. */
    uint64_t refuse;
    QVirtQueue *hint_vq;
    QVirtQueue *result_vq;
    /* NULL without VIRTIO_HMEM_F_ACCESS. */
    QVirtQueue *scan_vq;
    QVirtQueue *access_vq;
    /* NULL without VIRTIO_HMEM_F_RESIZE */
    QVirtQueue *resize_vq;
} QVirtioHMEM;

typedef struct QVirtioHMEMPCI {
    QVirtioPCIDevice pci_vdev;
    QVirtioHMEM hmem;
} QVirtioHMEMPCI;

/*
 * Negotiate all features except those that libqos does not support or that must
 * be refused, then set DRIVER_OK.
 */
void qvirtio_hmem_start(QVirtioHMEM *hmem);

/* Reset the device and forget the queues. */
void qvirtio_hmem_stop(QVirtioHMEM *hmem);

/* Post a hint buffer of @len bytes; returns its address. */
uint64_t qvirtio_hmem_post(QVirtioHMEM *hmem, uint32_t len);

/* Queue @len bytes of @data on the result queue; returns the address. */
uint64_t qvirtio_hmem_result(QVirtioHMEM *hmem, const void *data,
                             uint32_t len);

/* The same for scans: post a buffer for a request, and queue a report. */
uint64_t qvirtio_hmem_post_scan(QVirtioHMEM *hmem, uint32_t len);
uint64_t qvirtio_hmem_report(QVirtioHMEM *hmem, const void *data,
                             uint32_t len);

/*
 * Queue a message of @len bytes with room for an answer of @room bytes, at
 * @answer; 0: at an address that is returned.
 */
uint64_t qvirtio_hmem_resize(QVirtioHMEM *hmem, const void *data, uint32_t len,
                             uint64_t answer, uint32_t room);

#endif
