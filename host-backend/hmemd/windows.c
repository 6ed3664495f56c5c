/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "batches.h"
#include "log.h"
#include "pass.h"
#include "tracking.h"
#include "windows.h"

/* Number of hints in all batches that can be under way. */
static uint32_t max_in_lockstep(const struct vm *vm)
{
	return (vm->num_batches - vm->num_under_way) * HMEM_LINK_MAX_HINTS;
}

/*
 * The time, in ns, for which the VM's processors ran in the window: all of them, and all of the
 * time, if the device does not tell.
 */
static uint64_t busy_ns(const struct vm *vm)
{
	uint64_t window_ns = vm->tick.window_ns, most;

	/* Bound the device's numbers. */
	if (window_ns > HMEM_LINK_MAX_WINDOW_NS)
		window_ns = HMEM_LINK_MAX_WINDOW_NS;
	most = window_ns * vm->hello.num_cpus;
	if (!(vm->track.flags & HMEM_LINK_TRACK_BUSY) || vm->tick.busy_us > most / 1000)
		return most;
	return vm->tick.busy_us * UINT64_C(1000);
}

/* The time, in ns, that the window's scan took; the dirty log does not scan. */
static uint64_t scan_ns(const struct vm *vm)
{
	if (vm->track.tracker == HMEM_LINK_TRACKER_DIRTY)
		return 0;
	return vm->tick.scan_ns < HMEM_LINK_MAX_WINDOW_NS ? vm->tick.scan_ns :
							    HMEM_LINK_MAX_WINDOW_NS;
}

/*
 * The page walks that the window's scan will cost.  The driver cannot clear more bits than there
 * are frames, so a larger number is a wrong one.
 */
static uint64_t walks(const struct vm *vm)
{
	uint64_t most = hmem_pages_frames(&vm->placer.pages);

	return vm->cleared.bits < most ? vm->cleared.bits : most;
}

/* Can the driver look within scans?  As the device decides, see HMEM_LINK_TRACK_WITHIN. */
static bool looks_within(const struct vm *vm)
{
	uint64_t features = vm->state.features;

	return features >> VIRTIO_HMEM_F_LOOK & 1 &&
	       (vm->track.flags & HMEM_LINK_TRACK_ACCESSED ||
		!(features >> VIRTIO_HMEM_F_WRITTEN & 1));
}

/* Process vm->tick. */
static void begin_window(struct vm *vm)
{
	struct hmem_tick tick = {
		.times = {
			.window_ns = vm->tick.window_ns,
			.busy_ns = busy_ns(vm),
			.scan_ns = scan_ns(vm),
		},
		.tells_walks = vm->have_cleared,
		.walks = walks(vm),
		.written = vm->tick.dirty,
		.incomplete = vm->tick.flags & HMEM_LINK_TICK_INCOMPLETE,
		.tells_written = tracking_tells_written(vm),
		.looks_within = looks_within(vm),
		.knows_room = vm->have_account,
		.moves_whole = vm->state.features >> VIRTIO_HMEM_F_LARGE & 1,
		.busy = vm->num_under_way,
		.may_move = vm_may_plan(vm),
		.max_moves = vm_lockstep(vm) ? max_in_lockstep(vm) : UINT32_MAX,
	};

	vm->have_cleared = false;
	vm->stats.ticks++;
	vm->stats.dirty += tick.written;
	vm->stats.accessed += vm->tick.accessed;
	vm->stats.incomplete += tick.incomplete;
	vm->stats.window_ns += tick.times.window_ns;
	vm->stats.busy_ns += tick.times.busy_ns;
	vm->stats.scan_ns += tick.times.scan_ns;
	hmem_placer_window(&vm->placer, &tick);
	/* Counting takes time: switch the dirty log off before, if the next is a rest. */
	tracking_next_window(vm);
}

/* The window's pages have been counted, and the map of frames to rearm is filled. */
static void window_is_counted(struct vm *vm)
{
	const struct hmem_link_tick *tick = &vm->tick;
	char text[256];

	tracking_next_window(vm);
	heat_queries_window(&vm->heat_queries, vm_vtime(vm));
	if (!vm->placer.looked)
		return;
	vm->stats.rearmed += vm->placer.pages.rearmed;
	log_msg(LOG_DEBUG, "vm '%s': window to %" PRIu64 " us: %" PRIu64
		" accessed, %" PRIu64 " written, %" PRIu64 " rearmed, %" PRIu64
		" promoted, %" PRIu64 " demoted; %s; next window %" PRIu64 " us", vm->name,
		tick->vtime_ns / 1000, tick->accessed, tick->dirty,
		vm->placer.pages.rearmed, vm->stats.promoted, vm->stats.demoted,
		hmem_placer_describe(&vm->placer, text, sizeof(text)),
		vm->track.window_ns / 1000);
}

/* Continue to process the window.  Lack of memory for a plan is not the device's fault. */
static enum hmem_placer_step step_window(struct vm *vm, uint64_t slots)
{
	struct hmem_err err;
	enum hmem_placer_step to = hmem_placer_step(&vm->placer, slots, &err);

	if (err.msg[0])
		vm_error(vm, "%s", err.msg);
	if (to == HMEM_PLACER_DONE && vm->placer.planned) {
		vm->stats.plans++;
		vm->plan_window = vm->placer.pages.windows;
	}
	return to;
}

