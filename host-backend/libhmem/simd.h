/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on the 16-bit values of a block's 64 pages.  One vector has eight values, one in
 * each lane, and fits into a register of any machine.  A 64-bit word has one bit per page.
 */
#ifndef HMEM_SIMD_H
#define HMEM_SIMD_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t u16x8 __attribute__((vector_size(16)));

static inline u16x8 simd_load(const uint16_t *v)
{
	u16x8 l;

	memcpy(&l, v, sizeof(l));
	return l;
}

static inline void simd_store(uint16_t *v, u16x8 l)
{
	memcpy(v, &l, sizeof(l));
}

/* A vector with all bits set in the lanes whose bit is set in @bits, and 0 in the others. */
static inline u16x8 simd_mask(uint8_t bits)
{
	const u16x8 bit = { 1, 2, 4, 8, 16, 32, 64, 128 };

	return (u16x8)((bit & bits) != 0);
}

/* The OR of all lanes. */
static inline uint16_t simd_or(u16x8 l)
{
	uint64_t half[2];

	memcpy(half, &l, sizeof(half));
	half[0] |= half[1];
	half[0] |= half[0] >> 32;
	return half[0] | half[0] >> 16;
}

/* Transposes bits: bit @g of lane @l becomes bit 8 * @g + @l. */
static inline uint64_t simd_transpose(u16x8 rows)
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

/*
 * A word with a bit for each of the 64 values from @v on, which is set if @condition is true.
 * @condition is an expression with the vector @l, which has the values.
 */
#define SIMD_WHERE(v, l, condition) ({					\
	u16x8 simd_rows = { 0 };					\
									\
	for (unsigned int simd_g = 0; simd_g < 8; simd_g++) {		\
		u16x8 l = simd_load(&(v)[8 * simd_g]);			\
									\
		simd_rows |= (u16x8)(condition) & (uint16_t)(1u << simd_g);	\
	}								\
	simd_transpose(simd_rows);					\
})

#endif /* HMEM_SIMD_H */
