/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "doctor.h"

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
