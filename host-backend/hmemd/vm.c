/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"
#include "size.h"
#include "vm.h"

/*
 * Hints wait here rather than in a queue to a device that does not read.  In
 * lockstep all batches are queued, which is about twice as much.
 */
#define MAX_QUEUED	(256u * 1024)

void vm_error(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vm->last_error, sizeof(vm->last_error), fmt, ap);
	va_end(ap);
	log_msg(LOG_WARN, "vm '%s': %s", vm->name, vm->last_error);
}

static void send_msg(struct vm *vm, uint32_t type, const void *payload,
		     uint32_t len)
{
	struct hmem_link_header hdr = { .type = type, .len = len };

	conn_send(&vm->conn, &hdr, sizeof(hdr));
	conn_send(&vm->conn, payload, len);
}

const char *vm_blocked(const struct vm *vm)
{
	if (!vm_ready(vm))
		return "the device has not introduced itself yet";
	if (vm->state.flags & HMEM_LINK_BROKEN)
		return "its driver broke the rules: reset the guest";
	if (!(vm->state.flags & HMEM_LINK_DRIVER_OK))
		return "no driver at work: load virtio_hmem in the guest";
	if (vm->state.flags & HMEM_LINK_MIGRATING)
		return "live migration is under way: wait for its end";
	return NULL;
}

uint64_t vm_oldest(const struct vm *vm)
{
	uint64_t now = loop_now(), oldest = 0;

	for (uint32_t i = 0; i < vm->num_batches; i++) {
		const struct batch *b = &vm->batches[i];

		if (b->id && now - b->sent_ms > oldest)
			oldest = now - b->sent_ms;
	}
	return oldest;
}

bool vm_is_late(const struct vm *vm)
{
	return !vm_blocked(vm) && vm->state.flags & HMEM_LINK_VM_RUNNING &&
	       vm_oldest(vm) >= vm->d->late_ms &&
	       loop_now() - vm->answered >= vm->d->late_ms;
}

const char *vm_activity(const struct vm *vm)
{
	const char *blocked = vm_blocked(vm);
	static char late[96];

	if (blocked)
		return blocked;
	if (!(vm->state.flags & HMEM_LINK_VM_RUNNING))
		return "the guest is paused, or asleep";
	if (vm_is_late(vm)) {
		snprintf(late, sizeof(late), "waiting for the guest's driver, which has not "
			 "answered for %" PRIu64 " s", vm_oldest(vm) / 1000);
		return late;
	}
	if (!TAILQ_EMPTY(&vm->jobs))
		return "moving pages by hand";
	if (vm->placer.policy.kind == HMEM_POLICY_OFF)
		return "policy is off: nothing moves unless asked by hand";
	if (!vm->track.window_ns)
		return "nothing is tracked: the VM lacks what the policy asks for";
	if (vm->state.flags & HMEM_LINK_SCAN_LATE)
		return "waiting for the guest's driver to tell what was accessed";
	if (!vm->stats.ticks)
		return "waiting for the first window to end";
	if (vm->tick.seq && vm_lockstep(vm))
		return "waiting for the other VMs in lockstep";
	if (vm->placer.policy.kind == HMEM_POLICY_OBSERVE)
		return "policy is observe: nothing moves unless asked by hand";
	if (vm->under_way)
		return "moving pages";
	switch (hmem_placer_why_idle(&vm->placer)) {
	case HMEM_PLACER_CANNOT_LOOK:
		return "waiting: the guest's driver cannot look at all of its memory";
	case HMEM_PLACER_DOES_NOT_PAY:
		return "idle: moving pages does not pay";
	default:
		return "idle: tier 0 holds the hottest pages";
	}
}

/* QEMU orders them: by latency if it knows all, by bandwidth if it knows only that. */
const char *vm_order_doubt(const struct vm *vm)
{
	uint32_t latencies = 0, bandwidths = 0, num = vm->hello.num_tiers;

	for (uint32_t i = 0; i < num; i++) {
		latencies += vm->hello.tiers[i].read_latency != 0;
		bandwidths += vm->hello.tiers[i].read_bandwidth != 0;
	}
	if (latencies == num)
		return NULL;
	if (latencies)
		return "the latency of some is not known: tiers are in node order; give "
		       "QEMU -numa hmat-lb with an access-latency for each node";
	if (bandwidths == num)
		return "no latencies known: tiers are in the order of their bandwidth; "
		       "give QEMU -numa hmat-lb with access-latency";
	return "no latencies known: tiers are in node order; add hmat=on and hmat-lb to "
	       "QEMU's options";
}

uint64_t vm_frames(const struct vm *vm)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		frames += vm->placer.pages.frames[i];
	return frames;
}

/* --- batches --- */

static struct batch *find_batch(struct vm *vm, uint64_t id)
{
	for (uint32_t i = 0; id && i < vm->num_batches; i++) {
		if (vm->batches[i].id == id)
			return &vm->batches[i];
	}
	return NULL;
}

static struct batch *free_batch(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->num_batches; i++) {
		if (!vm->batches[i].id)
			return &vm->batches[i];
	}
	return NULL;
}

static uint64_t frames_of(const struct sent *s)
{
	return UINT64_C(1) << s->hint.order;
}

static int by_gfn(const void *a, const void *b)
{
	const struct sent *x = a, *y = b;

	return (x->hint.gfn > y->hint.gfn) - (x->hint.gfn < y->hint.gfn);
}

/* The hint that @gfn is part of, or NULL. */
static struct sent *find_sent(struct batch *b, uint64_t gfn)
{
	uint32_t lo = 0, hi = b->num;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct sent *s = &b->sent[mid];

		if (gfn < s->hint.gfn)
			hi = mid;
		else if (gfn - s->hint.gfn >= frames_of(s))
			lo = mid + 1;
		else
			return s;
	}
	return NULL;
}

