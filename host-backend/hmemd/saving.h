/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saves the learned state of VMs, see learned.h: of all VMs when hmemd stops; and of one VM after
 * the other while hmemd runs, for the case of a crash, part by part, so that nothing waits.
 */
#ifndef HMEMD_SAVING_H
#define HMEMD_SAVING_H

#include <stddef.h>

#include "learned_dir.h"
#include "loop.h"

struct hmemd;
struct vm;

/* The state that is being saved while hmemd runs. */
struct saving {
	struct io io;			/* of the write that is under way */
	struct turn turn;		/* makes the next part, when a pass has ended */
	struct hmemd *d;
	bool is_busy;
	/* NULL: the VM has gone, or hmemd stops. */
	struct vm *vm;
	int fd;
	learned_name name;
	/* The part, and the number of its bytes that are written; the next part; the file's end. */
	char *part;
	size_t len, at;
	uint64_t slot, offset;
	/* loop_now() when the directory was swept. */
	uint64_t swept_ms;
};

/* Begins to save into @d->learned_dir from now on.  Returns 0 or -ENOMEM. */
int saving_start(struct hmemd *d);

/* Called once per second: begins to save the state of a VM whose turn has come. */
void saving_second(struct hmemd *d);

/* The VM goes. */
void saving_forget(struct vm *vm);

/*
 * hmemd stops: saves the state of all VMs, and waits for the disk.  No message of a VM may be
 * handled afterwards.  Ends early, without the state of the VMs that are left, when @urgent()
 * returns true.
 */
void saving_stop(struct hmemd *d, bool (*urgent)(void));

/* When saving.io is not pending any more. */
void saving_end(struct hmemd *d);

/* Can the VM's state be saved, so that the VM may have a file?  If so, makes the file's name. */
bool saving_name(const struct vm *vm, learned_name name);

#endif /* HMEMD_SAVING_H */
