/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "process.h"

unsigned int process_files(pid_t pid)
{
	unsigned int num = 0;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		num++;
	closedir(d);
	/* Without "." and "..". */
	return num - 2;
}

uint64_t process_kib(pid_t pid, const char *key)
{
	unsigned long long kib = 0;
	char path[64], line[256];
	size_t len = strlen(key);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, len) && line[len] == ':')
			sscanf(line + len + 1, "%llu", &kib);
	}
	fclose(f);
	return kib;
}
