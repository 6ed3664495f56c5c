// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sleep a millisecond at a time, and print once a second how many times the program
 * woke up and the longest time between two wake-ups:  "beats N longest_us N".
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000) + t.tv_nsec / 1000;
}

int main(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint64_t last = now_us(), said = last, longest = 0, beats = 0;

	for (;;) {
		uint64_t now;

		nanosleep(&ms, NULL);
		now = now_us();
		beats++;
		if (now - last > longest)
			longest = now - last;
		last = now;
		if (now - said >= 1000000) {
			printf("beats %lu longest_us %lu\n", beats, longest);
			fflush(stdout);
			said = now;
		}
	}
}
