# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual machine of docs/libvirt.md, smaller, and with the tests' kernel."""

import re
import subprocess
import xml.etree.ElementTree as ET

import env

DOCUMENT = env.TOP / "docs/libvirt.md"
SIZES = 256, 512    # MiB
NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
# libvirtd in a root of its own: the kernel need not have AppArmor.
QEMU_CONF = """
security_driver = "none"
stdio_handler = "file"
namespaces = []
"""


def text():
    """The document's XML."""
    return re.search(r"```xml\n(.*?)```", DOCUMENT.read_text(), re.S).group(1)


def images(directory, work="while sleep 60; do :; done"):
    """The tests' kernel, and an initramfs whose init runs no agent, but this work."""
    init = (env.TESTS / "guest/init").read_text()
    assert "\nexec agent\n" in init
    (directory / "init").write_text(init.replace("\nexec agent\n", f"\n{work}\n"))
    (directory / "init").chmod(0o755)
    overlay = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0"], input=b"init\n",
                             cwd=directory, stdout=subprocess.PIPE, check=True).stdout
    # The kernel unpacks all concatenated archives.
    return (env.kernel(env.KERNEL) / "vmlinuz").read_bytes(), \
        env.initramfs(env.KERNEL).read_bytes() + overlay


def domain(xml, directory, own_qemu=False):
    """The document's domain (see text()) for this host, with the images in the directory."""
    ET.register_namespace("qemu", NAMESPACE)
    top = ET.fromstring(xml)
    top.set("type", "qemu")
    # The QEMU of the tests knows nothing of the host's nodes.
    if own_qemu:
        top.remove(top.find("numatune"))
    for node in top.findall("numatune/memnode"):
        node.set("nodeset", "0")
    top.find("vcpu").text = "2"
    for cell, size in zip(top.findall("cpu/numa/cell"), SIZES, strict=True):
        cell.set("memory", str(size))
        cell.set("unit", "MiB")
        if cell.get("cpus"):
            cell.set("cpus", "0-1")
    top.find("memory").set("unit", "MiB")
    top.find("memory").text = str(sum(SIZES))
    cpu = top.find("cpu")
    cpu.set("mode", "maximum")
    ET.SubElement(cpu, "feature", policy="disable", name="la57")
    system = top.find("os")
    ET.SubElement(system, "kernel").text = str(directory / "vmlinuz")
    ET.SubElement(system, "initrd").text = str(directory / "initrd")
    ET.SubElement(system, "cmdline").text = "console=ttyS0 panic=-1 mitigations=off " \
        "cryptomgr.notests"
    serial = top.find("devices/serial")
    serial.set("type", "file")
    ET.SubElement(serial, "source", path=str(directory / "console"))
    return top
