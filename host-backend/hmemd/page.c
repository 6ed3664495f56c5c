/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "page.h"

/* The paths are relative to host-backend, where the compiler runs. */
#define INCLUDE(name, file)						\
	__asm__(".section .rodata\n"					\
		".global page_" #name ", page_" #name "_end\n"		\
		"page_" #name ": .incbin \"page/" file "\"\n"		\
		"page_" #name "_end: .byte 0\n"				\
		".previous\n");						\
	extern const char page_##name[], page_##name##_end[]

INCLUDE(html, "index.html");
INCLUDE(css, "page.css");
INCLUDE(js, "page.js");

static const struct page_file files[] = {
	{ "/", "text/html; charset=utf-8", page_html, page_html_end },
	{ "/page.css", "text/css; charset=utf-8", page_css, page_css_end },
	{ "/page.js", "text/javascript; charset=utf-8", page_js, page_js_end },
};

const struct page_file *page_find(const char *path)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (!strcmp(path, files[i].path))
			return &files[i];
	}
	return NULL;
}
