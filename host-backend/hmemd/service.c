/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service.h"

const char *service_state_directory(void)
{
	const char *path = getenv("STATE_DIRECTORY");

	/* A unit can have several, with colons between. */
	return path && *path == '/' && !strchr(path, ':') ? path : NULL;
}

#ifdef HMEM_SYSTEMD

#include <systemd/sd-daemon.h>

int service_socket(const char *name, unsigned int nth)
{
	char **names = NULL;
	int num = sd_listen_fds_with_names(0, &names), fd = -1;

	for (int i = 0; i < num; i++) {
		if (!strcmp(names[i], name) && !nth--)
			fd = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return fd;
}

void service_ready(void)
{
	sd_notify(0, "READY=1");
}

void service_reloading(void)
{
	struct timespec now;

	/* systemd wants to know whether the next READY=1 came before or after this. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   now.tv_sec * UINT64_C(1000000) + now.tv_nsec / 1000);
}

void service_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void service_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

#else

int service_socket(const char *name, unsigned int nth)
{
	(void)name, (void)nth;
	return -1;
}

void service_ready(void)
{
}

void service_reloading(void)
{
}

void service_stopping(void)
{
}

void service_alive(void)
{
}

#endif /* HMEM_SYSTEMD */
