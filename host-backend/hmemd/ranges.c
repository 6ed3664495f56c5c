/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "numbers.h"
#include "pass.h"
#include "ranges.h"

/* The memory of the table, and of the parts of the maps that hmemd reads. */
static uint64_t table_bytes(const struct hmem_link_range *ranges, uint32_t num)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < num; i++)
		frames += ranges[i].num;
	return hmem_pages_bytes_for(ranges, num) + HMEM_LINK_MAPS * frames / 8;
}

/*
 * hmemd cannot verify how much memory a VM really has.  So it bounds the largest possible
 * size of the tables of all VMs together.
 */
static int tables_fit(const struct vm *vm, const struct hmem_link_range *ranges,
		      uint32_t num, struct hmem_err *err)
{
	uint64_t bytes = table_bytes(ranges, num), max = vm->d->config.max_tables;
	uint64_t others = 0;
	const struct vm *other;
	char need[24], room[24];

	TAILQ_FOREACH(other, &vm->d->vms, link)
		others += other == vm ? 0 : other->table_bytes;
	if (others <= max && bytes <= max - others)
		return 0;
	return hmem_fail(err, E2BIG, "RANGES: the VM needs a page table of %s, but only %s "
			 "are left for page tables: see --max-tables",
			 hmem_format_size(bytes, need, sizeof(need)),
			 hmem_format_size(others < max ? max - others : 0, room,
					  sizeof(room)));
}

/* The page table now fits the new ranges. */
static void ranges_are_new(struct vm *vm)
{
	struct job *job;

	vm->ranges_id = vm->next_id;
	TAILQ_FOREACH(job, &vm->jobs, link)
		job_ranges(job, vm->ranges, vm->num_ranges, vm->new_ranges,
			   vm->num_new_ranges);
	free(vm->ranges);
	vm->ranges = vm->new_ranges;
	vm->num_ranges = vm->num_new_ranges;
	vm->new_ranges = NULL;
	vm->have_ranges = true;
	heat_queries_restart(&vm->heat_queries, vm_vtime(vm));
	if (vm->host_tracker)
		host_tracker_ranges(vm->host_tracker, vm->ranges, vm->num_ranges);
}

/* The pass that rebuilds the page table for other ranges. */
static void slice(struct vm *vm)
{
	if (!hmem_placer_resize(&vm->placer, WORK_SLOTS))
		return;
	ranges_are_new(vm);
	pass_finish(vm);
}

/* Stop queries: the table is inconsistent until the pass has ended. */
static void begin_resize(struct vm *vm)
{
	heat_queries_stop(&vm->heat_queries);
	pass_begin(vm, slice);
}

int ranges_update(struct vm *vm, const struct hmem_link_range *ranges, uint32_t num,
		  struct hmem_err *err)
{
	int ret = hmem_link_check_ranges(ranges, num, vm->hello.map_bytes,
					 vm->hello.num_tiers, err);
	struct hmem_link_range *copy;

	if (ret < 0)
		return ret;
	if (vm->have_ranges && num == vm->num_ranges &&
	    !memcmp(ranges, vm->ranges, num * sizeof(*ranges)))
		return 0;
	ret = tables_fit(vm, ranges, num, err);
	if (ret < 0)
		return ret;
	copy = malloc(num * sizeof(*copy));
	if (!copy)
		return hmem_fail(err, ENOMEM, "no memory for its ranges");
	ret = hmem_placer_ranges(&vm->placer, ranges, num, vm->d->config.max_frames, err);
	if (ret < 0) {
		free(copy);
		return ret;
	}
	memcpy(copy, ranges, num * sizeof(*copy));
	vm->new_ranges = copy;
	vm->num_new_ranges = num;
	vm->table_bytes = table_bytes(ranges, num);
	if (!ret && vm_lockstep(vm))
		hmem_placer_resize(&vm->placer, UINT64_MAX / 64 * 64);
	else if (!ret)
		begin_resize(vm);
	if (!vm->pass)
		ranges_are_new(vm);
	return 0;
}
