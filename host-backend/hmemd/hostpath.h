/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the host's kernel shows processes and memory. */
#ifndef HMEMD_HOSTPATH_H
#define HMEMD_HOSTPATH_H

/* "/proc" and "/sys/kernel/mm", except in tests. */
struct host_paths {
	const char *proc, *mm;
	/* A directory for notes that outlast a crash, but not the kernel; NULL: there is none. */
	const char *run;
};

/* For tests: @root has proc/ and mm/ in place of the kernel's. */
void host_paths_set(struct host_paths *paths, const char *root);

#endif /* HMEMD_HOSTPATH_H */
