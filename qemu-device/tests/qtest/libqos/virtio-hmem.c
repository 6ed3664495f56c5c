/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libqos driver for virtio-hmem, that is, the guest's side of the device.
 */

#include "qemu/osdep.h"
#include "../libqtest.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "qgraph.h"
#include "virtio-hmem.h"

void qvirtio_hmem_start(QVirtioHMEM *hmem)
{
    uint64_t features = qvirtio_get_features(hmem->vdev);

    features &= ~(QVIRTIO_F_BAD_FEATURE | hmem->refuse |
                  (1ull << VIRTIO_RING_F_EVENT_IDX));
    qvirtio_set_features(hmem->vdev, features);
    hmem->hint_vq = qvirtqueue_setup(hmem->vdev, hmem->alloc,
                                     VIRTIO_HMEM_VQ_HINT);
    hmem->result_vq = qvirtqueue_setup(hmem->vdev, hmem->alloc,
                                       VIRTIO_HMEM_VQ_RESULT);
    if (features & (1ull << VIRTIO_HMEM_F_ACCESS)) {
        hmem->scan_vq = qvirtqueue_setup(hmem->vdev, hmem->alloc,
                                         VIRTIO_HMEM_VQ_SCAN);
        hmem->access_vq = qvirtqueue_setup(hmem->vdev, hmem->alloc,
                                           VIRTIO_HMEM_VQ_ACCESS);
    }
    if (features & (1ull << VIRTIO_HMEM_F_RESIZE)) {
        hmem->resize_vq = qvirtqueue_setup(hmem->vdev, hmem->alloc,
                                           VIRTIO_HMEM_VQ_RESIZE);
    }
    qvirtio_set_driver_ok(hmem->vdev);
}

void qvirtio_hmem_stop(QVirtioHMEM *hmem)
{
    QVirtQueue **vqs[] = {
        &hmem->hint_vq, &hmem->result_vq, &hmem->scan_vq, &hmem->access_vq,
        &hmem->resize_vq,
    };
    int i;

    qvirtio_reset(hmem->vdev);
    for (i = 0; i < ARRAY_SIZE(vqs); i++) {
        if (*vqs[i]) {
            qvirtqueue_cleanup(hmem->vdev->bus, *vqs[i], hmem->alloc);
            *vqs[i] = NULL;
        }
    }
}

static uint64_t hmem_post(QVirtioHMEM *hmem, QVirtQueue *vq, uint32_t len)
{
    uint64_t addr = guest_alloc(hmem->alloc, MAX(len, 1));
    uint32_t head = qvirtqueue_add(hmem->qts, vq, addr, len, true, false);

    qvirtqueue_kick(hmem->qts, hmem->vdev, vq, head);
    return addr;
}

static uint64_t hmem_send(QVirtioHMEM *hmem, QVirtQueue *vq, const void *data,
                          uint32_t len)
{
    uint64_t addr = guest_alloc(hmem->alloc, MAX(len, 1));
    uint32_t head;

    if (len) {
        qtest_memwrite(hmem->qts, addr, data, len);
    }
    head = qvirtqueue_add(hmem->qts, vq, addr, len, false, false);
    qvirtqueue_kick(hmem->qts, hmem->vdev, vq, head);
    return addr;
}

uint64_t qvirtio_hmem_post(QVirtioHMEM *hmem, uint32_t len)
{
    return hmem_post(hmem, hmem->hint_vq, len);
}

uint64_t qvirtio_hmem_result(QVirtioHMEM *hmem, const void *data,
                             uint32_t len)
{
    return hmem_send(hmem, hmem->result_vq, data, len);
}

uint64_t qvirtio_hmem_post_scan(QVirtioHMEM *hmem, uint32_t len)
{
    return hmem_post(hmem, hmem->scan_vq, len);
}

uint64_t qvirtio_hmem_report(QVirtioHMEM *hmem, const void *data,
                             uint32_t len)
{
    return hmem_send(hmem, hmem->access_vq, data, len);
}

uint64_t qvirtio_hmem_resize(QVirtioHMEM *hmem, const void *data, uint32_t len,
                             uint64_t answer, uint32_t room)
{
    QVirtQueue *vq = hmem->resize_vq;
    uint64_t addr = guest_alloc(hmem->alloc, MAX(len, 1));
    uint32_t head;

    if (len) {
        qtest_memwrite(hmem->qts, addr, data, len);
    }
    answer = answer ?: guest_alloc(hmem->alloc, MAX(room, 1));
    head = qvirtqueue_add(hmem->qts, vq, addr, len, false, room);
    if (room) {
        qvirtqueue_add(hmem->qts, vq, answer, room, true, false);
    }
    qvirtqueue_kick(hmem->qts, hmem->vdev, vq, head);
    return answer;
}

static void *qvirtio_hmem_pci_get_driver(void *object, const char *interface)
{
    QVirtioHMEMPCI *hmem_pci = object;

    if (!g_strcmp0(interface, "pci-device")) {
        return hmem_pci->pci_vdev.pdev;
    }
    if (!g_strcmp0(interface, "virtio-hmem")) {
        return &hmem_pci->hmem;
    }
    if (!g_strcmp0(interface, "virtio")) {
        return &hmem_pci->pci_vdev.vdev;
    }
    fprintf(stderr, "%s not present in virtio-hmem-pci\n", interface);
    g_assert_not_reached();
}

static void *virtio_hmem_pci_create(void *pci_bus, QGuestAllocator *alloc,
                                    void *addr)
{
    QVirtioHMEMPCI *hmem_pci = g_new0(QVirtioHMEMPCI, 1);
    QOSGraphObject *obj = &hmem_pci->pci_vdev.obj;

    virtio_pci_init(&hmem_pci->pci_vdev, pci_bus, addr);
    hmem_pci->hmem.qts = ((QPCIBus *)pci_bus)->qts;
    hmem_pci->hmem.alloc = alloc;
    hmem_pci->hmem.vdev = &hmem_pci->pci_vdev.vdev;
    obj->get_driver = qvirtio_hmem_pci_get_driver;
    return obj;
}

static void virtio_hmem_register_nodes(void)
{
    QPCIAddress addr = {
        .devfn = QPCI_DEVFN(4, 0),
    };
    QOSGraphEdgeOptions opts = {
        .extra_device_opts = "addr=04.0",
        /* No default devices, whose firmware is often missing. */
        .before_cmd_line =
            "-nodefaults -m 128M"
            " -object memory-backend-ram,id=hmem-fast,size=64M"
            " -object memory-backend-ram,id=hmem-slow,size=64M"
            " -numa node,nodeid=0,memdev=hmem-fast"
            " -numa node,nodeid=1,memdev=hmem-slow",
    };

    add_qpci_address(&opts, &addr);
    qos_node_create_driver("virtio-hmem-pci", virtio_hmem_pci_create);
    qos_node_consumes("virtio-hmem-pci", "pci-bus", &opts);
    qos_node_produces("virtio-hmem-pci", "pci-device");
    qos_node_produces("virtio-hmem-pci", "virtio");
    qos_node_produces("virtio-hmem-pci", "virtio-hmem");
}

libqos_init(virtio_hmem_register_nodes);
