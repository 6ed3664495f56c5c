/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes numbers, sizes and UUIDs in the form that people use. */
#ifndef HMEM_NUMBERS_H
#define HMEM_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * Parse all @len bytes of @s: a decimal or 0x hexadecimal number, and an optional suffix K,
 * M, G or T (powers of 1024, upper or lower case).  Returns 0, -EINVAL or -ERANGE.
 */
int hmem_parse_size(const char *s, size_t len, uint64_t *bytes,
		    struct hmem_err *err);

/* The same without a suffix. */
int hmem_parse_num(const char *s, size_t len, uint64_t *num,
		   struct hmem_err *err);

/* Write a size such as "1.5 GiB" to @buf: at least three digits, exact if short enough. */
const char *hmem_format_size(uint64_t bytes, char *buf, size_t size);

/* Write @uuid in the form that people use to @buf, and return @buf. */
const char *hmem_format_uuid(const uint8_t uuid[16], char buf[37]);

#endif /* HMEM_NUMBERS_H */