static void end_batch(struct vm *vm, struct batch *b)
{
	for (uint32_t i = 0; i < b->num; i++)
		hmem_placer_unsent(&vm->placer, b->sent[i].hint.gfn, b->sent[i].hint.order);
	if (b->job)
		b->job->in_flight--;
	b->id = 0;
	b->job = NULL;
	vm->under_way--;
}

/* Nothing more is asked for: who waits is told, and the log. */
static void finish_job(struct vm *vm, struct job *job)
{
	TAILQ_REMOVE(&vm->jobs, job, link);
	vm->num_jobs--;
	log_msg(job->failed ? LOG_WARN : LOG_INFO,
		"vm '%s': job %" PRIu64 " to tier %" PRIu32 ": %" PRIu64 " of %"
		PRIu64 " pages answered, %" PRIu64 " moved%s%s",
		vm->name, job->id, job->tier, job->done, job->total,
		job->reasons[VIRTIO_HMEM_R_MOVED],
		job->failed ? ": " : job->cancelled ? ": cancelled" : "",
		job->failed ? job->failed : "");
	if (job->ops)
		job->ops->done(job);
	job_free(job);
}

/* No answers will come to what is under way, and nothing more is asked. */
static void lose_batches(struct vm *vm, const char *why)
{
	struct job *job, *next;

	for (uint32_t i = 0; i < vm->num_batches; i++) {
		if (vm->batches[i].id) {
			end_batch(vm, &vm->batches[i]);
			vm->stats.batches_lost++;
		}
	}
	hmem_placer_drop_hints(&vm->placer);
	for (job = TAILQ_FIRST(&vm->jobs); job; job = next) {
		next = TAILQ_NEXT(job, link);
		job->failed = why;
		finish_job(vm, job);
	}
}

/* The policy's hints. */
static uint32_t placer_next(struct vm *vm, struct sent *sent)
{
	struct hmem_hint hints[HMEM_LINK_MAX_HINTS];
	uint32_t n = hmem_placer_hints(&vm->placer, hints, HMEM_LINK_MAX_HINTS);

	for (uint32_t i = 0; i < n; i++)
		sent[i] = (struct sent) { .hint = hints[i] };
	return n;
}

static void send_batch(struct vm *vm, struct batch *b)
{
	_Alignas(8) char buf[sizeof(struct virtio_hmem_hint_batch) +
			     HMEM_LINK_MAX_HINTS * sizeof(struct virtio_hmem_hint)];
	struct virtio_hmem_hint_batch *msg = (void *)buf;

	b->id = vm->next_id++;
	b->sent_ms = loop_now();
	b->left = 0;
	msg->id = htole64(b->id);
	msg->num_hints = htole32(b->num);
	msg->flags = 0;
	for (uint32_t i = 0; i < b->num; i++) {
		struct sent *s = &b->sent[i];

		msg->hints[i] = (struct virtio_hmem_hint) {
			.gfn = htole64(s->hint.gfn),
			.order = s->hint.order,
			.tier = s->hint.tier,
		};
		b->left += frames_of(s);
		hmem_placer_sent(&vm->placer, s->hint.gfn, s->hint.order);
	}
	/* The order matters to the driver; the answers are looked up. */
	qsort(b->sent, b->num, sizeof(b->sent[0]), by_gfn);
	vm->under_way++;
	vm->stats.batches++;
	vm->stats.hints += b->num;
	send_msg(vm, HMEM_LINK_HINTS, msg,
		 sizeof(*msg) + b->num * sizeof(msg->hints[0]));
}

/* May another batch be sent now? */
static bool may_send(const struct vm *vm)
{
	if (vm->conn.closing || vm->pass || vm_blocked(vm))
		return false;
	/* All at once: what comes when the peer reads is not guest time. */
	if (vm_lockstep(vm))
		return vm->in_step;
	return conn_queued(&vm->conn) < MAX_QUEUED;
}

void vm_feed(struct vm *vm)
{
	struct job *job, *next;
	struct batch *b;

	while (may_send(vm) && (b = free_batch(vm))) {
		b->num = 0;
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->ops && job->ops->is_full(job)) {
				vm_feed_soon(vm);
				continue;
			}
			b->num = job_next(job, vm_now(vm), b->sent, HMEM_LINK_MAX_HINTS);
			if (b->num)
				break;
			if (job_waits(job))
				vm_feed_soon(vm);
		}
		if (job)
			job->in_flight++;
		else
			b->num = placer_next(vm, b->sent);
		if (!b->num)
			break;
		b->job = job;
		send_batch(vm, b);
	}
	for (job = TAILQ_FIRST(&vm->jobs); job; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job_finished(job))
			finish_job(vm, job);
	}
}

static void feed_turn(struct turn *turn)
{
	vm_feed((struct vm *)((char *)turn - offsetof(struct vm, feed_soon)));
}

void vm_feed_soon(struct vm *vm)
{
	loop_soon(&vm->d->loop, &vm->feed_soon);
}

/* --- tracking --- */

/*
 * Trackers that can be had now.  The guest's driver is one of them, if it is at
 * work and can do it.  While none is at work it is not given up, though: time
 * stands still for its pages, and it can be back soon.
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

/* Those of them that tell written pages from others. */
static uint32_t offered_written(const struct vm *vm)
{
	uint32_t all = offered(vm) & ~HMEM_LINK_TRACKER_HOST;

	if (vm->state.flags & HMEM_LINK_DRIVER_OK &&
	    !(vm->state.features >> VIRTIO_HMEM_F_WRITTEN & 1))
		all &= ~HMEM_LINK_TRACKER_GPT;
	return all;
}

/* In ns: as asked for, or as short as the device has it. */
static uint64_t window_ns(const struct vm *vm, const struct hmem_policy *policy)
{
	uint64_t ns = hmem_policy_window_ns(policy);

	return ns < vm->hello.min_window_ns ? vm->hello.min_window_ns : ns;
}

