// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Print how many pages of files are in the page cache, and how many of these are parts of large
 * folios, by the kernel's flags of each frame:
 *
 *   cache
 *
 * Pages of tmpfs and shared memory do not count.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define HAS(flags, name)	((flags) >> KPF_##name & 1)

int main(void)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	bool head_counts = false;
	size_t pages = 0, large = 0;
	uint64_t flags[512];
	ssize_t got;

	if (fd < 0)
		err(1, "kpageflags");
	while ((got = read(fd, flags, sizeof(flags))) > 0) {
		for (size_t i = 0; i < got / sizeof(*flags); i++) {
			bool tail = HAS(flags[i], COMPOUND_TAIL), counts;

			/* On some kernels a tail has flags of its own. */
			counts = tail ? head_counts :
				 HAS(flags[i], LRU) && !HAS(flags[i], ANON) &&
				 !HAS(flags[i], SWAPBACKED) && !HAS(flags[i], HUGE);
			head_counts = counts && (tail || HAS(flags[i], COMPOUND_HEAD));
			pages += counts;
			large += head_counts;
		}
	}
	printf("pages=%zu large=%zu\n", pages, large);
	return 0;
}
