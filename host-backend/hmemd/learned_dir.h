/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory with the learned state of VMs (see learned.h): a file UUID-DEVICE.learned for each
 * VM.  A file is written as UUID-DEVICE.learned.new and then renamed, so that nobody finds half a
 * file.  Whoever reads a file takes it away, because the state is out of date as soon as pages
 * move.
 *
 * Files are not synced to the disk: they are of use only while the VM runs.
 */
#ifndef HMEMD_LEARNED_DIR_H
#define HMEMD_LEARNED_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct learned_dir {
	int fd;				/* -1: there is none */
	char *path;
};

/* UUID, dash, device, ending. */
typedef char learned_name[128];

/*
 * Opens the directory, which is made if it is missing.  It must belong to hmemd's user, and no
 * other may be allowed to write there.  On an error, which @err explains, there is none.
 */
int learned_dir_open(struct learned_dir *dir, const char *path, struct hmem_err *err);
void learned_dir_close(struct learned_dir *dir);

static inline bool learned_dir_exists(const struct learned_dir *dir)
{
	return dir->fd >= 0;
}

/* Makes the name of the file of a VM's device. */
void learned_dir_name(const uint8_t uuid[16], const char *device, learned_name name);

/*
 * Takes the file away and returns a descriptor to read it.  -ENOENT: there is none; or another
 * error, with @err: it is no file of hmemd's, or has more than @max bytes, or cannot be read.
 */
int learned_dir_take(const struct learned_dir *dir, const char *name, uint64_t max,
		     struct hmem_err *err);

/* Returns a descriptor of a new file, to be written; or an error. */
int learned_dir_create(const struct learned_dir *dir, const char *name, struct hmem_err *err);
/* The new file is complete: it replaces the old one. */
int learned_dir_commit(const struct learned_dir *dir, const char *name, struct hmem_err *err);
/* The new file will not be completed. */
void learned_dir_abandon(const struct learned_dir *dir, const char *name);

/* Removes files that are older than @seconds, except those that @keep wants. */
void learned_dir_sweep(const struct learned_dir *dir, unsigned int seconds,
		       bool (*keep)(void *user, const char *name), void *user);

#endif /* HMEMD_LEARNED_DIR_H */
