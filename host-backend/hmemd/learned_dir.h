/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory with the learned state of VMs (see learned.h): a file UUID-DEVICE-BOOT.learned for
 * each VM.  A VM that claims another one's UUID does not know the number of the other guest's boot,
 * and so has another file.  A file is written as NAME.new and then renamed, so that nobody finds
 * half a file.
 *
 * Freeing a large file takes a while.  So each file that goes is held open when its name is
 * removed, and the closer closes it.
 *
 * Files are not synced to the disk: they are of use only while the VM runs.
 */
#ifndef HMEMD_LEARNED_DIR_H
#define HMEMD_LEARNED_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "closer.h"
#include "err.h"

struct learned_dir {
	int fd;				/* -1: there is none */
	char *path;
	struct closer *closer;
};

/* UUID, dash, device, dash, boot, ending. */
typedef char learned_name[128];

/* Is the file of this name in use?  Then it stays. */
typedef bool learned_dir_keep(void *user, const char *name);

/*
 * Opens the directory, which is made if it is missing.  It must belong to hmemd's user, and no
 * other may be allowed to write there.  On an error, which @err explains, there is none.
 */
int learned_dir_open(struct learned_dir *dir, const char *path, struct closer *closer,
		     struct hmem_err *err);
void learned_dir_close(struct learned_dir *dir);

static inline bool learned_dir_exists(const struct learned_dir *dir)
{
	return dir->fd >= 0;
}

/* Makes the name of the file of a VM's device; @boot 0: the part that is the same for all boots. */
void learned_dir_name(const uint8_t uuid[16], const char *device, uint32_t boot,
		      learned_name name);

/*
 * Returns a descriptor to read the file.  -ENOENT: there is none; or another error, with @err: it
 * is no file of hmemd's, or cannot be read, or had more than @max bytes and was removed.
 */
int learned_dir_find(const struct learned_dir *dir, const char *name, uint64_t max,
		     struct hmem_err *err);
/* The file that was found is of no use any more. */
void learned_dir_remove(const struct learned_dir *dir, const char *name, int fd);

/* Returns a descriptor of a new file, to be written; or an error. */
int learned_dir_create(const struct learned_dir *dir, const char *name, struct hmem_err *err);
/* The new file is complete: it replaces the old one.  On an error, it is removed. */
int learned_dir_commit(const struct learned_dir *dir, const char *name, int fd,
		       struct hmem_err *err);
/* The new file will not be completed. */
void learned_dir_abandon(const struct learned_dir *dir, const char *name, int fd);

/*
 * Makes room for a file with @size bytes, if all files together may have @max: removes the oldest
 * ones that @keep does not want.  Returns 0, -ENOSPC, or why a file cannot be removed.
 */
int learned_dir_make_room(const struct learned_dir *dir, uint64_t size, uint64_t max,
			  learned_dir_keep *keep, void *user, struct hmem_err *err);

/*
 * Removes the files that @keep does not want, and has not wanted in the last sweep either.  The
 * time of day does not matter, because it can jump.
 */
void learned_dir_sweep(const struct learned_dir *dir, learned_dir_keep *keep, void *user);

#endif /* HMEMD_LEARNED_DIR_H */