/* What the device would have to be told for @policy. */
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
		return hmem_fail(err, ENOTSUP, "lockstep=on is asked for, but the host's "
				 "kernel looks in its own time: use lockstep=off or "
				 "another tracker");
	if (policy->lockstep) {
		track->flags = HMEM_LINK_TRACK_LOCKSTEP;
		if (!(vm->hello.track_flags & HMEM_LINK_TRACK_LOCKSTEP))
			return hmem_fail(err, ENOTSUP, "lockstep=on is asked for, but "
					 "the VM's time cannot stand still: use "
					 "lockstep=off, or start QEMU with -icount");
	}
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

/* What @vm->track says is tracked with; NULL: nothing is. */
static struct hmem_tracker *tracker(struct vm *vm)
{
	if (vm->host_tracker)
		return host_tracker_maps(vm->host_tracker);
	return vm->track.tracker ? &vm->trackers[tracked_by(vm)].tracker : NULL;
}

static void tracker_is_new(struct vm *vm)
{
	hmem_placer_set_tracker(&vm->placer, tracker(vm),
				vm->hello.track_flags & HMEM_LINK_TRACK_REST);
}

static void tick_done(struct vm *vm, uint64_t seq)
{
	struct hmem_link_tick_done done = { .seq = seq };

	send_msg(vm, HMEM_LINK_TICK_DONE, &done, sizeof(done));
}

static const struct host_tracker_ops host_tracker_ops;

/* HOST: track for @policy as @track says.  What was stays if this fails. */
static int track_host(struct vm *vm, const struct hmem_policy *policy,
		      const struct hmem_link_track *track, struct hmem_err *err)
{
	const struct host_tracker_target target = {
		.pid = vm->conn.pid,
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
					 track->window_ns / 1000000, &host_tracker_ops, vm,
					 &vm->stats.daemon_ns, &t, err);
		if (ret < 0)
			return ret;
	}
	if (vm->host_tracker) {
		host_tracker_stop(vm->host_tracker);
		if (vm->tick.seq)
			tick_done(vm, vm->tick.seq);
		vm->tick.seq = 0;
		conn_resume(&vm->conn);
	}
	if (!vm->host_tracker && !t)
		return 0;
	vm->host_tracker = t;
	tracker_is_new(vm);
	return 0;
}

/* In or out of lockstep, and ticked or not: see whether it can be answered. */
static void update_lockstep(struct vm *vm)
{
	struct lockstep *l = &vm->d->lockstep;

	vm->step.waits = vm->tick.seq;
	if (vm_lockstep(vm))
		lockstep_join(l, &vm->step);
	else
		lockstep_leave(l, &vm->step);
	lockstep_check(l);
}

static void send_track(struct vm *vm)
{
	send_msg(vm, HMEM_LINK_TRACK, &vm->track, sizeof(vm->track));
}

/* Put into @track how long a window the placer wants next. */
static void want_next_window(const struct vm *vm, struct hmem_link_track *track)
{
	track->window_ns = vm->placer.next.ns;
	track->flags &= ~HMEM_LINK_TRACK_REST;
	track->flags |= vm->placer.next.rest ? HMEM_LINK_TRACK_REST : 0;
}

/* Have the device track as @track says. */
static void track(struct vm *vm, const struct hmem_link_track *track)
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
	/* It is answered by what follows. */
	if (old.tracker != track->tracker ||
	    (old.flags ^ vm->track.flags) & ~HMEM_LINK_TRACK_REST) {
		vm->tick.seq = 0;
		vm->anew = true;
	}
	send_track(vm);
	if (!track->window_ns)
		heat_queries_fail_waiting(&vm->heat_queries,
					  "tracking was switched off, no window will end");
	update_lockstep(vm);
}

/* At first, and when what is offered may have changed. */
static void track_offered(struct vm *vm)
{
	struct hmem_link_track t;
	struct hmem_err err;
	int ret = track_for(vm, &vm->placer.policy, &t, &err);

	if (!ret)
		ret = track_host(vm, &vm->placer.policy, &t, &err);
	vm->again = ret == -EBUSY;
	if (ret < 0) {
		/* Not each time that it is tried again. */
		if (!strstr(vm->last_error, err.msg))
			vm_error(vm, "nothing is tracked: %s", err.msg);
		t = (struct hmem_link_track) { 0 };
		track_host(vm, &vm->placer.policy, &t, NULL);
	}
	track(vm, &t);
}

int vm_set_policy(struct vm *vm, const struct hmem_policy *policy,
		  struct hmem_err *err)
{
	struct hmem_link_track t;
	int ret = track_for(vm, policy, &t, err);

	if (!ret)
		ret = track_host(vm, policy, &t, err);
	if (ret < 0)
		return ret;
	hmem_placer_set_policy(&vm->placer, policy);
	track(vm, &t);
	return 0;
}

const char *vm_tracker_name(const struct vm *vm)
{
	if (vm->host_tracker)
		return host_tracker_maps(vm->host_tracker)->ops->name;
	return vm->track.window_ns ?
	       vm->trackers[tracked_by(vm)].tracker.ops->name : NULL;
}

uint64_t vm_now(const struct vm *vm)
{
	return vm_lockstep(vm) ? vm->last_vtime / 1000000 : loop_now();
}

/* From the window that is under way on. */
static void set_window(struct vm *vm)
{
	struct hmem_link_track was = vm->track;

	want_next_window(vm, &vm->track);
	if (memcmp(&was, &vm->track, sizeof(was)))
		send_track(vm);
}

void vm_wait(struct vm *vm, struct vm_waiter *w)
{
	vm_wait_no_more(w);
	w->vm = vm;
	TAILQ_INSERT_TAIL(&vm->waiters, w, link);
}

void vm_wait_no_more(struct vm_waiter *w)
{
	if (w->vm)
		TAILQ_REMOVE(&w->vm->waiters, w, link);
	w->vm = NULL;
}

