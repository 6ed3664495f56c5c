/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads JSON (RFC 8259).  json-c has a reader, but that of json-c 0.16 looks at no result of a call
 * for memory: without memory it crashes, or leaves out a value, and so changes what was said.
 */
#ifndef HMEM_JSON_READ_H
#define HMEM_JSON_READ_H

#include "err.h"
#include "jsonio.h"

/* Objects and arrays in each other, at most. */
#define JSON_MAX_DEPTH	16u

/*
 * Values in one text, at most: two characters of text can take hundreds of bytes of memory.  The
 * largest request is that of "hmemctl migrate" with the most ranges of frames that hmemd takes,
 * which are 2^18 arrays of two numbers; a request has fewer than 64 other values.  Answers have
 * far fewer: that about heat has 4096 objects of six numbers.  An object in another one counts as
 * 12 values, because json-c gives each a table, which takes as much memory as 11 numbers.
 */
#define JSON_MAX_VALUES	(3u * (1u << 18) + 64)
#define JSON_OBJECT_VALUES	12u

/*
 * Read @text, which is one object, and white space.  Returns the object; or NULL, and @err says
 * why.  Of two values with the same key, the last one counts.  What json_is_complete() says of
 * another object that is being made stays as it is.
 */
json *json_read(const char *text, size_t len, struct hmem_err *err);

#endif /* HMEM_JSON_READ_H */
