/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For test programs in the guest: threads that update memory at random. */
#ifndef UPDATES_H
#define UPDATES_H

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_THREADS	64

/* What the threads update, how often they spin after an update, and whether they are to end. */
static uint64_t *memory;
static size_t words;
static unsigned int spins;
static int stop;

/* Each counter has a cache line. */
static struct worker {
	_Alignas(64) uint64_t ops;
	unsigned int number;	/* also of its processor */
	pthread_t thread;
} workers[MAX_THREADS];

static void run_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "processor %u", cpu);
}

static void *update(void *arg)
{
	struct worker *worker = arg;
	uint64_t x = worker->number;

	run_on(worker->number);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		__atomic_fetch_add(&memory[(x >> 20) % words], 1, __ATOMIC_RELAXED);
		__atomic_store_n(&worker->ops, worker->ops + 1, __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < spins; i++)
			__asm__ volatile("");
	}
	return NULL;
}

/* Starts threads on the processors 1 .. @threads. */
static void begin_updates(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++) {
		workers[i].number = i + 1;
		if (pthread_create(&workers[i].thread, NULL, update, &workers[i]))
			errx(1, "no thread");
	}
}

#endif /* UPDATES_H */