static void begin_pass(struct vm *vm, enum vm_pass pass)
{
	vm->pass = pass;
	work_add(&vm->d->passes, &vm->pass_work);
}

static void end_pass(struct vm *vm)
{
	vm->pass = PASS_NONE;
	work_remove(&vm->pass_work);
}

static void wake_waiters(struct vm *vm)
{
	while (!TAILQ_EMPTY(&vm->waiters)) {
		struct vm_waiter *w = TAILQ_FIRST(&vm->waiters);

		vm_wait_no_more(w);
		conn_resume(w->conn);
	}
}

/* Hints that fit into the batches that can be under way at a time. */
static uint32_t in_one_step(const struct vm *vm)
{
	return (vm->num_batches - vm->under_way) * HMEM_LINK_MAX_HINTS;
}

/* vm->tick is to be dealt with. */
static void begin_window(struct vm *vm)
{
	struct hmem_tick tick = {
		.window_ns = vm->tick.window_ns,
		.scan_ns = vm->tick.scan_ns,
		.written = vm->tick.dirty,
		.incomplete = vm->tick.flags & HMEM_LINK_TICK_INCOMPLETE,
		.tells_written = offered_written(vm) & vm->track.tracker,
		.busy = vm->under_way,
		.may_move = !vm_blocked(vm),
		.max_moves = vm_lockstep(vm) ? in_one_step(vm) : UINT32_MAX,
	};

	vm->stats.ticks++;
	vm->stats.dirty += tick.written;
	vm->stats.accessed += vm->tick.accessed;
	vm->stats.incomplete += tick.incomplete;
	hmem_placer_window(&vm->placer, &tick);
}

/* The window's pages are counted, and what is to be rearmed is in the map. */
static void window_is_counted(struct vm *vm)
{
	const struct hmem_link_tick *tick = &vm->tick;
	char text[256];

	set_window(vm);
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

/* Go on with what the window asks for.  No memory for a plan is no fault of the device's. */
static enum hmem_placer_step step_window(struct vm *vm, uint64_t slots)
{
	struct hmem_err err;
	enum hmem_placer_step to = hmem_placer_step(&vm->placer, slots, &err);

	if (err.msg[0])
		vm_error(vm, "%s", err.msg);
	if (to == HMEM_PLACER_DONE)
		vm->stats.plans += vm->placer.planned;
	return to;
}

/* Lockstep: do all that the tick asks for, and let guest time go on. */
static void answer_in_step(struct lockstep_member *m)
{
	struct vm *vm = (struct vm *)((char *)m - offsetof(struct vm, step));
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
	vm->in_step = true;
	vm_feed(vm);
	vm->in_step = false;
	tick_done(vm, tick.seq);
}

/*
 * A TICK in what has come by now, which the device must not send before it is told
 * TICK_DONE; but the first of a tracking that was started anew.
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
			return !(vm->anew && tick->seq == 1);
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
		tick_done(vm, seq);
	/* Ranges may have waited for that. */
	if (vm->host_tracker)
		conn_resume(&vm->conn);
}

/* The table is free for others again. */
static void pass_is_through(struct vm *vm)
{
	end_pass(vm);
	vm_feed(vm);
	/* Before the VM, whose next message may begin another one. */
	wake_waiters(vm);
	conn_resume(&vm->conn);
}

static void ranges_are_new(struct vm *vm);

/* Make a slice of the VM's pass. */
static void slice(struct work *work)
{
	struct vm *vm = (struct vm *)((char *)work - offsetof(struct vm, pass_work));

	enum hmem_placer_step to;

	switch (vm->pass) {
	case PASS_WINDOW:
		to = step_window(vm, WORK_SLOTS);
		if (to == HMEM_PLACER_MORE)
			return;
		window_is_counted(vm);
		if (vm->host_tracker)
			host_tracker_rearm(vm->host_tracker);
		else
			answer_tick(vm);
		if (vm->conn.closing)
			return;
		vm->pass = PASS_PLAN;
		if (to == HMEM_PLACER_DONE)
			pass_is_through(vm);
		return;
	case PASS_PLAN:
		if (step_window(vm, WORK_SLOTS) == HMEM_PLACER_DONE)
			pass_is_through(vm);
		return;
	case PASS_RANGES:
		if (!hmem_placer_resize(&vm->placer, WORK_SLOTS))
			return;
		ranges_are_new(vm);
		pass_is_through(vm);
		return;
	case PASS_NONE:
		return;
	}
}

static int on_tick(struct vm *vm, const struct hmem_link_tick *tick,
		   struct hmem_err *err)
{
	int ret = hmem_link_check_tick(tick, err);

	if (ret < 0)
		return ret;
	/* One that was on its way when tracking was stopped. */
	if (!vm->track.window_ns)
		return 0;
	if (vm->tick.seq && !(vm->anew && tick->seq == 1))
		return hmem_fail(err, EPROTO, "TICK: %" PRIu64 " before the answer to %"
				 PRIu64, tick->seq, vm->tick.seq);
	/* Tracking that was started anew counts from 1 again. */
	if (vm->last_seq && tick->seq != 1 && tick->seq != vm->last_seq + 1)
		return hmem_fail(err, EPROTO, "TICK: seq %" PRIu64 " follows %" PRIu64,
				 tick->seq, vm->last_seq);
	if (tick->seq == 1)
		vm->anew = false;
	vm->last_seq = tick->seq;
	vm->last_vtime = tick->vtime_ns;
	vm->tick = *tick;
	if (vm_lockstep(vm)) {
		update_lockstep(vm);
	} else if (vm->host_tracker) {
		host_tracker_tick(vm->host_tracker, vm->placer.pages.windows);
	} else {
		begin_window(vm);
		begin_pass(vm, PASS_WINDOW);
	}
	return 0;
}

