/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "doorman.h"
#include "log.h"
#include "vm.h"

/* The name of all peers of a user that were turned away. */
#define TURNED_AWAY	"turned away"

void doorman_notes(struct hmemd *d, uint64_t *counter, uid_t uid, const char *fmt, ...)
{
	struct turned_away *t = &d->turned_away;
	va_list ap;

	++*counter;
	va_start(ap, fmt);
	vsnprintf(t->last, sizeof(t->last), fmt, ap);
	va_end(ap);
	if (!events_allow(&d->events, LOG_WARN, uid, TURNED_AWAY)) {
		t->quiet++;
		return;
	}
	if (t->quiet)
		log_msg(LOG_WARN, "%" PRIu64 " more were turned away", t->quiet);
	events_tell(&d->events, LOG_WARN, "turned-away", NULL, NULL, "turned away: %s", t->last);
	t->quiet = 0;
}

static bool is_stranger(const struct vm *vm)
{
	return !vm->conn.closing && !vm_ready(vm);
}

unsigned int doorman_strangers(const struct hmemd *d)
{
	const struct vm *vm;
	unsigned int num = 0;

	TAILQ_FOREACH(vm, &d->vms, link)
		num += is_stranger(vm);
	return num;
}

static unsigned int vms_of(const struct hmemd *d, uid_t uid)
{
	const struct vm *vm;
	unsigned int num = 0;

	TAILQ_FOREACH(vm, &d->vms, link)
		num += vm->conn.uid == uid;
	return num;
}

/* The oldest unidentified VM of user @uid, and their number. */
static struct vm *strangers_of(struct hmemd *d, uid_t uid, unsigned int *num)
{
	struct vm *vm, *first = NULL;

	*num = 0;
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!is_stranger(vm) || vm->conn.uid != uid)
			continue;
		if (!first)
			first = vm;
		++*num;
	}
	return first;
}

static struct vm *first_of_most(struct hmemd *d)
{
	struct vm *vm, *first = NULL;
	unsigned int most = 0, num;

	TAILQ_FOREACH(vm, &d->vms, link) {
		struct vm *of = strangers_of(d, vm->conn.uid, &num);

		if (num > most) {
			most = num;
			first = of;
		}
	}
	return first;
}

bool doorman_admits(struct hmemd *d, pid_t pid, uid_t uid)
{
	unsigned int num, most = d->config.max_vms / 4 ? d->config.max_vms / 4 : 1;
	struct vm *leaves = strangers_of(d, uid, &num);
	bool all = vms_of(d, uid) >= d->config.max_user_vms;

	if (all && !leaves) {
		doorman_notes(d, &d->turned_away.vms, uid, "a VM (process %d of user %d): %u "
			      "of that user are connected, see --max-user-vms", (int)pid,
			      (int)uid, d->config.max_user_vms);
		return false;
	}
	if (!all && num < most)
		leaves = d->num_vms < d->config.max_vms ? NULL : first_of_most(d);
	if (!leaves && d->num_vms < d->config.max_vms)
		return true;
	if (!leaves) {
		doorman_notes(d, &d->turned_away.vms, uid, "a VM (process %d of user %d): %u "
			      "are connected, see --max-vms", (int)pid, (int)uid,
			      d->num_vms);
		return false;
	}
	doorman_notes(d, &d->turned_away.vms, leaves->conn.uid,
		      "a connection of process %d of user %d, which had not "
		      "introduced itself as a VM, for another one",
		      (int)leaves->conn.pid, (int)leaves->conn.uid);
	conn_drop(&leaves->conn, false, "it has not introduced itself, and others want to");
	return true;
}
