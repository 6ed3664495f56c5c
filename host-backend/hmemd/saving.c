/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "learned.h"
#include "log.h"
#include "pass.h"
#include "saving.h"

/* From one sweep to the next, in seconds.  A QEMU that is gone for so long has ended. */
#define GONE_S		600u

#define URGENT		"a second signal asked hmemd to stop at once"

bool saving_name(const struct vm *vm, learned_name name)
{
	if (!learned_dir_exists(&vm->d->learned_dir) || !vm_has_uuid(vm) || !vm->state.boot ||
	    !(vm->state.flags & HMEM_LINK_DRIVER_OK) || !vm->placer.tracker)
		return false;
	learned_dir_name(vm->hello.uuid, vm->hello.device, vm->state.boot, name);
	return true;
}

static void make_head(const struct vm *vm, bool exact, struct hmem_learned_head *head)
{
	struct hmem_learned_owner owner = { .boot = vm->state.boot };

	memcpy(owner.uuid, vm->hello.uuid, sizeof(owner.uuid));
	hmem_learned_head(&vm->placer, &owner, vm_vtime(vm), exact, head);
}

/*
 * Is it the name of the file of a VM that is connected?  Until the first STATE, the VM's boot is
 * not known, so any boot's file may be its.
 */
static bool is_connected(void *user, const char *name)
{
	struct hmemd *d = user;
	const struct vm *vm;
	learned_name theirs;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm->have_hello || (vm_ready(vm) && !vm->state.boot))
			continue;
		learned_dir_name(vm->hello.uuid, vm->hello.device, vm->state.boot, theirs);
		if (!strncmp(name, theirs, strlen(theirs)))
			return true;
	}
	return false;
}

/* Returns a descriptor of a new file for the VM; or an error. */
static int create(const struct vm *vm, const char *name, struct hmem_err *err)
{
	/* A file needs no more than the table and a head, so there is room for all VMs twice. */
	uint64_t max = 2 * (vm->d->config.max_tables +
			    vm->d->config.max_vms * sizeof(struct hmem_learned_head));
	int ret = learned_dir_make_room(&vm->d->learned_dir,
					hmem_learned_max(vm->placer.pages.num_slots), max,
					is_connected, vm->d, err);

	return ret < 0 ? ret : learned_dir_create(&vm->d->learned_dir, name, err);
}

static void failed(const struct vm *vm, const char *why)
{
	log_msg(LOG_WARN, "vm '%s': what was learned is not saved: %s; after a restart, hmemd has "
		"to learn it again", vm->name, why);
}

/* --- while hmemd runs --- */

static void end(struct saving *s)
{
	s->fd = -1;
	s->vm = NULL;
	s->is_busy = false;
	free(s->part);
	s->part = NULL;
}

static void give_up(struct saving *s)
{
	learned_dir_abandon(&s->d->learned_dir, s->name, s->fd);
	end(s);
}

static void write_rest(struct saving *s)
{
	struct io_uring_sqe *sqe = loop_sqe(&s->d->loop);

	io_uring_prep_write(sqe, s->fd, s->part + s->at, s->len - s->at, s->offset);
	loop_queue(&s->d->loop, &s->io, IO_WRITE, sqe);
}

/* Makes the next part, unless a pass uses the table, and writes it. */
static void next_part(struct turn *turn)
{
	struct saving *s = (void *)((char *)turn - offsetof(struct saving, turn));
	const struct hmem_pages *pages;
	struct hmem_err err;

	if (s->vm->pass) {
		loop_soon(&s->d->loop, turn);
		return;
	}
	pages = &s->vm->placer.pages;
	/* If the memory has changed since, the file does not fit the VM, and will be ignored. */
	if (s->slot < pages->num_slots) {
		s->len = hmem_learned_part(pages, s->slot, s->part);
		s->at = 0;
		s->slot += HMEM_LEARNED_SLOTS;
		write_rest(s);
		return;
	}
	if (learned_dir_commit(&s->d->learned_dir, s->name, s->fd, &err) < 0)
		failed(s->vm, err.msg);
	else
		log_msg(LOG_DEBUG, "vm '%s': what was learned is saved", s->vm->name);
	end(s);
}

static void on_written(struct io *io, enum io_op op, int res)
{
	struct saving *s = (struct saving *)io;

	(void)op;
	if (!s->vm || res <= 0) {
		if (s->vm)
			failed(s->vm, res < 0 ? strerror(-res) : "nothing can be written");
		give_up(s);
		return;
	}
	s->at += res;
	s->offset += res;
	if (s->at < s->len)
		write_rest(s);
	else
		loop_again(&s->d->loop, &s->turn);
}

