/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the host's kernel shows processes and memory. */
#ifndef HMEMD_HOSTPATH_H
#define HMEMD_HOSTPATH_H

/* "/proc" and "/sys/kernel/mm", except in tests. */
struct host_paths {
	const char *proc, *mm;
};

#endif /* HMEMD_HOSTPATH_H */
