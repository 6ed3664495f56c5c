/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page for browsers: files of host-backend/page, which are a part of the program. */
#ifndef HMEMD_PAGE_H
#define HMEMD_PAGE_H

#include <stddef.h>

struct page_file {
	const char *path;		/* in a URL */
	const char *type;		/* the content type */
	const char *begin, *end;
};

/* The file with this path; NULL: there is none. */
const struct page_file *page_find(const char *path);

#endif /* HMEMD_PAGE_H */
