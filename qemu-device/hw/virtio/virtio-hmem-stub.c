/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the monitor's commands of a QEMU without the device.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-virtio-hmem.h"

VirtioHmemInfoList *qmp_query_virtio_hmem(Error **errp)
{
    return NULL;
}
