/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks for the simulator: a no-op instruction whose displacement names the
 * operation.  Processors ignore it; the simulator's plugin recognizes it.
 */
#ifndef ROI_H
#define ROI_H

#define ROI_STRING(x)	#x
#define ROI_OP(op)							\
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00\n\t"		\
			 ".long 0x686d0000 | " ROI_STRING(op) ::: "memory")

/* The simulator begins to model the cost of memory. */
static inline void roi_start(void)
{
	ROI_OP(5);
}

/* The region of interest begins. */
static inline void roi_begin(void)
{
	ROI_OP(1);
}

/* The region of interest ends. */
static inline void roi_end(void)
{
	ROI_OP(2);
}

#endif /* ROI_H */
