/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mlq.h"

/* Increment the counters of @frames, which are not at their maximum. */
static void count_up(uint64_t *planes, unsigned int bits, uint64_t frames)
{
	for (unsigned int i = 0; i < bits; i++) {
		uint64_t was = planes[i];

		planes[i] = was ^ frames;
		frames &= was;
	}
}

/* Decrement the counters of @frames, which are not zero. */
static void count_down(uint64_t *planes, unsigned int bits, uint64_t frames)
{
	for (unsigned int i = 0; i < bits; i++) {
		uint64_t was = planes[i];

		planes[i] = was ^ frames;
		frames &= ~was;
	}
}

static uint64_t nonzero(const uint64_t *planes, unsigned int bits)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < bits; i++)
		any |= planes[i];
	return any;
}

/* The frames whose level is at least @n (1 .. 7). */
static uint64_t at_least(const uint64_t *level, unsigned int n)
{
	uint64_t ge = UINT64_MAX;

	/* Compare from the lowest bit up: a higher bit overrides the result so far. */
	for (unsigned int i = 0; i < HMEM_MLQ_LEVEL_BITS; i++)
		ge = n >> i & 1 ? level[i] & ge : level[i] | ge;
	return ge;
}

/* The frames that are left alone for exactly one more window. */
static uint64_t last_wait(const struct hmem_mlq_block *b)
{
	return b->wait[0] & ~nonzero(b->wait + 1, HMEM_MLQ_MAX_LEVEL - 1);
}

uint64_t hmem_mlq_step(struct hmem_mlq_block *b, uint64_t accessed,
		       unsigned int max_level, bool late)
{
	uint64_t waiting = nonzero(b->wait, HMEM_MLQ_MAX_LEVEL);
	uint64_t hit = accessed & ~waiting, miss = ~accessed & ~waiting;
	uint64_t rearm;

	count_down(b->wait, HMEM_MLQ_MAX_LEVEL, waiting);
	rearm = waiting & ~nonzero(b->wait, HMEM_MLQ_MAX_LEVEL);
	count_down(b->level, HMEM_MLQ_LEVEL_BITS,
		   miss & nonzero(b->level, HMEM_MLQ_LEVEL_BITS));
	/* All of these, whether or not they will be accessed in the next window. */
	if (!max_level)
		return late ? UINT64_MAX : rearm | hit;
	if (!hit)
		return late ? last_wait(b) : rearm;
	count_up(b->level, HMEM_MLQ_LEVEL_BITS, hit & ~at_least(b->level, max_level));
	/* 2^level - 1, which has as many ones as the level. */
	for (unsigned int i = 0; i < max_level; i++)
		b->wait[i] |= hit & at_least(b->level, i + 1);
	return late ? last_wait(b) : rearm;
}

void hmem_mlq_forget(struct hmem_mlq_block *b, uint64_t frames)
{
	for (unsigned int i = 0; i < HMEM_MLQ_LEVEL_BITS; i++)
		b->level[i] &= ~frames;
	for (unsigned int i = 0; i < HMEM_MLQ_MAX_LEVEL; i++)
		b->wait[i] &= ~frames;
}

bool hmem_mlq_any(const struct hmem_mlq_block *b)
{
	return nonzero(b->level, HMEM_MLQ_LEVEL_BITS) ||
	       nonzero(b->wait, HMEM_MLQ_MAX_LEVEL);
}

static unsigned int count_of(const uint64_t *planes, unsigned int bits,
			     unsigned int frame)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < bits; i++)
		n |= (planes[i] >> frame & 1) << i;
	return n;
}

unsigned int hmem_mlq_level(const struct hmem_mlq_block *b, unsigned int frame)
{
	return count_of(b->level, HMEM_MLQ_LEVEL_BITS, frame);
}

unsigned int hmem_mlq_wait(const struct hmem_mlq_block *b, unsigned int frame)
{
	return count_of(b->wait, HMEM_MLQ_MAX_LEVEL, frame);
}
