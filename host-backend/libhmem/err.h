/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An error text for a person: what went wrong, and what to do next. */
#ifndef HMEM_ERR_H
#define HMEM_ERR_H

#include <stdarg.h>
#include <stdio.h>

struct hmem_err {
	char msg[256];
};

/*
 * Fill in @err (which may be NULL) and return -@code, so that a failing
 * function ends in "return hmem_fail(err, EINVAL, ...)".
 */
__attribute__((format(printf, 3, 4)))
static inline int hmem_fail(struct hmem_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	return -code;
}

#endif /* HMEM_ERR_H */
