/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* Bytes of the character that @s begins with; 0: it begins with none. */
static size_t length(const unsigned char *s)
{
	/* The least code point for so many bytes: shorter forms are the only ones. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 :
		   s[0] >> 3 == 30 ? 4 : 0;
	uint32_t c;

	if (n < 2)
		return n;
	c = s[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		/* This is where a string that ends too early does. */
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
