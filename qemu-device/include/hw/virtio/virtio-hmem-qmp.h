/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the device in QEMU's monitor.
 */
#ifndef HW_VIRTIO_HMEM_QMP_H
#define HW_VIRTIO_HMEM_QMP_H

#include "hw/virtio/virtio-hmem.h"

/* Emit an event if hmemd has connected or disconnected since the last call. */
void virtio_hmem_report_connection(VirtIOHMEM *hmem);

/* The same for the state of the driver: for what hmemd was told last. */
void virtio_hmem_report_driver(VirtIOHMEM *hmem);

#endif
