/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "batches.h"
#include "log.h"

struct batch {
	uint64_t id;			/* 0: not in use */
	uint64_t sent_ms;		/* loop_now() */
	struct job *job;		/* NULL: the batch is of the plan */
	uint32_t num;
	uint32_t left;			/* frames without a result */
	struct sent_hint sent[HMEM_LINK_MAX_HINTS];	/* sorted by gfn */
};

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

static uint64_t frames_of(const struct sent_hint *s)
{
	return UINT64_C(1) << s->hint.order;
}

static int by_gfn(const void *a, const void *b)
{
	const struct sent_hint *x = a, *y = b;

	return (x->hint.gfn > y->hint.gfn) - (x->hint.gfn < y->hint.gfn);
}

/* The hint that covers @gfn, or NULL. */
static struct sent_hint *find_sent(struct batch *b, uint64_t gfn)
{
	uint32_t lo = 0, hi = b->num;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct sent_hint *s = &b->sent[mid];

		if (gfn < s->hint.gfn)
			hi = mid;
		else if (gfn - s->hint.gfn >= frames_of(s))
			lo = mid + 1;
		else
			return s;
	}
	return NULL;
}

uint64_t batches_oldest_ms(const struct vm *vm)
{
	uint64_t now = loop_now(), oldest = 0;

	for (uint32_t i = 0; i < vm->num_batches; i++) {
		const struct batch *b = &vm->batches[i];

		if (b->id && now - b->sent_ms > oldest)
			oldest = now - b->sent_ms;
	}
	return oldest;
}

bool batches_are_late(const struct vm *vm)
{
	return !vm_blocked(vm) && vm->state.flags & HMEM_LINK_VM_RUNNING &&
	       batches_oldest_ms(vm) >= vm->d->late_ms &&
	       loop_now() - vm->results_ms >= vm->d->late_ms;
}

static void end_batch(struct vm *vm, struct batch *b)
{
	for (uint32_t i = 0; i < b->num; i++)
		hmem_placer_unsent(&vm->placer, b->sent[i].hint.gfn, b->sent[i].hint.order);
	if (b->job)
		b->job->in_flight--;
	b->id = 0;
	b->job = NULL;
	vm->num_under_way--;
}

/* The job has ended: tell the client that waits, and the log. */
static void finish_job(struct vm *vm, struct job *job)
{
	TAILQ_REMOVE(&vm->jobs, job, link);
	vm->num_jobs--;
	/* Nobody has asked for the jobs that make room, and there can be many in a second. */
	vm_tell(vm, job->failed ? LOG_WARN : job->makes_room ? LOG_DEBUG : LOG_INFO,
		job->makes_room ? NULL : "job-ended", NULL,
		"job %" PRIu64 " to tier %" PRIu32 ": %" PRIu64 " of %"
		PRIu64 " pages answered, %" PRIu64 " moved%s%s",
		job->id, job->tier, job->done, job->total,
		job->reasons[VIRTIO_HMEM_R_MOVED],
		job->failed ? ": " : job->cancelled ? ": cancelled" : "",
		job->failed ? job->failed : "");
	if (job->ops)
		job->ops->done(job);
	job_free(job);
}

void batches_lose(struct vm *vm, const char *why)
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

/* Fill in the next hints of the plan; returns their number. */
static uint32_t placer_next(struct vm *vm, struct sent_hint *sent)
{
	struct hmem_hint hints[HMEM_LINK_MAX_HINTS];
	uint32_t n = hmem_placer_hints(&vm->placer, hints, HMEM_LINK_MAX_HINTS);

	for (uint32_t i = 0; i < n; i++)
		sent[i] = (struct sent_hint) { .hint = hints[i] };
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
		struct sent_hint *s = &b->sent[i];

		msg->hints[i] = (struct virtio_hmem_hint) {
			.gfn = htole64(s->hint.gfn),
			.order = s->hint.order,
			.tier = s->hint.tier,
		};
		b->left += frames_of(s);
		hmem_placer_sent(&vm->placer, s->hint.gfn, s->hint.order);
	}
	/* The message keeps the order, which matters to the driver; sort for lookups. */
	qsort(b->sent, b->num, sizeof(b->sent[0]), by_gfn);
	vm->num_under_way++;
	vm->stats.batches++;
	vm->stats.hints += b->num;
	vm_send(vm, HMEM_LINK_HINTS, msg,
		sizeof(*msg) + b->num * sizeof(msg->hints[0]));
}

/* May another batch be sent now? */
static bool may_send(const struct vm *vm)
{
	if (vm->conn.closing || vm->pass || vm_blocked(vm))
		return false;
	/* In lockstep, send all now: when the peer reads later, guest time has moved on. */
	if (vm_lockstep(vm))
		return vm->hints_now;
	return conn_queued(&vm->conn) < BATCHES_MAX_QUEUED;
}

