// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Check the contents of memory again and again:  keep MIB STOP [PAUSE]
 *
 * Fills MIB of memory, prints "filled", and then reads and changes all of it until the
 * file STOP exists, with pauses of 1 ms.  Exits with 1 if a word has changed.
 *
 * With PAUSE, the pauses are so many ms, and the program uses one word in each page: all
 * pages are used often at a small cost.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t words, i, step = 8, round = 0;
	unsigned int pause_ms = 1;
	uint64_t *p;

	if (argc < 3 || argc > 4)
		return 2;
	if (argc == 4) {
		pause_ms = strtoul(argv[3], NULL, 0);
		step = 512;
	}
	words = strtoul(argv[1], NULL, 0) << 17;
	p = mmap(NULL, words * 8, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return 2;
	/* One word in eight is enough, because the processor is emulated. */
	for (i = 0; i < words; i += step)
		p[i] = i;
	printf("filled\n");
	fflush(stdout);
	while (access(argv[2], F_OK)) {
		for (i = 0; i < words; i += step) {
			if (p[i] != i + round) {
				printf("word %zu is %#lx in round %zu\n", i,
				       (unsigned long)p[i], round);
				return 1;
			}
			p[i]++;
		}
		round++;
		printf("round %zu\n", round);
		fflush(stdout);
		usleep(1000 * pause_ms);
	}
	printf("all %zu words are as they were\n", words);
	return 0;
}
