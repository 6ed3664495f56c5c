/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "hmem_link.h"

/* A DIMM, or a device of virtio-mem, takes a few. */
#define SPARE_PIECES	4u
#define VHOST_SLOTS	"/sys/module/vhost/parameters/max_mem_regions"

/* Read the first line of the file.  Returns false if the kernel has no such file. */
static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, size, f);

	if (f)
		fclose(f);
	return ok;
}

static void check_movers(void)
{
	char line[64];
	bool moves = false;

	if (read_line("/proc/sys/kernel/numa_balancing", line, sizeof(line)) && line[0] != '0') {
		check(WARN, "host", "NUMA balancing is on: it moves the memory of VMs that is not "
		      "bound to a node, and costs them faults: sysctl kernel.numa_balancing=0");
		moves = true;
	}
	if (read_line("/sys/kernel/mm/numa/demotion_enabled", line, sizeof(line)) &&
	    (line[0] == 't' || line[0] == '1')) {
		check(WARN, "host", "demotion is on: it moves DRAM of VMs to slower nodes, which "
		      "no VM can see: echo 0 > /sys/kernel/mm/numa/demotion_enabled");
		moves = true;
	}
	if (!moves)
		check(OK, "host", "moves no pages by itself");
}

static void check_huge_pages(void)
{
	char line[64];

	if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)))
		return;
	if (strstr(line, "[never]"))
		check(WARN, "huge pages", "are off, so VMs that do not use hugetlbfs take longer "
		      "for each access: echo madvise > "
		      "/sys/kernel/mm/transparent_hugepage/enabled");
	else
		check(OK, "huge pages", "are on");
}

void check_host(void)
{
	struct utsname name;

	if (!uname(&name))
		check(OK, "kernel", "%s %s", name.sysname, name.release);
	check_movers();
	check_huge_pages();
}

/* 0: there is no KVM, or no access to it. */
static unsigned long slots_of_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), num = 0;

	if (fd >= 0) {
		num = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
		close(fd);
	}
	return num > 0 ? num : 0;
}

/* 0: vhost is not loaded. */
static unsigned long slots_of_vhost(void)
{
	char line[32];

	return read_line(VHOST_SLOTS, line, sizeof(line)) ? strtoul(line, NULL, 10) : 0;
}

void check_slots(void)
{
	unsigned long kvm = slots_of_kvm(), vhost = slots_of_vhost();
	char kvm_has[64] = "", vhost_has[64] = "";

	if (kvm)
		snprintf(kvm_has, sizeof(kvm_has), ", KVM %lu", kvm);
	if (vhost)
		snprintf(vhost_has, sizeof(vhost_has), ", vhost %lu", vhost);
	check(OK, "memory slots", "for each VM, hmemd has %u%s%s", HMEM_LINK_MAX_RANGES, kvm_has,
	      vhost_has);
}

void check_pieces(const char *what, unsigned long pieces)
{
	unsigned long kvm = slots_of_kvm(), vhost = slots_of_vhost(), least = HMEM_LINK_MAX_RANGES;

	if (kvm && kvm < least)
		least = kvm;
	/* Only VMs with vhost devices need these. */
	if (pieces + SPARE_PIECES > least)
		check(WARN, what, "its memory is in %lu pieces, of %lu that are possible: plug in "
		      "fewer and larger ones", pieces, least);
	else if (vhost && pieces + SPARE_PIECES > vhost)
		check(WARN, what, "its memory is in %lu pieces, and vhost takes %lu: before more "
		      "memory is plugged in, write options vhost max_mem_regions=509 to a file "
		      "in /etc/modprobe.d, and load vhost again", pieces, vhost);
}

void check_vm_socket(const char *path)
{
	const struct group *group;
	struct stat st;

	/* hmemd runs, and has told the path. */
	if (stat(path, &st)) {
		check(WARN, "socket", "%s: %s: %s", path, strerror(errno), errno == ENOENT ?
		      "it was removed, so no VM can connect: systemctl restart hmemd-vm.socket, "
		      "or hmemd if systemd does not open its sockets" :
		      "run doctor as root to see who may connect");
		return;
	}
	group = getgrgid(st.st_gid);
	if ((st.st_mode & 0060) != 0060)
		check(WARN, "socket", "%s: only its owner may connect; if QEMU runs as another "
		      "user, set SocketGroup= and SocketMode=0660 with systemctl edit "
		      "hmemd-vm.socket", path);
	else if (group)
		check(OK, "socket", "%s: members of the group %s may connect", path,
		      group->gr_name);
	else
		check(OK, "socket", "%s: members of the group %u may connect", path, st.st_gid);
}
