/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For test programs in the guest: the processor time of the kernel's workers. */
#ifndef WORKERS_H
#define WORKERS_H

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Returns the processor time of all workers that can run the driver's work. */
static uint64_t workers_ns(void)
{
	DIR *d = opendir("/proc");
	uint64_t sum = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[300], name[64] = "";
		unsigned long long ns;
		FILE *f;

		if (!isdigit(e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (!fgets(name, sizeof(name), f))
			name[0] = 0;
		fclose(f);
		if (strncmp(name, "kworker/u", 9))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (!d || !sum)
		err(1, "no worker's time");
	closedir(d);
	return sum;
}

#endif /* WORKERS_H */
