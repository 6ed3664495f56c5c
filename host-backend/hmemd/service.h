/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd, if it has started hmemd: it passes sockets, waits until hmemd is ready, and
 * restarts hmemd if its loop stands still.  Without systemd, these functions do nothing.
 */
#ifndef HMEMD_SERVICE_H
#define HMEMD_SERVICE_H

/*
 * The listening socket that systemd has passed under this name, the @nth one, from 0; -1: there
 * are no more.
 */
int service_socket(const char *name, unsigned int nth);

/* The directory that systemd has made for state that outlasts hmemd; NULL: none. */
const char *service_state_directory(void);

/* hmemd serves VMs and clients, or has read its configuration again. */
void service_ready(void);
/* hmemd begins to read its configuration again. */
void service_reloading(void);
void service_stopping(void);

/* hmemd's loop has had a turn; call this at least once per second. */
void service_alive(void);

#endif /* HMEMD_SERVICE_H */
