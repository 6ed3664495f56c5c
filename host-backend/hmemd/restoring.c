/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "learned.h"
#include "log.h"
#include "old_table.h"
#include "pass.h"
#include "restoring.h"
#include "saving.h"
#include "tracking.h"

struct restoring {
	struct io io;
	struct hmemd *d;
	/* NULL: the VM has gone. */
	struct vm *vm;
	int fd;
	learned_name name;
	/* The state reads the head; then a part's head and its entries in turns. */
	enum { READ_HEAD, READ_PART, READ_ENTRIES } state;
	/* The bytes to read, and those that have been read. */
	char *to;
	size_t want, got;
	struct hmem_relearn relearn;
	struct hmem_learned_head head;
	struct hmem_learned_part part;
	struct hmem_learned_entry *entries;
};

static void read_rest(struct restoring *r)
{
	struct io_uring_sqe *sqe = loop_sqe(&r->d->loop);

	/* From the file's position on. */
	io_uring_prep_read(sqe, r->fd, r->to + r->got, r->want - r->got, -1);
	loop_queue(&r->d->loop, &r->io, IO_READ, sqe);
}

static void read_next(struct restoring *r, int state, void *to, size_t len)
{
	r->state = state;
	r->to = to;
	r->want = len;
	r->got = 0;
	read_rest(r);
}

static void release(struct restoring *r)
{
	struct hmem_discard table;

	hmem_relearn_end(&r->relearn, &table);
	old_table_free(&r->d->discards, &table);
	loop_remove(&r->d->loop, &r->io);
	r->d->num_restoring--;
	if (r->fd >= 0)
		close(r->fd);
	free(r->entries);
	free(r);
}

/*
 * The VM goes on, with the state or without.  From now on pages can move, and the file is out of
 * date.  Before, it is not: if hmemd or the VM goes while the file is read, the next one reads it.
 */
static void go_on(struct restoring *r)
{
	struct vm *vm = r->vm;

	learned_dir_remove(&r->d->learned_dir, r->name, r->fd);
	r->fd = -1;
	vm->restoring = NULL;
	release(r);
	heat_queries_restart(&vm->heat_queries, vm_vtime(vm));
	pass_finish(vm);
}

static void ignore(const struct vm *vm, int error, const char *why)
{
	log_msg(error == -ESTALE ? LOG_INFO : LOG_WARN,
		"vm '%s': what was learned before is not used: %s", vm->name, why);
}

static void fail(struct restoring *r, int error, const char *why)
{
	char text[400];

	snprintf(text, sizeof(text), "%s is %s", r->name, why);
	ignore(r->vm, error, text);
	go_on(r);
}

static struct hmem_learned_owner owner_of(const struct vm *vm)
{
	struct hmem_learned_owner owner = { .boot = vm->state.boot };

	memcpy(owner.uuid, vm->hello.uuid, sizeof(owner.uuid));
	return owner;
}

static void next_part(struct restoring *r)
{
	struct vm *vm = r->vm;
	struct hmem_err err;
	int ret;

	if (!hmem_relearn_complete(&r->relearn)) {
		read_next(r, READ_PART, &r->part, sizeof(r->part));
		return;
	}
	/* A tracker of the host can fail meanwhile. */
	if (!vm->placer.tracker) {
		fail(r, -ESTALE, "of a tracker that does not work any more");
		return;
	}
	ret = hmem_relearn_finish(&r->relearn, &vm->placer, vm->state.vtime_ns, &err);
	if (ret < 0) {
		fail(r, ret, err.msg);
		return;
	}
	vm_tell(vm, LOG_INFO, "restored", NULL, "goes on with what was learned before: %" PRIu64
		" pages, saved %.1f s ago%s", r->relearn.pages,
		(vm->state.vtime_ns - r->head.vtime_ns) / 1e9,
		r->head.exact ? "" : ", not at an orderly stop");
	tracking_next_window(vm);
	/* Sending can have dropped the VM. */
	if (r->vm)
		go_on(r);
	else
		release(r);
}

/* Processes the bytes that were read. */
static void take(struct restoring *r)
{
	struct hmem_learned_owner owner = owner_of(r->vm);
	struct hmem_err err;
	int64_t len = 0;
	int ret;

	switch (r->state) {
	case READ_HEAD:
		ret = hmem_relearn_begin(&r->relearn, &r->head, &r->vm->placer, &owner,
					 r->vm->state.vtime_ns, &err);
		break;
	case READ_PART:
		len = hmem_relearn_length(&r->relearn, &r->part, &err);
		if (len > 0) {
			read_next(r, READ_ENTRIES, r->entries, len);
			return;
		}
		ret = len;
		if (ret < 0)
			break;
		/* fall through */
	default:
		ret = hmem_relearn_part(&r->relearn, &r->part, r->entries, &err);
		break;
	}
	if (ret < 0)
		fail(r, ret, err.msg);
	else
		next_part(r);
}

static void on_read(struct io *io, enum io_op op, int res)
{
	struct restoring *r = (struct restoring *)io;

	(void)op;
	if (!r->vm) {
		release(r);
		return;
	}
	if (res <= 0) {
		fail(r, -EIO, res ? strerror(-res) : "damaged: it ends too early");
		return;
	}
	r->got += res;
	if (r->got < r->want)
		read_rest(r);
	else
		take(r);
}

/* The pass has no slices of its own: it goes on when something was read. */
static void wait_for_file(struct vm *vm)
{
	work_remove(&vm->pass_work);
}

void restoring_begin(struct vm *vm)
{
	struct restoring *r;
	struct hmem_err err;
	learned_name name;
	int fd;

	/* Sending can have dropped the VM. */
	if (vm->conn.closing || !saving_name(vm, name))
		return;
	fd = learned_dir_find(&vm->d->learned_dir, name,
			      hmem_learned_max(vm->placer.pages.num_slots), &err);
	if (fd < 0 && fd != -ENOENT)
		ignore(vm, fd, err.msg);
	if (fd < 0)
		return;
	r = calloc(1, sizeof(*r));
	if (r) {
		r->entries = malloc(HMEM_LEARNED_MAX_PART);
		r->io.complete = on_read;
	}
	if (!r || !r->entries || loop_add(&vm->d->loop, &r->io) < 0) {
		ignore(vm, -ENOMEM, "no memory");
		/* From now on pages can move, and the file is out of date. */
		learned_dir_remove(&vm->d->learned_dir, name, fd);
		if (r)
			free(r->entries);
		free(r);
		return;
	}
	r->d = vm->d;
	r->d->num_restoring++;
	r->vm = vm;
	r->fd = fd;
	strcpy(r->name, name);
	vm->restoring = r;
	heat_queries_stop(&vm->heat_queries);
	pass_begin(vm, wait_for_file);
	read_next(r, READ_HEAD, &r->head, sizeof(r->head));
}

void restoring_forget(struct vm *vm)
{
	if (vm->restoring)
		vm->restoring->vm = NULL;
	vm->restoring = NULL;
}