static void host_found(void *user, uint64_t accessed)
{
	struct vm *vm = user;

	vm->tick.accessed = accessed;
	begin_window(vm);
	begin_pass(vm, PASS_WINDOW);
}

static void host_rearmed(void *user)
{
	answer_tick(user);
}

static void host_failed(void *user, int error, const char *why)
{
	struct hmem_link_track none = { 0 };
	struct vm *vm = user;

	vm_error(vm, "nothing is tracked any more: %s", why);
	track_host(vm, &vm->placer.policy, &none, NULL);
	track(vm, &none);
	vm->again = error == -EBUSY;
}

static const struct host_tracker_ops host_tracker_ops = {
	.found = host_found,
	.rearmed = host_rearmed,
	.failed = host_failed,
};

/* --- what the device says --- */

static void clean_name(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from[i] && i < size - 1; i++)
		to[i] = from[i] > ' ' && from[i] < 0x7f ? from[i] : '_';
	to[i] = '\0';
}

static struct vm *named(struct hmemd *d, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!strcmp(vm->name, name))
			return vm;
	}
	return NULL;
}

/* "web"; the next one that calls itself so is "web-2". */
static void set_name(struct vm *vm)
{
	char base[64], name[sizeof(vm->name)];

	clean_name(base, sizeof(base), vm->hello.vm);
	if (!base[0])
		strcpy(base, "vm");
	strcpy(name, base);
	for (unsigned int i = 2; named(vm->d, name); i++)
		snprintf(name, sizeof(name), "%s-%u", base, i);
	strcpy(vm->name, name);
	clean_name(vm->hello.device, sizeof(vm->hello.device), vm->hello.device);
}

/*
 * Map what the device sent.  It must not be able to shrink below us, or a
 * window would end in SIGBUS: hence the seal, and no other file system.
 */
static int map_maps(struct vm *vm, struct hmem_err *err)
{
	uint64_t bytes = HMEM_LINK_MAPS * vm->hello.map_bytes;
	int fd = vm->conn.passed_fd, seals;
	struct statfs fs;
	struct stat st;
	void *map;

	if (fd < 0)
		return hmem_fail(err, EPROTO, "HELLO: no file descriptor came along");
	/* Only memory has seals: no file system is asked anything before that is known. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return hmem_fail(err, EPROTO, "HELLO: the maps are not a memfd of "
				 "small pages");
	if (!(seals & F_SEAL_SHRINK))
		return hmem_fail(err, EPROTO, "HELLO: the maps are not sealed "
				 "with F_SEAL_SHRINK");
	if ((uint64_t)st.st_size < bytes)
		return hmem_fail(err, EPROTO, "HELLO: the maps are %" PRIu64
				 " bytes long, not the %" PRIu64 " declared",
				 (uint64_t)st.st_size, bytes);
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return hmem_fail(err, errno, "HELLO: cannot map the maps: %s",
				 strerror(errno));
	vm->map = map;
	hmem_tracker_dirty_init(&vm->trackers[HMEM_TRACK_DIRTY], vm->map,
				vm->hello.map_bytes);
	hmem_tracker_sim_init(&vm->trackers[HMEM_TRACK_SIM], vm->map,
			      vm->hello.map_bytes);
	hmem_tracker_gpt_init(&vm->trackers[HMEM_TRACK_GPT], vm->map,
			      vm->hello.map_bytes);
	close(fd);
	vm->conn.passed_fd = -1;
	return 0;
}

/* With a UUID the name need not be what hmemd shows: the first one to come is "web". */
static struct policy_owner policy_owner(const struct vm *vm)
{
	static const uint8_t none[sizeof(vm->hello.uuid)];
	bool has_uuid = memcmp(vm->hello.uuid, none, sizeof(none));
	struct policy_owner owner = { 0 };

	strcpy(owner.name, has_uuid ? vm->hello.vm : vm->name);
	strcpy(owner.device, vm->hello.device);
	memcpy(owner.uuid, vm->hello.uuid, sizeof(owner.uuid));
	return owner;
}

void vm_keep_policy(const struct vm *vm)
{
	struct policy_owner owner = policy_owner(vm);

	if (policy_store_keep(&vm->d->policies, &owner, &vm->placer.policy) < 0)
		log_msg(LOG_ERR, "vm '%s': no memory to keep its policy in: set it "
			"again when the VM reconnects", vm->name);
}

static int on_hello(struct vm *vm, const struct hmem_link_hello *hello,
		    struct hmem_err *err)
{
	struct hmem_policy policy = vm->d->policy;
	struct policy_owner owner;
	int ret;

	if (vm->have_hello)
		return hmem_fail(err, EPROTO, "HELLO: a second one");
	ret = hmem_link_check_hello(hello, err);
	if (ret < 0)
		return ret;
	vm->hello = *hello;
	ret = map_maps(vm, err);
	if (ret < 0)
		return ret;
	vm->num_batches = hello->max_batches < VM_MAX_BATCHES ?
			  hello->max_batches : VM_MAX_BATCHES;
	vm->batches = calloc(vm->num_batches, sizeof(*vm->batches));
	if (!vm->batches) {
		vm->num_batches = 0;
		return hmem_fail(err, ENOMEM, "no memory for its batches");
	}
	set_name(vm);
	owner = policy_owner(vm);
	if (policy_store_find(&vm->d->policies, &owner, &policy))
		log_msg(LOG_INFO, "vm '%s': policy %s, as it was set before", vm->name,
			hmem_policy_name(policy.kind));
	hmem_placer_init(&vm->placer, &policy, hello->tiers, hello->num_tiers,
			 hello->min_window_ns);
	vm->have_hello = true;
	return 0;
}

/* With the part of the maps that is looked at, which is memory once it is. */
static uint64_t table_bytes(const struct hmem_link_range *ranges, uint32_t num)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < num; i++)
		frames += ranges[i].num;
	return hmem_pages_bytes_for(ranges, num) + HMEM_LINK_MAPS * frames / 8;
}

