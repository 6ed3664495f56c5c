/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "accounts.h"
#include "tracking.h"

/*
 * The trackers that are available now.  "gpt" needs a driver that can scan.  If the VM is
 * tracked by gpt and the driver has gone, gpt stays available: the driver may come back
 * soon, and without one the heat of the pages does not change.
 */
static uint32_t offered(const struct vm *vm)
{
	uint32_t all = vm->hello.trackers;

	if (vm->state.flags & HMEM_LINK_DRIVER_OK ?
	    !(vm->state.features >> VIRTIO_HMEM_F_ACCESS & 1) :
	    vm->track.tracker != HMEM_LINK_TRACKER_GPT)
		all &= ~HMEM_LINK_TRACKER_GPT;
	return all;
}

/* The available trackers that tell which pages were written. */
static uint32_t offered_written(const struct vm *vm)
{
	uint32_t all = offered(vm) & ~HMEM_LINK_TRACKER_HOST;

	if (vm->state.flags & HMEM_LINK_DRIVER_OK &&
	    !(vm->state.features >> VIRTIO_HMEM_F_WRITTEN & 1))
		all &= ~HMEM_LINK_TRACKER_GPT;
	return all;
}

bool tracking_tells_written(const struct vm *vm)
{
	return offered_written(vm) & vm->track.tracker &&
	       !(vm->track.flags & HMEM_LINK_TRACK_ACCESSED);
}

/* The window of @policy in ns, but at least the device's shortest one. */
static uint64_t window_ns(const struct vm *vm, const struct hmem_policy *policy)
{
	uint64_t ns = hmem_policy_window_ns(policy);

	return ns < vm->hello.min_window_ns ? vm->hello.min_window_ns : ns;
}

/* The tracking request for the device that @policy needs. */
static int track_for(const struct vm *vm, const struct hmem_policy *policy,
		     struct hmem_link_track *track, struct hmem_err *err)
{
	*track = (struct hmem_link_track) { 0 };
	if (policy->kind == HMEM_POLICY_OFF)
		return 0;
	track->tracker = hmem_policy_tracker(policy, offered(vm), offered_written(vm), err);
	if (!track->tracker)
		return -ENOTSUP;
	if (policy->lockstep && track->tracker == HMEM_LINK_TRACKER_HOST)
		return hmem_fail(err, ENOTSUP, "lockstep=on is not possible: the host's "
				 "kernel tracks in its own time. Use lockstep=off or "
				 "another tracker");
	if (policy->lockstep) {
		track->flags = HMEM_LINK_TRACK_LOCKSTEP;
		if (!(vm->hello.track_flags & HMEM_LINK_TRACK_LOCKSTEP))
			return hmem_fail(err, ENOTSUP, "lockstep=on is not possible: "
					 "the VM's time cannot stand still. Use "
					 "lockstep=off, or start QEMU with -icount");
	}
	/* DIRTY finds nothing but written pages, and the host's trackers do not obey. */
	if (track->tracker & (HMEM_LINK_TRACKER_SIM | HMEM_LINK_TRACKER_GPT) &&
	    !hmem_policy_needs_written(policy))
		track->flags |= vm->hello.track_flags & HMEM_LINK_TRACK_ACCESSED;
	track->flags |= vm->hello.track_flags &
			(HMEM_LINK_TRACK_BUSY | HMEM_LINK_TRACK_ACCOUNT);
	if (track->tracker == HMEM_LINK_TRACKER_GPT)
		track->flags |= vm->hello.track_flags & HMEM_LINK_TRACK_CLEARED;
	track->window_ns = window_ns(vm, policy);
	return 0;
}

static enum hmem_track tracked_by(const struct vm *vm)
{
	switch (vm->track.tracker) {
	case HMEM_LINK_TRACKER_SIM:
		return HMEM_TRACK_SIM;
	case HMEM_LINK_TRACKER_GPT:
		return HMEM_TRACK_GPT;
	default:
		return HMEM_TRACK_DIRTY;
	}
}

/* The tracker of vm->track; NULL: none. */
static struct hmem_tracker *tracker(struct vm *vm)
{
	if (vm->host_tracker)
		return host_tracker_maps(vm->host_tracker);
	return vm->track.tracker ? &vm->trackers[tracked_by(vm)].tracker : NULL;
}

static void tracker_is_new(struct vm *vm)
{
	const uint32_t flags = vm->hello.track_flags;
	unsigned int can = flags & HMEM_LINK_TRACK_REST ? HMEM_CAN_REST : 0;

	/* Only GPT looks at page tables. */
	if (flags & HMEM_LINK_TRACK_LONG && vm->track.tracker == HMEM_LINK_TRACKER_GPT)
		can |= HMEM_CAN_LOOK_LONG;
	if (flags & HMEM_LINK_TRACK_WITHIN && vm->track.tracker == HMEM_LINK_TRACKER_GPT)
		can |= HMEM_CAN_LOOK_WITHIN;
	hmem_placer_set_tracker(&vm->placer, tracker(vm), can);
}

const char *tracking_name(const struct vm *vm)
{
	if (vm->host_tracker)
		return host_tracker_maps(vm->host_tracker)->ops->name;
	return vm->track.window_ns ?
	       vm->trackers[tracked_by(vm)].tracker.ops->name : NULL;
}

void tracking_answer(struct vm *vm, uint64_t seq)
{
	struct hmem_link_tick_done done = { .seq = seq };

	vm_send(vm, HMEM_LINK_TICK_DONE, &done, sizeof(done));
}

