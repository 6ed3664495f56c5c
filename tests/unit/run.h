/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real hmemd and hmemctl, in a directory of their own. */
#ifndef HMEM_UNIT_RUN_H
#define HMEM_UNIT_RUN_H

#include <sys/types.h>

#include "peer.h"

struct daemon {
	pid_t pid;
	char dir[32];
	char vm_socket[64], control_socket[64], log[64];
};

struct ctl {
	int status;
	size_t out_len, err_len;
	char out[1 << 20], err[8192];
	/* Where standard output goes; NULL: into @out. */
	const char *to;
	/* No file becomes longer than this many bytes; 0: as long as it likes. */
	unsigned int file_limit;
};

/* Wait for a child; its exit status, or 128 + N if signal N ended it. */
int process_wait(pid_t pid);

/*
 * $HMEMD with our sockets, no policy and @args (NULL-terminated, or NULL); waits
 * for it.
 */
void daemon_start(struct daemon *d, const char *const *args);
/* Its exit status, with nothing left behind; fails unless it is 0. */
void daemon_stop(struct daemon *d);
/* Kill it, as a crash would, and keep the directory. */
void daemon_kill(struct daemon *d);
/* Start it again in the same directory. */
void daemon_restart(struct daemon *d, const char *const *args);
/* Run a second one in the same directory; its exit status. */
int daemon_second(struct daemon *d);

/* $HMEMCTL with @line split at blanks; @peers (NULL-terminated) are served. */
void ctl_run(struct ctl *c, struct daemon *d, struct peer *const *peers,
	     const char *line);

/* The two halves of it: start, and see it end. */
pid_t ctl_start(struct ctl *c, struct daemon *d, const char *line, int fds[2]);
void ctl_finish(struct ctl *c, pid_t pid, int fds[2], struct peer *const *peers);

/*
 * @text is what the golden file has under "== @name", no line is longer than 80
 * columns or ends in a blank.  With GOLDEN_UPDATE=1 it goes into the file.
 */
void golden_check(const char *name, const char *text);

#endif /* HMEM_UNIT_RUN_H */
