/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* Length in bytes of the character at @s; 0: there is no valid character. */
static size_t length(const unsigned char *s)
{
	/* The smallest code point per length: longer forms are invalid. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 :
		   s[0] >> 3 == 30 ? 4 : 0;
	uint32_t c;

	if (n < 2)
		return n;
	c = s[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		/* This also finds a string that ends within a character. */
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

void hmem_utf8(const char *from, char *to, size_t size)
{
	while (*from) {
		size_t n = length((const unsigned char *)from), step = n ? n : 1;

		if (step >= size)
			break;
		if (n)
			memcpy(to, from, n);
		else
			*to = '?';
		from += step;
		to += step;
		size -= step;
	}
	*to = '\0';
}