/*
 * What a VM claims to have cannot be known to be there.  The tables that it would
 * take when all of that is used are bounded, for all VMs together.
 */
static int tables_fit(const struct vm *vm, const struct hmem_link_range *ranges,
		      uint32_t num, struct hmem_err *err)
{
	uint64_t bytes = table_bytes(ranges, num), max = vm->d->max_tables;
	uint64_t others = 0;
	const struct vm *other;
	char need[24], room[24];

	TAILQ_FOREACH(other, &vm->d->vms, link)
		others += other == vm ? 0 : other->table_bytes;
	if (others <= max && bytes <= max - others)
		return 0;
	return hmem_fail(err, E2BIG, "RANGES: a page table of %s for it, but of those of "
			 "all VMs only %s are left: see --max-tables",
			 hmem_format_size(bytes, need, sizeof(need)),
			 hmem_format_size(others < max ? max - others : 0, room,
					  sizeof(room)));
}

/* No query is served from a table that is half for other ranges. */
static void begin_resize(struct vm *vm)
{
	heat_queries_stop(&vm->heat_queries);
	begin_pass(vm, PASS_RANGES);
}

static int on_ranges(struct vm *vm, const struct hmem_link_range *ranges,
		     uint32_t num, struct hmem_err *err)
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
	ret = hmem_placer_ranges(&vm->placer, ranges, num, vm->d->max_frames, err);
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

/* The page table is for them. */
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

static void log_state(struct vm *vm, uint32_t old)
{
	uint32_t now = vm->state.flags, diff = old ^ now;

	if (diff & HMEM_LINK_DRIVER_OK)
		log_msg(LOG_INFO, "vm '%s': driver %s", vm->name,
			now & HMEM_LINK_DRIVER_OK ? "at work" : "gone");
	if (diff & HMEM_LINK_MIGRATING)
		log_msg(LOG_INFO, "vm '%s': live migration %s", vm->name,
			now & HMEM_LINK_MIGRATING ? "begins" : "is over");
	if (diff & now & HMEM_LINK_BROKEN)
		vm_error(vm, "its driver broke the rules: reset the guest");
	if (diff & HMEM_LINK_VM_RUNNING)
		log_msg(LOG_DEBUG, "vm '%s': %s", vm->name,
			now & HMEM_LINK_VM_RUNNING ? "running" : "paused");
}

static int on_state(struct vm *vm, const struct hmem_link_state *state,
		    struct hmem_err *err)
{
	uint32_t old = vm->state.flags;
	bool was_ready = vm_ready(vm);
	int ret = hmem_link_check_state(state, err);

	if (ret < 0)
		return ret;
	vm->state = *state;
	vm->have_state = true;
	log_state(vm, old);
	if (old & HMEM_LINK_DRIVER_OK && !(state->flags & HMEM_LINK_DRIVER_OK)) {
		lose_batches(vm, "the guest's driver went away");
		vm->lost_id = vm->next_id;
	}
	/* Else, there is more to come before the VM is ready. */
	if (was_ready && (old ^ state->flags) & HMEM_LINK_DRIVER_OK)
		track_offered(vm);
	vm_feed(vm);
	return 0;
}

/* What a result says is within what was asked, and not said before. */
static struct sent *match(struct vm *vm, struct batch *b,
			  const struct virtio_hmem_result *res,
			  struct hmem_err *err)
{
	uint64_t gfn = le64toh(res->gfn), frames;
	struct sent *s;

	if (hmem_link_check_result(res, err) < 0)
		return NULL;
	frames = UINT64_C(1) << res->order;
	s = find_sent(b, gfn);
	if (!s || gfn - s->hint.gfn + frames > frames_of(s)) {
		hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64 " order %u is not "
			  "in batch %" PRIu64, gfn, res->order, b->id);
		return NULL;
	}
	if (s->answered + frames > frames_of(s)) {
		hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64 " of batch %" PRIu64
			  " is answered twice", gfn, b->id);
		return NULL;
	}
	/* Memory that has gone since is forgotten with what came to it. */
	if (res->reason == VIRTIO_HMEM_R_MOVED && b->id >= vm->ranges_id &&
	    !hmem_pages_has(&vm->placer.pages, le64toh(res->new_gfn), res->order)) {
		hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64 " moved to %#" PRIx64
			  ", which is no guest memory", gfn,
			  (uint64_t)le64toh(res->new_gfn));
		return NULL;
	}
	s->answered += frames;
	return s;
}