static void begin(struct saving *s, struct vm *vm)
{
	struct hmem_err err = { "no memory" };

	s->part = malloc(HMEM_LEARNED_MAX_PART);
	s->fd = s->part ? create(vm, s->name, &err) : -ENOMEM;
	if (s->fd < 0) {
		failed(vm, err.msg);
		end(s);
		return;
	}
	s->is_busy = true;
	s->vm = vm;
	make_head(vm, false, (struct hmem_learned_head *)s->part);
	s->len = sizeof(struct hmem_learned_head);
	s->at = s->slot = s->offset = 0;
	write_rest(s);
}

int saving_start(struct hmemd *d)
{
	struct saving *s = &d->saving;

	s->io.complete = on_written;
	s->turn.take = next_part;
	s->d = d;
	s->fd = -1;
	/* First, QEMUs that wait for hmemd shall connect. */
	s->swept_ms = loop_now();
	return loop_add(&d->loop, &s->io);
}

void saving_second(struct hmemd *d)
{
	uint64_t now = loop_now(), ms = d->config.state_interval * (uint64_t)SECOND_MS;
	struct saving *s = &d->saving;
	struct vm *vm, *first = NULL;
	learned_name name;

	if (!learned_dir_exists(&d->learned_dir))
		return;
	if (now >= s->swept_ms + GONE_S * SECOND_MS) {
		learned_dir_sweep(&d->learned_dir, is_connected, d);
		s->swept_ms = now;
	}
	if (s->is_busy || !ms)
		return;
	/* The VM whose state is the oldest has its turn. */
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (now >= vm->saved_ms + ms && !vm->pass && vm_ready(vm) &&
		    saving_name(vm, name) && (!first || vm->saved_ms < first->saved_ms)) {
			first = vm;
			strcpy(s->name, name);
		}
	}
	if (first) {
		first->saved_ms = now;
		begin(s, first);
	}
}

void saving_forget(struct vm *vm)
{
	struct saving *s = &vm->d->saving;

	if (s->vm != vm)
		return;
	s->vm = NULL;
	loop_forget(&s->turn);
	/* Otherwise on_written() does this. */
	if (!s->io.pending)
		give_up(s);
}

/* --- when hmemd stops --- */

/* Is a window counted in part only?  hmemd answers its tick when all is counted. */
static bool is_counting(const struct vm *vm)
{
	return vm->tick.seq;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		len -= n;
	}
	return 0;
}

static int write_state(const struct vm *vm, int fd, char *part, bool (*urgent)(void))
{
	const struct hmem_pages *pages = &vm->placer.pages;
	struct hmem_learned_head head;
	int ret;

	make_head(vm, !is_counting(vm), &head);
	ret = write_all(fd, (const char *)&head, sizeof(head));
	for (uint64_t slot = 0; !ret && slot < pages->num_slots; slot += HMEM_LEARNED_SLOTS)
		ret = urgent() ? -EINTR :
		      write_all(fd, part, hmem_learned_part(pages, slot, part));
	return ret;
}

static void save_now(struct vm *vm, const char *name, char *part, bool (*urgent)(void))
{
	const struct learned_dir *dir = &vm->d->learned_dir;
	struct hmem_err err;
	int fd = create(vm, name, &err), ret;

	if (fd < 0) {
		failed(vm, err.msg);
		return;
	}
	ret = write_state(vm, fd, part, urgent);
	if (ret < 0) {
		learned_dir_abandon(dir, name, fd);
		failed(vm, ret == -EINTR ? URGENT : strerror(-ret));
	} else if (learned_dir_commit(dir, name, fd, &err) < 0) {
		failed(vm, err.msg);
	} else {
		log_msg(LOG_INFO, "vm '%s': what was learned is saved", vm->name);
	}
}

void saving_stop(struct hmemd *d, bool (*urgent)(void))
{
	char *part = malloc(HMEM_LEARNED_MAX_PART);
	learned_name name;
	struct vm *vm;

	if (d->saving.vm)
		saving_forget(d->saving.vm);
	TAILQ_FOREACH(vm, &d->vms, link) {
		/* A table that is being replaced belongs neither to the old nor the new memory. */
		if (!vm_ready(vm) || vm->restoring || vm->placer.resizing ||
		    !saving_name(vm, name))
			continue;
		if (urgent())
			failed(vm, URGENT);
		else if (!part)
			failed(vm, "no memory");
		else if (is_counting(vm) && !hmem_placer_by_rates(&vm->placer))
			failed(vm, "hmemd was counting a window's accesses");
		else
			save_now(vm, name, part, urgent);
	}
	free(part);
}

void saving_end(struct hmemd *d)
{
	if (d->saving.d)
		loop_remove(&d->loop, &d->saving.io);
	learned_dir_close(&d->learned_dir);
}
