/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the host's kernel tells about processes and memory. */
#ifndef HMEMD_HOSTPATH_H
#define HMEMD_HOSTPATH_H

/* Only tests have others than "/proc" and "/sys/kernel/mm". */
struct host_paths {
	const char *proc, *mm;
};

#endif /* HMEMD_HOSTPATH_H */
