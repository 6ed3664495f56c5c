/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures that the kernel tells of a process. */
#ifndef HMEM_UNIT_PROCESS_H
#define HMEM_UNIT_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* The number of open files. */
unsigned int process_files(pid_t pid);
/* A line of /proc/PID/status in KiB, such as "VmRSS". */
uint64_t process_kib(pid_t pid, const char *key);

#endif /* HMEM_UNIT_PROCESS_H */
