/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the guest's driver.
 */
#ifndef HW_VIRTIO_HMEM_DRIVER_H
#define HW_VIRTIO_HMEM_DRIVER_H

#include "hw/virtio/virtio.h"

/*
 * Is the driver at work?  A driver that has not set FEATURES_OK can still
 * change its features at any time, and hmemd would not know which it has.  So
 * virtio's rule that a driver sets FEATURES_OK first is enforced here.
 */
static inline bool hmem_driver_ok(const VirtIODevice *vdev)
{
    const uint8_t all = VIRTIO_CONFIG_S_FEATURES_OK |
        VIRTIO_CONFIG_S_DRIVER_OK;

    return (vdev->status & all) == all && !vdev->broken;
}

#endif
