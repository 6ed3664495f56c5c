/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "batches.h"
#include "json_read.h"
#include "verb_jobs.h"
#include "vm_json.h"

/* A job pauses while its client has this many unread bytes. */
#define FULL		(CLIENT_MAX_REPLY / 16)
#define PROGRESS_MS	200

/* Make spans of all memory that is not in the destination tier. */
static struct span *all_spans(const struct vm *vm, uint32_t tier, size_t *num)
{
	struct span *spans = calloc(vm->placer.pages.num_ranges + 1, sizeof(*spans));

	*num = 0;
	for (uint32_t i = 0; spans && i < vm->placer.pages.num_ranges; i++) {
		const struct hmem_pages_range *r = &vm->placer.pages.ranges[i];

		if (r->tier != tier)
			spans[(*num)++] = (struct span) { r->gfn, r->num };
	}
	return spans;
}

/* A request can have so many ranges. */
_Static_assert(JSON_MAX_VALUES > 3 * JOB_MAX_SPANS, "a range is an array of two numbers");

static struct span *read_spans(json *ranges, size_t *num, struct hmem_err *err)
{
	size_t n = ranges ? json_object_array_length(ranges) : 0;
	struct span *spans;

	if (!n || n > JOB_MAX_SPANS) {
		hmem_fail(err, EINVAL, "migrate: name 1 to %u ranges of frames, or all",
			  JOB_MAX_SPANS);
		return NULL;
	}
	spans = calloc(n, sizeof(*spans));
	if (!spans) {
		hmem_fail(err, ENOMEM, "migrate: no memory for %zu ranges", n);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		json *r = json_object_array_get_idx(ranges, i);
		int64_t v[2];

		for (size_t k = 0; k < 2; k++) {
			json *x = r && json_object_is_type(r, json_type_array) &&
				  json_object_array_length(r) == 2 ?
				  json_object_array_get_idx(r, k) : NULL;

			v[k] = x && json_object_is_type(x, json_type_int) ?
			       json_object_get_int64(x) : -1;
		}
		if (v[0] < 0 || v[1] < 1 || v[0] >= (int64_t)HMEM_MAX_GFN ||
		    v[1] > (int64_t)HMEM_MAX_GFN - v[0]) {
			hmem_fail(err, EINVAL, "migrate: range %zu is not [ first frame, "
				  "number of frames ] below frame %#" PRIx64, i,
				  HMEM_MAX_GFN);
			free(spans);
			return NULL;
		}
		spans[i] = (struct span) { v[0], v[1] };
	}
	*num = n;
	return spans;
}

static json *job_json(const struct job *job)
{
	json *o = json_new_object();

	json_put_str(o, "vm", job->vm->name);
	json_put_u64(o, "job", job->id);
	json_put_u64(o, "to", job->tier);
	json_put_u64(o, "pages", job->total);
	json_put_u64(o, "done", job->done);
	json_put_u64(o, "outside", job->outside);
	json_put_u64(o, "hints", job->hints_sent);
	return o;
}

static const char *job_state(const struct job *job)
{
	if (job->cancelled)
		return "stopping";
	return job->in_flight ? "moving" : "waiting";
}

/* A job as clients see it that did not start it. */
static json *job_entry_json(const struct job *job)
{
	json *o = job_json(job);

	json_put_u64(o, "moved", job->reasons[VIRTIO_HMEM_R_MOVED]);
	json_put_str(o, "state", job_state(job));
	json_put_u64(o, "batches", job->in_flight);
	json_put_u64(o, "age_s", (loop_now() - job->started) / 1000);
	json_put_bool(o, "waited_for", job->waiter);
	return o;
}

void verb_jobs(struct client *client, json *req)
{
	json *o, *jobs;
	const struct vm *vm, *only = NULL;
	const struct job *job;

	if (json_get_str(req, "vm")) {
		only = client_find_vm(client, req);
		if (!only)
			return;
	}
	jobs = json_new_array();
	TAILQ_FOREACH(vm, &client->d->vms, link) {
		if (only && vm != only)
			continue;
		TAILQ_FOREACH(job, &vm->jobs, link)
			json_append(jobs, job_entry_json(job));
	}
	o = json_new_object();
	json_add(o, "jobs", jobs);
	client_reply(client, o, true);
}

static struct job *find_job(struct hmemd *d, uint64_t id)
{
	struct vm *vm;
	struct job *job;

	TAILQ_FOREACH(vm, &d->vms, link) {
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->id == id)
				return job;
		}
	}
	return NULL;
}

void verb_cancel(struct client *client, json *req)
{
	struct job *job;
	int64_t id;
	json *o;

	if (!json_get_num(req, "job", -1, INT64_MAX, &id)) {
		client_fail(client, "usage", "cancel: job is a number, see hmemctl jobs");
		return;
	}
	job = find_job(client->d, id);
	if (!job) {
		client_fail(client, "no-such-job", "there is no job %" PRId64 ", or it has "
			    "ended: see hmemctl jobs", id);
		return;
	}
	job_cancel(job);
	vm_tell(job->vm, LOG_INFO, "cancel", &client->conn, "job %" PRIu64 " is cancelled",
		job->id);
	o = json_new_object();
	json_add(o, "cancel", job_entry_json(job));
	client_reply(client, o, true);
	/* A job with nothing under way is finished now. */
	batches_feed_soon(job->vm);
}

