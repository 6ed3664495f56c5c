/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "hostpath.h"

void host_paths_set(struct host_paths *paths, const char *root)
{
	static char proc[128], mm[128];

	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(mm, sizeof(mm), "%s/mm", root);
	paths->proc = proc;
	paths->mm = mm;
}
