/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: PCI bindings.
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/virtio/virtio-hmem.h"
#include "hw/virtio/virtio-pci.h"
#include "qom/object.h"

#define TYPE_VIRTIO_HMEM_PCI "virtio-hmem-pci-base"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOHMEMPCI, VIRTIO_HMEM_PCI)

struct VirtIOHMEMPCI {
    VirtIOPCIProxy parent_obj;
    VirtIOHMEM vdev;
};

static const Property virtio_hmem_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
};

static void virtio_hmem_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VirtIOHMEMPCI *hmem_pci = VIRTIO_HMEM_PCI(proxy);

    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        proxy->nvectors = 1 + VIRTIO_HMEM_VQ_MAX;
    }
    /*
     * With ioeventfd, the main loop handles a kick at some later time.  With
     * -icount, the guest must see the same in each run.
     */
    if (icount_enabled()) {
        proxy->flags &= ~VIRTIO_PCI_FLAG_USE_IOEVENTFD;
    }
    qdev_realize(DEVICE(&hmem_pci->vdev), BUS(&proxy->bus), errp);
}

static void virtio_hmem_pci_class_init(ObjectClass *klass, HmemClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pcidev_k = PCI_DEVICE_CLASS(klass);

    k->realize = virtio_hmem_pci_realize;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    dc->desc = "heterogeneous memory";
    pcidev_k->revision = VIRTIO_PCI_ABI_VERSION;
    pcidev_k->class_id = PCI_CLASS_OTHERS;
    device_class_set_props(dc, virtio_hmem_pci_properties);
}

static void virtio_hmem_pci_instance_init(Object *obj)
{
    VirtIOHMEMPCI *hmem_pci = VIRTIO_HMEM_PCI(obj);

    virtio_instance_init_common(obj, &hmem_pci->vdev, sizeof(hmem_pci->vdev),
                                TYPE_VIRTIO_HMEM);
}

static const VirtioPCIDeviceTypeInfo virtio_hmem_pci_info = {
    .base_name = TYPE_VIRTIO_HMEM_PCI,
    .non_transitional_name = "virtio-hmem-pci",
    .instance_size = sizeof(VirtIOHMEMPCI),
    .instance_init = virtio_hmem_pci_instance_init,
    .class_init = virtio_hmem_pci_class_init,
};

static void virtio_hmem_pci_register_types(void)
{
    virtio_pci_types_register(&virtio_hmem_pci_info);
}

type_init(virtio_hmem_pci_register_types)