static void dry_run(struct client *client, struct job *job)
{
	json *o = json_new_object(), *m = job_json(job);
	json *tiers = json_new_array();
	uint64_t from[HMEM_LINK_MAX_TIERS], hints = job_count(job, from);
	const struct vm *vm = job->vm;

	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		json_append(tiers, json_new_u64(from[i]));
	json_put_u64(m, "hints", hints);
	json_add(m, "from_tiers", tiers);
	json_put_bool(m, "dry_run", true);
	json_add(o, "migrate", m);
	client_reply(client, o, true);
}

/* Does the client read more slowly than results come? */
static bool job_is_full(const struct job *job)
{
	const struct client *client = job->waiter;

	return conn_queued(&client->conn) > FULL;
}

static void job_progress(struct job *job)
{
	json *o, *p;

	if (loop_now() < job->reported + PROGRESS_MS || job_is_full(job))
		return;
	job->reported = loop_now();
	o = json_new_object();
	p = json_new_object();
	json_put_u64(p, "job", job->id);
	json_put_u64(p, "pages", job->total);
	json_put_u64(p, "done", job->done);
	json_add(o, "progress", p);
	client_reply(job->waiter, o, false);
}

static void job_results(struct job *job, const struct virtio_hmem_result_batch *batch)
{
	json *o = json_new_object(), *a = json_new_array();

	for (uint32_t i = 0; i < le32toh(batch->num_results); i++) {
		const struct virtio_hmem_result *res = &batch->results[i];
		json *r = json_new_object();

		json_put_u64(r, "gfn", le64toh(res->gfn));
		json_put_u64(r, "new_gfn", le64toh(res->new_gfn));
		json_put_u64(r, "order", res->order);
		json_put_str(r, "reason", hmem_reason_name(res->reason));
		json_append(a, r);
	}
	json_add(o, "results", a);
	client_reply(job->waiter, o, false);
}

static void job_done(struct job *job)
{
	json *o = json_new_object(), *m = job_json(job);

	json_add(m, "reasons", reasons_json(job->reasons));
	json_put_str(m, "failed", job->failed);
	json_put_bool(m, "cancelled", job->cancelled);
	json_add(o, "migrate", m);
	client_reply(job->waiter, o, true);
}

static const struct job_ops job_ops = {
	.is_full = job_is_full,
	.results = job_results,
	.progress = job_progress,
	.done = job_done,
};

void verb_migrate(struct client *client, json *req)
{
	int64_t to, order, retries;
	const char *blocked;
	struct hmem_err err;
	struct span *spans;
	struct job *job;
	struct vm *vm = client_find_vm(client, req);
	size_t num;

	if (!vm)
		return;
	if (!json_get_num(req, "to", -1, vm->hello.num_tiers - 1, &to)) {
		client_fail(client, "usage", "migrate: vm '%s' has tiers 0 to %" PRIu32
			    ": name one of them", vm->name, vm->hello.num_tiers - 1);
		return;
	}
	if (!json_get_num(req, "order", 0, VIRTIO_HMEM_MAX_ORDER, &order) ||
	    !json_get_num(req, "retries", 3, JOB_MAX_RETRIES, &retries)) {
		client_fail(client, "usage", "migrate: order is 0 to %d, retries 0 to %u",
			    VIRTIO_HMEM_MAX_ORDER, JOB_MAX_RETRIES);
		return;
	}
	blocked = vm_blocked(vm);
	if (blocked && !json_get_flag(req, "dry_run")) {
		client_fail(client, "blocked", "vm '%s': %s", vm->name, blocked);
		return;
	}
	if (vm->num_jobs >= BATCHES_MAX_JOBS) {
		client_fail(client, "busy", "vm '%s': %u jobs are under way: wait for "
			    "one to end", vm->name, vm->num_jobs);
		return;
	}
	if (json_get_flag(req, "all")) {
		spans = all_spans(vm, to, &num);
		if (!spans)
			hmem_fail(&err, ENOMEM, "migrate: no memory for the ranges");
	} else {
		spans = read_spans(json_get(req, "ranges", json_type_array), &num, &err);
	}
	job = spans ? job_new(&vm->placer.pages, spans, num, json_get_flag(req, "strict"), to,
			      order, &err) : NULL;
	if (!job) {
		client_fail(client, "usage", "%s", err.msg);
		return;
	}
	if (!job->total) {
		client_fail(client, "usage", "vm '%s': no guest memory is in the range: "
			    "see hmemctl status", vm->name);
		job_free(job);
		return;
	}
	job->retries = retries;
	job->id = ++client->d->jobs;
	job->vm = vm;
	if (json_get_flag(req, "dry_run")) {
		dry_run(client, job);
		job_free(job);
		return;
	}
	job->results = json_get_flag(req, "results");
	vm_tell(vm, LOG_INFO, "job", &client->conn, "job %" PRIu64 ": %" PRIu64 " pages to tier %"
		PRIu32, job->id, job->total, job->tier);
	batches_add_job(vm, job);
	if (json_get_flag(req, "wait")) {
		job->ops = &job_ops;
		job->waiter = client;
		/* Send the job's number, so that the user can cancel it. */
		job->ops->progress(job);
	} else {
		json *o = json_new_object();

		json_add(o, "migrate", job_json(job));
		client_reply(client, o, true);
	}
	batches_feed(vm);
}

void verb_jobs_end(struct client *client)
{
	struct vm *vm;
	struct job *job;

	TAILQ_FOREACH(vm, &client->d->vms, link) {
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->waiter != client)
				continue;
			job->ops = NULL;
			job->waiter = NULL;
			job_cancel(job);
			batches_feed_soon(vm);
		}
	}
}