void batches_feed(struct vm *vm)
{
	struct job *job, *next;
	struct batch *b;

	while (may_send(vm) && (b = free_batch(vm))) {
		b->num = 0;
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->ops && job->ops->is_full(job)) {
				batches_feed_soon(vm);
				continue;
			}
			b->num = job_next(job, vm_now(vm), b->sent, HMEM_LINK_MAX_HINTS);
			if (b->num)
				break;
			if (job_waits(job))
				batches_feed_soon(vm);
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
	batches_feed((struct vm *)((char *)turn - offsetof(struct vm, feed_soon)));
}

void batches_feed_soon(struct vm *vm)
{
	loop_soon(&vm->d->loop, &vm->feed_soon);
}

int batches_init(struct vm *vm, uint32_t max)
{
	vm->num_batches = max < BATCHES_MAX ? max : BATCHES_MAX;
	vm->batches = calloc(vm->num_batches, sizeof(*vm->batches));
	vm->feed_soon.take = feed_turn;
	vm->next_id = 1;
	if (vm->batches)
		return 0;
	vm->num_batches = 0;
	return -ENOMEM;
}

void batches_free(struct vm *vm)
{
	loop_forget(&vm->feed_soon);
	free(vm->batches);
}

void batches_add_job(struct vm *vm, struct job *job)
{
	TAILQ_INSERT_TAIL(&vm->jobs, job, link);
	vm->num_jobs++;
}

void batches_second(struct vm *vm)
{
	if (!batches_are_late(vm) || vm->told_late)
		return;
	vm->told_late = true;
	vm_tell(vm, LOG_WARN, "late", NULL, "the guest's driver has not answered for %" PRIu64
		" s, %" PRIu32 " batches are under way: see the guest's log",
		batches_oldest_ms(vm) / 1000, vm->num_under_way);
}

/* The sent hint that a result is for; NULL: none is, or the frames had a result before. */
static struct sent_hint *match(struct vm *vm, struct batch *b,
			       const struct virtio_hmem_result *res, struct hmem_err *err)
{
	uint64_t gfn = le64toh(res->gfn), frames;
	struct sent_hint *s;

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
	/* If memory has gone since the batch was sent, the new frame may be gone as well. */
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

static void note_history(struct vm *vm, const struct job *job,
			 const struct hmem_answer *answers, uint32_t num, struct hmem_moved moved)
{
	const struct hmem_plan *plan = &vm->placer.plan;
	struct history_entry *h;
	bool is_new;

	if (!num)
		return;
	h = job ? history_entry(&vm->history, job->makes_room ? HISTORY_ROOM : HISTORY_JOB,
				job->id, &is_new) :
		history_entry(&vm->history, HISTORY_PLAN, vm->plan_window, &is_new);
	if (is_new) {
		h->when_ms = events_now();
		h->policy = hmem_policy_name(vm->placer.policy.kind);
	}
	if (is_new && !job) {
		h->promotions = plan->promote_frames;
		h->demotions = plan->demote_frames;
		h->gain_ns = vm->placer.policy.kind == HMEM_POLICY_AUTO ? plan->gain_ns : 0;
	}
	h->promoted += moved.promoted;
	h->demoted += moved.demoted;
	for (uint32_t i = 0; i < num; i++)
		h->reasons[answers[i].reason] += UINT32_C(1) << answers[i].order;
}

int batches_results(struct vm *vm, const struct virtio_hmem_result_batch *msg,
		    uint32_t len, struct hmem_err *err)
{
	struct sent_hint *sent[HMEM_LINK_MAX_PAYLOAD / sizeof(msg->results[0])];
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
	vm->results_ms = loop_now();
	if (vm->told_late)
		vm_tell(vm, LOG_INFO, "answers", NULL, "the guest's driver answers again");
	vm->told_late = false;
	/* Check all results before applying any. */
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
	note_history(vm, job, answers, num, moved);
	vm->stats.promoted += moved.promoted;
	vm->stats.demoted += moved.demoted;
	vm->stats.pages_moved += moved.pages;
	vm->stats.ping_pong += moved.ping_pong;
	for (uint32_t i = 0; i < num; i++) {
		const struct hmem_answer *a = &answers[i];

		vm->stats.reasons[a->reason] += UINT64_C(1) << a->order;
		b->left -= UINT64_C(1) << a->order;
		if (job && job_answer(job, sent[i], a->gfn, a->order, a->reason))
			vm->stats.retries++;
	}
	vm->stats.results += num;
	/* A driver that was loaded again counts from 0. */
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
	batches_feed(vm);
	return 0;
}

int batches_reject(struct vm *vm, const struct hmem_link_reject *msg,
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
	/* The memory of a hint has gone: RANGES and the hints crossed on their way. */
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
	/* Not at once, because the cause needs time to pass. */
	batches_feed_soon(vm);
	return 0;
}
