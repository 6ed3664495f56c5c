/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the test and preload-faults.c in hmemd share. */
#ifndef HMEM_UNIT_PRELOAD_FAULTS_H
#define HMEM_UNIT_PRELOAD_FAULTS_H

#include <stdint.h>

struct preload_faults {
	int64_t clock_s;		/* added to the time of day */
	/* One in so many calls that ask for memory fails; 0: none does. */
	uint32_t memory_fails;
	/* How many have failed. */
	uint32_t no_memory;
};

#endif /* HMEM_UNIT_PRELOAD_FAULTS_H */
