/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "vm.h"

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct vm *const *)a)->name, (*(struct vm *const *)b)->name);
}

/* The VMs to answer now, sorted, so that the order they ticked in is none. */
static struct vm **ready(struct hmemd *d, unsigned int *num)
{
	struct vm **vms = calloc(d->num_vms + 1, sizeof(*vms)), *vm;
	unsigned int taking_part = 0;

	*num = 0;
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm->conn.closing || !vm_lockstep(vm))
			continue;
		taking_part++;
		if (vms && vm->tick.seq)
			vms[(*num)++] = vm;
	}
	if (!taking_part)
		d->all_in_step = false;
	if (d->lockstep > 1) {
		if (taking_part >= d->lockstep && *num == taking_part)
			d->all_in_step = true;
		if (!d->all_in_step || *num < taking_part)
			*num = 0;
	}
	if (*num)
		qsort(vms, *num, sizeof(*vms), by_name);
	return vms;
}

void hmemd_step(struct hmemd *d)
{
	unsigned int num;

	/* Answering may end a connection, which may be what others wait for. */
	if (d->stepping)
		return;
	d->stepping = true;
	do {
		struct vm **vms = ready(d, &num);

		/* None is released here: that takes a turn of the loop. */
		for (unsigned int i = 0; i < num; i++) {
			if (!vms[i]->conn.closing)
				vm_step(vms[i]);
		}
		free(vms);
	} while (num);
	d->stepping = false;
}
