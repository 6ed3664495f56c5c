/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures what the pool's decisions cost hmemd, and how good they are, in a model of a host
 * (hosts.h).
 *
 *   bench-pool [VMS [WINDOWS]]
 *
 * Runs 64 VMs of 64 GiB, with DRAM for a quarter of that, for 1000 windows.  After each tenth
 * of the windows, prints the time that DRAM saves, as a share of what the best distribution
 * saves; the price of a GiB; the GiB that have moved; and the processor time of a decision, on
 * average and at most.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hosts.h"

static double processor_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	unsigned int vms = argc > 1 ? atoi(argv[1]) : 64;
	unsigned int windows = argc > 2 ? atoi(argv[2]) : 1000;
	double sum = 0, most = 0, best;
	struct host h;

	if (!vms || !windows) {
		fprintf(stderr, "usage: bench-pool [VMS [WINDOWS]]\n");
		return 2;
	}
	host_many(&h, vms);
	/* host_best() needs the VMs' shares, which the pool computes when it decides. */
	hmem_pool_decide(&h.pool, 1);
	best = host_best(&h, h.pool.config.loss);
	printf("%u VMs, equal shares: %.3f of the best\n", vms, host_saved(&h) / best);
	printf("window   saved  s/s per GiB  GiB moved  ms per decision  at most\n");
	for (unsigned int w = 1; w <= windows; w++) {
		double before, ms;

		host_follow(&h);
		before = processor_ms();
		hmem_pool_decide(&h.pool, 1000000000);
		ms = processor_ms() - before;
		sum += ms;
		most = ms > most ? ms : most;
		if (w % ((windows + 9) / 10))
			continue;
		printf("%6u  %6.3f  %11.6f  %9.1f  %15.3f  %7.3f\n", w,
		       host_saved(&h) / best,
		       h.pool.price[0] * GIB / 1e9, (double)h.moved / GIB, sum / w, most);
	}
	host_free(&h);
	return 0;
}
