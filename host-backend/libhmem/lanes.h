/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on the 16-bit values of a block's 64 pages, eight of them in one vector register
 * of any machine; and on 64-bit words with one bit per page.
 */
#ifndef HMEM_LANES_H
#define HMEM_LANES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t lanes __attribute__((vector_size(16)));

static inline lanes lanes_load(const uint16_t *v)
{
	lanes l;

	memcpy(&l, v, sizeof(l));
	return l;
}

static inline void lanes_store(uint16_t *v, lanes l)
{
	memcpy(v, &l, sizeof(l));
}

/* Sets all bits of the lanes whose bit is set in @bits. */
static inline lanes lanes_spread(uint8_t bits)
{
	const lanes bit = { 1, 2, 4, 8, 16, 32, 64, 128 };

	return (lanes)((bit & bits) != 0);
}

/* The OR of all lanes. */
static inline uint16_t lanes_any(lanes l)
{
	uint64_t half[2];

	memcpy(half, &l, sizeof(half));
	half[0] |= half[1];
	half[0] |= half[0] >> 32;
	return half[0] | half[0] >> 16;
}

/* Transposes bits: bit @g of lane @l becomes bit 8 * @g + @l. */
static inline uint64_t lanes_transpose(lanes rows)
{
	typedef uint8_t bytes __attribute__((vector_size(8)));
	bytes b = __builtin_convertvector(rows, bytes);
	uint64_t x, swap;

	memcpy(&x, &b, sizeof(x));
	x = le64toh(x);
	swap = (x ^ x >> 7) & UINT64_C(0x00aa00aa00aa00aa);
	x ^= swap ^ swap << 7;
	swap = (x ^ x >> 14) & UINT64_C(0x0000cccc0000cccc);
	x ^= swap ^ swap << 14;
	swap = (x ^ x >> 28) & UINT64_C(0x00000000f0f0f0f0);
	return x ^ swap ^ swap << 28;
}

/* A bit for each of the 64 values from @v on: does @condition hold, with the values in @l? */
#define LANES_WHERE(v, l, condition) ({						\
	lanes lanes_rows = { 0 };						\
										\
	for (unsigned int lanes_g = 0; lanes_g < 8; lanes_g++) {		\
		lanes l = lanes_load(&(v)[8 * lanes_g]);			\
										\
		lanes_rows |= (lanes)(condition) & (uint16_t)(1u << lanes_g);	\
	}									\
	lanes_transpose(lanes_rows);						\
})

#endif /* HMEM_LANES_H */
