/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the driver's static functions, in the kernel that runs them. */
#ifndef PARTS_H
#define PARTS_H

#include <linux/printk.h>
#include <linux/types.h>

#undef pr_fmt
#define pr_fmt(fmt) "hmem_parts: " fmt

extern unsigned int parts_checked, parts_failed;

/* The two numbers are equal; if not, say where. */
#define CHECK_EQ(is, expected)						\
do {									\
	u64 is_ = (is), expected_ = (expected);				\
									\
	parts_checked++;						\
	if (is_ != expected_) {						\
		parts_failed++;						\
		pr_err("%s:%d: %s is %#llx, not %#llx\n", __func__,	\
		       __LINE__, #is, is_, expected_);			\
	}								\
} while (0)

#define CHECK(condition) CHECK_EQ(!!(condition), 1)

void batch_parts(void);
void anon_parts(void);
void hide_parts(void);
void access_parts(void);
void idle_parts(void);
void resize_parts(void);
void share_parts(void);

#endif /* PARTS_H */