static int on_results(struct vm *vm, const struct virtio_hmem_result_batch *msg,
		      uint32_t len, struct hmem_err *err)
{
	struct sent *sent[HMEM_LINK_MAX_PAYLOAD / sizeof(msg->results[0])];
	struct hmem_answer answers[HMEM_LINK_MAX_PAYLOAD / sizeof(msg->results[0])];
	struct hmem_moved moved;
	uint64_t id = le64toh(msg->id), foreign = le64toh(msg->foreign_moves);
	uint32_t num;
	struct batch *b;
	struct job *job;

	if (hmem_link_check_results(msg, len, err) < 0)
		return -EPROTO;
	num = le32toh(msg->num_results);
	b = find_batch(vm, id);
	if (!b && id < vm->lost_id)
		return 0;
	if (!b)
		return hmem_fail(err, EPROTO, "RESULTS: batch %" PRIu64
				 " is not under way", id);
	job = b->job;
	vm->answered = loop_now();
	if (vm->told_late)
		log_msg(LOG_INFO, "vm '%s': the guest's driver answers again", vm->name);
	vm->told_late = false;
	/* All is checked before any is applied. */
	for (uint32_t i = 0; i < num; i++) {
		const struct virtio_hmem_result *res = &msg->results[i];

		sent[i] = match(vm, b, res, err);
		if (!sent[i])
			return -EPROTO;
		answers[i] = (struct hmem_answer) {
			.gfn = le64toh(res->gfn),
			.new_gfn = le64toh(res->new_gfn),
			.hint = job ? NULL : &sent[i]->hint,
			.order = res->order,
			.reason = res->reason,
		};
	}
	moved = hmem_placer_results(&vm->placer, answers, num);
	vm->stats.promoted += moved.promoted;
	vm->stats.demoted += moved.demoted;
	for (uint32_t i = 0; i < num; i++) {
		const struct hmem_answer *a = &answers[i];

		vm->stats.reasons[a->reason] += UINT64_C(1) << a->order;
		b->left -= UINT64_C(1) << a->order;
		if (job && job_answer(job, sent[i], a->gfn, a->order, a->reason))
			vm->stats.retries++;
	}
	vm->stats.results += num;
	/* A driver that was loaded anew counts from 0 again. */
	if (foreign < vm->foreign_moves)
		vm->foreign_base = vm->foreign_moves = 0;
	hmem_lately_add(&vm->foreign_lately, loop_now(), foreign - vm->foreign_moves);
	vm->foreign_moves = foreign;
	if (job && job->ops && job->results)
		job->ops->results(job, msg);
	if (le32toh(msg->flags) & VIRTIO_HMEM_RESULT_LAST) {
		if (b->left) {
			vm_error(vm, "batch %" PRIu64 " is finished, but %" PRIu32
				 " frames have no answer", id, b->left);
			vm->stats.unanswered += b->left;
		}
		vm->stats.batches_done++;
		end_batch(vm, b);
	}
	if (job && job->ops)
		job->ops->progress(job);
	vm_feed(vm);
	return 0;
}

static int on_reject(struct vm *vm, const struct hmem_link_reject *msg,
		     struct hmem_err *err)
{
	struct batch *b;
	struct job *job;
	bool crossed;

	if (hmem_link_check_reject(msg, err) < 0)
		return -EPROTO;
	b = find_batch(vm, msg->id);
	if (!b && msg->id < vm->lost_id)
		return 0;
	if (!b)
		return hmem_fail(err, EPROTO, "REJECT: batch %" PRIu64
				 " is not under way", msg->id);
	if (msg->code == HMEM_LINK_REJECT_INVALID && msg->hint >= b->num)
		return hmem_fail(err, EPROTO, "REJECT: batch %" PRIu64
				 " has no hint %" PRIu32, msg->id, msg->hint);
	vm->stats.rejects[msg->code]++;
	/* Its hints and the ranges that do not have them met on the way. */
	crossed = msg->code == HMEM_LINK_REJECT_INVALID && b->id < vm->ranges_id;
	if (crossed)
		log_msg(LOG_DEBUG, "vm '%s': batch %" PRIu64 " names memory that has gone",
			vm->name, msg->id);
	else
		vm_error(vm, "batch %" PRIu64 " was rejected: %s", msg->id,
			 hmem_reject_name(msg->code));
	job = b->job;
	if (job) {
		if (msg->code == HMEM_LINK_REJECT_INVALID && !crossed) {
			job->failed = "the device rejected a hint: its memory changed, "
				      "ask again";
			job_cancel(job);
		}
		for (uint32_t i = 0; i < b->num; i++)
			job_put_back(job, &b->sent[i]);
	}
	end_batch(vm, b);
	/* Not at once: what is in the way needs time to pass. */
	vm_feed_soon(vm);
	return 0;
}

static int dispatch(struct vm *vm, const struct hmem_link_header *hdr,
		    struct hmem_err *err)
{
	const void *payload = hdr + 1;
	bool was_ready = vm_ready(vm);
	int ret;

	if (!vm->have_hello && hdr->type != HMEM_LINK_HELLO)
		return hmem_fail(err, EPROTO, "%s before HELLO",
				 hmem_link_type_name(hdr->type));
	switch (hdr->type) {
	case HMEM_LINK_HELLO:
		return on_hello(vm, payload, err);
	case HMEM_LINK_RANGES:
		ret = on_ranges(vm, payload,
				hdr->len / sizeof(struct hmem_link_range), err);
		break;
	case HMEM_LINK_STATE:
		ret = on_state(vm, payload, err);
		break;
	default:
		if (!was_ready)
			return hmem_fail(err, EPROTO, "%s before RANGES and STATE",
					 hmem_link_type_name(hdr->type));
		switch (hdr->type) {
		case HMEM_LINK_RESULTS:
			return on_results(vm, payload, hdr->len, err);
		case HMEM_LINK_REJECT:
			return on_reject(vm, payload, err);
		default:
			return on_tick(vm, payload, err);
		}
	}
	if (!ret && !was_ready && vm_ready(vm)) {
		struct hmem_link_welcome welcome = {
			.magic = HMEM_LINK_MAGIC,
			.version = HMEM_LINK_VERSION,
		};

		log_msg(LOG_INFO, "vm '%s': connected, device '%s', process %d, "
			"%" PRIu64 " MiB in %" PRIu32 " tiers", vm->name,
			vm->hello.device, (int)vm->conn.pid, vm_frames(vm) >> 8,
			vm->hello.num_tiers);
		if (vm_order_doubt(vm))
			log_msg(LOG_WARN, "vm '%s': %s", vm->name, vm_order_doubt(vm));
		send_msg(vm, HMEM_LINK_WELCOME, &welcome, sizeof(welcome));
		track_offered(vm);
		vm_feed(vm);
	}
	return ret;
}

