/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "numbers.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Parse digits at @s.  Returns the number of characters, 0 if there is no number. */
static size_t number(const char *s, size_t len, uint64_t *num, bool *too_big)
{
	unsigned int base = 10;
	size_t at = 0, first;

	if (len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		at = 2;
	}
	first = at;
	*num = 0;
	*too_big = false;
	for (; at < len && digit(s[at]) < (int)base; at++) {
		if (__builtin_mul_overflow(*num, base, num) ||
		    __builtin_add_overflow(*num, (unsigned int)digit(s[at]), num))
			*too_big = true;
	}
	return at > first ? at : 0;
}

static int parse(const char *s, size_t len, bool suffix, uint64_t *out,
		 struct hmem_err *err)
{
	static const char units[] = "kmgt";
	unsigned int shift = 0;
	uint64_t num;
	bool too_big;
	size_t at = number(s, len, &num, &too_big);

	if (at && suffix && len == at + 1) {
		const char *u = strchr(units, s[at] | 0x20);

		if (s[at] && u) {
			shift = 10 * (u - units + 1);
			at++;
		}
	}
	if (!at || at != len)
		return hmem_fail(err, EINVAL, "'%.*s' is not a %s",
				 (int)(len < 40 ? len : 40), s,
				 suffix ? "size: give a whole number, alone or with K, M, G "
				 "or T, such as 8G" : "number (like 4096 or 0x1000)");
	if (too_big || num > UINT64_MAX >> shift)
		return hmem_fail(err, ERANGE, "'%.*s' is too large",
				 (int)(len < 40 ? len : 40), s);
	*out = num << shift;
	return 0;
}

int hmem_parse_size(const char *s, size_t len, uint64_t *bytes,
		    struct hmem_err *err)
{
	return parse(s, len, true, bytes, err);
}

int hmem_parse_num(const char *s, size_t len, uint64_t *num,
		   struct hmem_err *err)
{
	return parse(s, len, false, num, err);
}

const char *hmem_format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned int u = 0;
	double v = bytes;

	while (v >= 1024 && u < 5) {
		v /= 1024;
		u++;
	}
	if (v == (uint64_t)v)
		snprintf(buf, size, "%" PRIu64 " %s", (uint64_t)v, units[u]);
	else
		snprintf(buf, size, "%.1f %s", v, units[u]);
	return buf;
}

const char *hmem_format_uuid(const uint8_t uuid[16], char buf[37])
{
	char *at = buf;

	for (unsigned int i = 0; i < 16; i++) {
		bool dash = i == 4 || i == 6 || i == 8 || i == 10;

		at += sprintf(at, "%s%02x", dash ? "-" : "", uuid[i]);
	}
	return buf;
}