/* Lockstep: do everything that the tick requires, then let guest time continue. */
static void answer_in_lockstep(struct lockstep_member *m)
{
	struct vm *vm = (struct vm *)((char *)m - offsetof(struct vm, lockstep));
	struct hmem_link_tick tick = vm->tick;
	uint64_t begun = work_cpu_ns();
	enum hmem_placer_step to;

	begin_window(vm);
	to = step_window(vm, UINT64_MAX);
	window_is_counted(vm);
	while (to != HMEM_PLACER_DONE)
		to = step_window(vm, UINT64_MAX);
	vm->stats.daemon_ns += work_cpu_ns() - begun;
	vm->tick.seq = 0;
	vm->hints_now = true;
	batches_feed(vm);
	vm->hints_now = false;
	tracking_answer(vm, tick.seq);
}

/*
 * Has the device sent another TICK before TICK_DONE for the last one?  It may not, except
 * for the first tick after tracking was restarted.
 */
static bool ticks_too_early(const struct vm *vm)
{
	const char *at = conn_data(&vm->conn), *end = at + conn_len(&vm->conn);
	const struct hmem_link_header *hdr = (const void *)at;
	const struct hmem_link_tick *tick;

	for (; end - at >= (ptrdiff_t)sizeof(*hdr) &&
	     !hmem_link_check_header(hdr, NULL) &&
	     end - at >= (ptrdiff_t)(sizeof(*hdr) + hdr->len);
	     at += sizeof(*hdr) + hdr->len, hdr = (const void *)at) {
		tick = (const void *)(hdr + 1);
		if (hdr->type == HMEM_LINK_TICK)
			return !(vm->track_restarted && tick->seq == 1);
	}
	return false;
}

static void answer_tick(struct vm *vm)
{
	uint64_t seq = vm->tick.seq;

	vm->tick.seq = 0;
	if (ticks_too_early(vm))
		conn_drop(&vm->conn, true, "TICK before the answer to the last one");
	else
		tracking_answer(vm, seq);
	/* RANGES may have waited for the end of the host tracker's pass. */
	if (vm->host_tracker)
		conn_resume(&vm->conn);
}

/* A slice of the pass that makes the plan. */
static void plan_slice(struct vm *vm)
{
	if (step_window(vm, WORK_SLOTS) == HMEM_PLACER_DONE)
		pass_finish(vm);
}

/* A slice of the pass that counts the window. */
static void count_slice(struct vm *vm)
{
	enum hmem_placer_step to = step_window(vm, WORK_SLOTS);

	if (to == HMEM_PLACER_MORE)
		return;
	window_is_counted(vm);
	if (vm->host_tracker)
		host_tracker_rearm(vm->host_tracker);
	else
		answer_tick(vm);
	if (vm->conn.closing)
		return;
	vm->pass = plan_slice;
	if (to == HMEM_PLACER_DONE)
		pass_finish(vm);
}

int windows_cleared(struct vm *vm, const struct hmem_link_cleared *cleared, struct hmem_err *err)
{
	if (!(vm->hello.track_flags & HMEM_LINK_TRACK_CLEARED))
		return hmem_fail(err, EPROTO, "CLEARED, which HELLO did not offer");
	/* The message was on its way when hmemd changed its request. */
	if (!(vm->track.flags & HMEM_LINK_TRACK_CLEARED))
		return 0;
	vm->have_cleared = true;
	vm->cleared = *cleared;
	return 0;
}

int windows_tick(struct vm *vm, const struct hmem_link_tick *tick, struct hmem_err *err)
{
	int ret = hmem_link_check_tick(tick, err);

	if (ret < 0)
		return ret;
	/* The tick was on its way when tracking was stopped. */
	if (!vm->track.window_ns) {
		vm->have_cleared = false;
		return 0;
	}
	if (vm->tick.seq && !(vm->track_restarted && tick->seq == 1))
		return hmem_fail(err, EPROTO, "TICK: %" PRIu64 " before the answer to %"
				 PRIu64, tick->seq, vm->tick.seq);
	/* After a restart of tracking, ticks count from 1 again. */
	if (vm->last_seq && tick->seq != 1 && tick->seq != vm->last_seq + 1)
		return hmem_fail(err, EPROTO, "TICK: seq %" PRIu64 " follows %" PRIu64,
				 tick->seq, vm->last_seq);
	if (tick->seq == 1)
		vm->track_restarted = false;
	vm->last_seq = tick->seq;
	vm->last_vtime = tick->vtime_ns;
	vm->tick = *tick;
	if (vm_lockstep(vm)) {
		tracking_check_lockstep(vm);
	} else if (vm->host_tracker) {
		host_tracker_tick(vm->host_tracker, vm->placer.pages.windows);
	} else {
		begin_window(vm);
		pass_begin(vm, count_slice);
	}
	return 0;
}

static void host_found(void *user, uint64_t accessed)
{
	struct vm *vm = user;

	vm->tick.accessed = accessed;
	begin_window(vm);
	pass_begin(vm, count_slice);
}

static void host_rearmed(void *user)
{
	answer_tick(user);
}

static void host_failed(void *user, int error, const char *why)
{
	struct vm *vm = user;

	vm_error(vm, "nothing is tracked any more: %s", why);
	tracking_stop(vm, error == -EBUSY);
}

static const struct host_tracker_ops host_tracker_ops = {
	.found = host_found,
	.rearmed = host_rearmed,
	.failed = host_failed,
};

void windows_init(struct vm *vm)
{
	vm->lockstep.name = vm->name;
	vm->lockstep.answer = answer_in_lockstep;
	vm->host_tracker_ops = &host_tracker_ops;
}
