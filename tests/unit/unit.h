/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmocka requires these headers first, and in this order. */
#ifndef HMEM_UNIT_H
#define HMEM_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A random generator with the same numbers everywhere (xorshift64*). */
static inline uint64_t unit_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

#endif /* HMEM_UNIT_H */