static int vm_received(struct conn *c, struct hmem_err *err)
{
	struct vm *vm = (struct vm *)c;
	/* Aligned: every valid message is a multiple of 8 long. */
	const struct hmem_link_header *hdr = (void *)conn_data(c);
	int ret;

	/* One that came with anything but a HELLO. */
	if (vm->have_hello && c->passed_fd >= 0)
		return hmem_fail(err, EPROTO, "a file descriptor after HELLO");
	if (vm->pass)
		return CONN_LATER;
	if (conn_len(c) < sizeof(*hdr))
		return CONN_MORE;
	ret = hmem_link_check_header(hdr, err);
	if (ret < 0)
		return ret;
	if (conn_len(c) < sizeof(*hdr) + hdr->len)
		return CONN_MORE;
	/* They would change under the host tracker. */
	if (hdr->type == HMEM_LINK_RANGES && vm->host_tracker && vm->tick.seq)
		return CONN_LATER;
	conn_consume(c, sizeof(*hdr) + hdr->len);
	ret = dispatch(vm, hdr, err);
	return ret < 0 ? ret : CONN_AGAIN;
}

static void vm_sent(struct conn *c)
{
	vm_feed((struct vm *)c);
}

static void vm_closed(struct conn *c, const char *why, bool fault)
{
	struct vm *vm = (struct vm *)c;
	struct hmemd *d = vm->d;

	log_msg(fault ? LOG_WARN : LOG_INFO, "vm '%s' (process %d): %s: %s",
		vm->name, (int)c->pid, fault ? "dropped" : "disconnected", why);
	if (fault) {
		d->dropped++;
		snprintf(d->last_fault, sizeof(d->last_fault), "vm '%s': %.160s",
			 vm->name, why);
	}
	end_pass(vm);
	wake_waiters(vm);
	lose_batches(vm, "the VM disconnected");
	heat_queries_fail(&vm->heat_queries, "the VM disconnected");
	if (vm->host_tracker)
		host_tracker_stop(vm->host_tracker);
	vm->host_tracker = NULL;
	TAILQ_REMOVE(&d->vms, vm, link);
	d->num_vms--;
	lockstep_leave(&d->lockstep, &vm->step);
	lockstep_check(&d->lockstep);
}

/* The page table of a VM that has gone. */
struct old_table {
	struct work work;
	struct hmem_discard discard;
};

static void discard_slice(struct work *work)
{
	struct old_table *t = (struct old_table *)work;

	if (!hmem_discard_step(&t->discard, WORK_SLOTS))
		return;
	work_remove(work);
	free(t);
}

/* A large table takes a while to be given back. */
static void discard_table(struct vm *vm)
{
	struct old_table *t = calloc(1, sizeof(*t));

	if (!t) {
		hmem_placer_free(&vm->placer);
		return;
	}
	t->work.slice = discard_slice;
	hmem_placer_discard(&vm->placer, &t->discard);
	work_add(&vm->d->discards, &t->work);
}

static void vm_release(struct conn *c)
{
	struct vm *vm = (struct vm *)c;

	if (vm->map)
		munmap(vm->map, HMEM_LINK_MAPS * vm->hello.map_bytes);
	discard_table(vm);
	loop_forget(&vm->feed_soon);
	free(vm->batches);
	free(vm->ranges);
	free(vm->new_ranges);
	free(vm);
}

static const struct conn_ops vm_ops = {
	.received = vm_received,
	.sent = vm_sent,
	.closed = vm_closed,
	.release = vm_release,
};

void vm_accept(struct hmemd *d, int fd)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		log_msg(LOG_ERR, "a VM is turned away: no memory");
		close(fd);
		return;
	}
	vm->d = d;
	strcpy(vm->name, "?");
	vm->connected = loop_now();
	vm->next_id = 1;
	TAILQ_INIT(&vm->jobs);
	TAILQ_INIT(&vm->waiters);
	vm->pass_work.slice = slice;
	vm->pass_work.cpu_ns = &vm->stats.daemon_ns;
	vm->feed_soon.take = feed_turn;
	vm->step.name = vm->name;
	vm->step.answer = answer_in_step;
	heat_queries_init(&vm->heat_queries, &vm->placer.pages, &d->heat_queries);
	vm->conn.ops = &vm_ops;
	vm->conn.closer = &d->closer;
	vm->conn.in_max = sizeof(struct hmem_link_header) + HMEM_LINK_MAX_PAYLOAD;
	vm->conn.out_max = 4 * MAX_QUEUED;
	if (conn_init(&vm->conn, &d->loop, fd) < 0) {
		log_msg(LOG_ERR, "a VM is turned away: no memory");
		free(vm);
		return;
	}
	TAILQ_INSERT_TAIL(&d->vms, vm, link);
	d->num_vms++;
}

void vm_second(struct vm *vm)
{
	uint64_t now = loop_now();

	if (!vm_ready(vm)) {
		if (now - vm->connected > VM_HELLO_MS)
			conn_drop(&vm->conn, true, "it did not introduce itself "
				  "in time");
		return;
	}
	if (vm->again && !vm->pass)
		track_offered(vm);
	if (vm_is_late(vm) && !vm->told_late) {
		vm->told_late = true;
		log_msg(LOG_WARN, "vm '%s': the guest's driver has not answered for %" PRIu64
			" s, %" PRIu32 " batches are under way: see the guest's log",
			vm->name, vm_oldest(vm) / 1000, vm->under_way);
	}
	if (vm->sampled && now > vm->sampled) {
		double s = (now - vm->sampled) / 1000.0;

		vm->promote_rate = (vm->stats.promoted - vm->sampled_promoted) / s;
		vm->demote_rate = (vm->stats.demoted - vm->sampled_demoted) / s;
		vm->have_rates = true;
	}
	vm->sampled = now;
	vm->sampled_promoted = vm->stats.promoted;
	vm->sampled_demoted = vm->stats.demoted;
}

void vm_reset_stats(struct vm *vm)
{
	memset(&vm->stats, 0, sizeof(vm->stats));
	vm->stats.log_samples = vm->placer.sampler.samples;
	vm->stats.log_faults = vm->placer.sampler.faults;
	vm->foreign_base = vm->foreign_moves;
	vm->foreign_lately = (struct hmem_lately) { 0 };
	vm->sampled = 0;
	vm->have_rates = false;
	vm->last_error[0] = '\0';
}
