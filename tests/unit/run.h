/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the real hmemd and hmemctl in a directory of their own. */
#ifndef HMEM_UNIT_RUN_H
#define HMEM_UNIT_RUN_H

#include <sys/types.h>

#include "peer.h"

struct daemon {
	pid_t pid;
	char dir[32];
	/* The configuration file is empty at first. */
	char vm_socket[64], control_socket[64], log[64], config[64];
	/* Listening sockets to pass as systemd does: vm, control, two for metrics; 0: none. */
	int listen_fds[4];
	/* The modes of files bind hmemd, too, if root runs it. */
	bool obeys_modes;
};

struct ctl {
	int status;
	size_t out_len, err_len;
	char out[1 << 20], err[8192];
	/* A file for standard output; NULL: @out gets it. */
	const char *to;
	/* The locale and $COLUMNS; NULL: those of the test. */
	const char *locale, *columns;
	/* Limit of the size of files in bytes; 0: no limit. */
	unsigned int file_limit;
	/* The modes of directories bind hmemctl, too, if root runs it. */
	bool obeys_modes;
};

/*
 * With NO_IO_URING in the environment, have the kernel forbid io_uring for this process and its
 * children, as containers do.  Each hmemd does that for itself.
 */
void forbid_io_uring(void);

/* In a child of root: from the next exec on, the modes of files count, as for other users. */
void obey_modes(void);

/* Wait for a child.  Returns its exit status, or 128 + N if signal N ended it. */
int process_wait(pid_t pid);

/*
 * Start $HMEMD with the directory's sockets, no policy, and @args (NULL-terminated, or
 * NULL), and wait until it is ready.
 */
void daemon_start(struct daemon *d, const char *const *args);
/* Stop hmemd and remove the directory.  Returns the exit status, which must be 0. */
void daemon_stop(struct daemon *d);
/* Kill hmemd, as a crash would, and keep the directory. */
void daemon_kill(struct daemon *d);
/* Start hmemd again in the same directory. */
void daemon_restart(struct daemon *d, const char *const *args);
/* Run a second hmemd in the same directory.  Returns its exit status. */
int daemon_second(struct daemon *d);

/* Run $HMEMCTL with @line split at blanks, and serve @peers (NULL-terminated). */
void ctl_run(struct ctl *c, struct daemon *d, struct peer *const *peers,
	     const char *line);

/* The two halves of the same: start hmemctl, and wait for its end. */
pid_t ctl_start(struct ctl *c, struct daemon *d, const char *line, int fds[2]);
void ctl_finish(struct ctl *c, pid_t pid, int fds[2], struct peer *const *peers);

/*
 * Check that @text is the golden file's text under "== @name", that no line ends in a blank, and,
 * unless it is JSON, that none is longer than 80 columns.  With GOLDEN_UPDATE=1, write @text to the
 * file.
 */
void golden_check(const char *name, const char *text);

#endif /* HMEM_UNIT_RUN_H */