/* Track by HOST as @track and @policy say.  On failure, the old tracker stays. */
static int track_host(struct vm *vm, const struct hmem_policy *policy,
		      const struct hmem_link_track *track, struct hmem_err *err)
{
	const struct host_tracker_target target = {
		.pid = vm->conn.pid,
		.connection = vm->conn.fd,
		.ranges = vm->ranges,
		.num_ranges = vm->num_ranges,
		.map_bytes = vm->hello.map_bytes,
	};
	struct host_tracker *t = NULL;
	int ret;

	if (track->tracker == HMEM_LINK_TRACKER_HOST) {
		if (vm->host_tracker &&
		    host_tracker_how(vm->host_tracker) == policy->track &&
		    vm->track.window_ns == track->window_ns)
			return 0;
		ret = host_tracker_start(&vm->d->host_trackers, &target, policy->track,
					 track->window_ns / 1000000, vm->host_tracker_ops, vm,
					 &vm->stats.daemon_ns, &t, err);
		if (ret < 0)
			return ret;
	}
	if (vm->host_tracker) {
		host_tracker_stop(vm->host_tracker);
		if (vm->tick.seq)
			tracking_answer(vm, vm->tick.seq);
		vm->tick.seq = 0;
		conn_resume(&vm->conn);
	}
	if (!vm->host_tracker && !t)
		return 0;
	vm->host_tracker = t;
	tracker_is_new(vm);
	return 0;
}

void tracking_check_lockstep(struct vm *vm)
{
	struct lockstep *l = &vm->d->lockstep;

	vm->lockstep.waits = vm->tick.seq;
	if (vm_lockstep(vm))
		lockstep_join(l, &vm->lockstep);
	else
		lockstep_leave(l, &vm->lockstep);
	lockstep_check(l);
}

static void send_track(struct vm *vm)
{
	vm_send(vm, HMEM_LINK_TRACK, &vm->track, sizeof(vm->track));
}

/* Put the length of the placer's next window into @track. */
static void want_next_window(const struct vm *vm, struct hmem_link_track *track)
{
	track->window_ns = vm->placer.next.ns;
	track->flags &= ~HMEM_LINK_TRACK_BY_WINDOW;
	track->flags |= vm->placer.next.rest ? HMEM_LINK_TRACK_REST : 0;
	track->flags |= vm->placer.next.long_looks ? HMEM_LINK_TRACK_LONG : 0;
	track->flags |= vm->placer.next.within ? HMEM_LINK_TRACK_WITHIN : 0;
}

/* Send @track to the device. */
static void apply(struct vm *vm, const struct hmem_link_track *track)
{
	struct hmem_link_track old = vm->track;

	vm->track = *track;
	if (old.tracker != track->tracker)
		tracker_is_new(vm);
	if (track->tracker) {
		hmem_placer_begin(&vm->placer);
		want_next_window(vm, &vm->track);
	}
	if (!memcmp(&vm->track, &old, sizeof(old)))
		return;
	vm->last_seq = 0;
	if (!(vm->track.flags & HMEM_LINK_TRACK_ACCOUNT))
		accounts_forget(vm);
	/* The tick is answered by the new request. */
	if (old.tracker != track->tracker ||
	    (old.flags ^ vm->track.flags) & ~HMEM_LINK_TRACK_BY_WINDOW) {
		vm->tick.seq = 0;
		vm->track_restarted = true;
	}
	send_track(vm);
	if (!track->window_ns)
		heat_queries_fail_waiting(&vm->heat_queries,
					  "tracking was switched off, no window will end");
	tracking_check_lockstep(vm);
}

void tracking_update(struct vm *vm)
{
	struct hmem_link_track t;
	struct hmem_err err;
	int ret = track_for(vm, &vm->placer.policy, &t, &err);

	if (!ret)
		ret = track_host(vm, &vm->placer.policy, &t, &err);
	/* hmemd-trackers may be started again, or enabled. */
	vm->track_again = ret == -EBUSY || ret == -ENOTCONN;
	if (ret < 0) {
		/* Log this once, not at each try. */
		if (!strstr(vm->last_error, err.msg))
			vm_error(vm, "nothing is tracked: %s", err.msg);
		t = (struct hmem_link_track) { 0 };
		track_host(vm, &vm->placer.policy, &t, NULL);
	}
	apply(vm, &t);
}

int tracking_set_policy(struct vm *vm, const struct hmem_policy *policy,
			struct hmem_err *err)
{
	struct hmem_link_track t;
	int ret = track_for(vm, policy, &t, err);

	if (!ret)
		ret = track_host(vm, policy, &t, err);
	if (ret < 0)
		return ret;
	hmem_placer_set_policy(&vm->placer, policy);
	apply(vm, &t);
	return 0;
}

void tracking_next_window(struct vm *vm)
{
	struct hmem_link_track was = vm->track;

	want_next_window(vm, &vm->track);
	if (memcmp(&was, &vm->track, sizeof(was)))
		send_track(vm);
}

void tracking_stop(struct vm *vm, bool again)
{
	struct hmem_link_track none = { 0 };

	track_host(vm, &vm->placer.policy, &none, NULL);
	apply(vm, &none);
	vm->track_again = again;
}

void tracking_again(struct vm *vm)
{
	if (vm->track_again && !vm->pass)
		tracking_update(vm);
}
