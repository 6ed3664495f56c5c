/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"

/* No number needs more characters. */
#define MAX_NUMBER	64u

struct reader {
	const char *start, *at, *end;
	unsigned int depth, values;
	struct hmem_err *err;
};

static bool read_value(struct reader *r, json **value);

static bool fail(struct reader *r, const char *what)
{
	hmem_fail(r->err, EINVAL, "%s at byte %zu", what, (size_t)(r->at - r->start));
	return false;
}

static bool no_memory(struct reader *r)
{
	hmem_fail(r->err, ENOMEM, "no memory for %zu bytes", (size_t)(r->end - r->start));
	return false;
}

/* The next character, after white space; '\0' at the end. */
static char next(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
		r->at++;
	return r->at < r->end ? *r->at : '\0';
}

static bool skip(struct reader *r, char c)
{
	if (next(r) != c || r->at == r->end)
		return false;
	r->at++;
	return true;
}

/* --- strings --- */

/* The four hexadecimal digits at @at, or -1. */
static int read_hex(const struct reader *r, const char *at)
{
	int value = 0;

	if (r->end - at < 4)
		return -1;
	for (unsigned int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef0123456789ABCDEF";
		const char *found = at[i] ? strchr(digits, at[i]) : NULL;

		if (!found)
			return -1;
		value = value * 16 + (found - digits) % 16;
	}
	return value;
}

static char *put_utf8(char *to, unsigned int c)
{
	if (c < 0x80) {
		*to++ = c;
	} else if (c < 0x800) {
		*to++ = 0xc0 | c >> 6;
		*to++ = 0x80 | (c & 0x3f);
	} else if (c < 0x10000) {
		*to++ = 0xe0 | c >> 12;
		*to++ = 0x80 | (c >> 6 & 0x3f);
		*to++ = 0x80 | (c & 0x3f);
	} else {
		*to++ = 0xf0 | c >> 18;
		*to++ = 0x80 | (c >> 12 & 0x3f);
		*to++ = 0x80 | (c >> 6 & 0x3f);
		*to++ = 0x80 | (c & 0x3f);
	}
	return to;
}

/* Read what follows "\u".  C has no strings with a NUL, so none is allowed here. */
static bool read_unicode(struct reader *r, char **to)
{
	int c = read_hex(r, r->at), low = -1;

	if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 10 && r->at[4] == '\\' &&
	    r->at[5] == 'u')
		low = read_hex(r, r->at + 6);
	if (c <= 0 || (c >= 0xd800 && c < 0xe000 && (low < 0xdc00 || low >= 0xe000)))
		return fail(r, "\\u without a character");
	r->at += 4;
	if (low >= 0) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		r->at += 6;
	}
	*to = put_utf8(*to, c);
	return true;
}

/* Read what follows a backslash.  It is longer than what it stands for. */
static bool read_escape(struct reader *r, char **to)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (r->at < r->end && *r->at == 'u') {
		r->at++;
		return read_unicode(r, to);
	}
	found = r->at < r->end && *r->at ? strchr(escapes, *r->at) : NULL;
	if (!found)
		return fail(r, "a backslash without a meaning");
	*(*to)++ = meanings[found - escapes];
	r->at++;
	return true;
}

/* The end of the string that begins at r->at, or NULL. */
static const char *find_quote(const struct reader *r)
{
	for (const char *s = r->at; s < r->end; s++) {
		if (*s == '"')
			return s;
		s += *s == '\\';
	}
	return NULL;
}

/* Read a string after its first quote.  Returns it, or NULL; the caller frees it. */
static char *read_text(struct reader *r)
{
	const char *quote = find_quote(r);
	bool ok = true;
	char *text, *to;

	if (!quote) {
		fail(r, "a string without an end begins");
		return NULL;
	}
	text = malloc(quote - r->at + 1);
	if (!text) {
		no_memory(r);
		return NULL;
	}
	for (to = text; ok && r->at < quote; ) {
		char c = *r->at;

		if ((unsigned char)c < ' ') {
			ok = fail(r, "a control character");
			continue;
		}
		r->at++;
		if (c == '\\')
			ok = read_escape(r, &to);
		else
			*to++ = c;
	}
	if (!ok) {
		free(text);
		return NULL;
	}
	r->at++;
	*to = '\0';
	return text;
}

static bool read_string(struct reader *r, json **value)
{
	char *text = read_text(r);

	if (!text)
		return false;
	*value = json_object_new_string(text);
	free(text);
	return *value || no_memory(r);
}

/* --- numbers --- */

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* The length of the number at the beginning of @s, 0: that is none. */
static size_t number_length(const char *s, bool *is_double)
{
	size_t len = *s == '-', n = digits(s + len);

	if (!n || (n > 1 && s[len] == '0'))
		return 0;
	len += n;
	*is_double = false;
	if (s[len] == '.') {
		n = digits(s + len + 1);
		if (!n)
			return 0;
		len += 1 + n;
		*is_double = true;
	}
	if (s[len] == 'e' || s[len] == 'E') {
		len++;
		len += s[len] == '+' || s[len] == '-';
		n = digits(s + len);
		if (!n)
			return 0;
		len += n;
		*is_double = true;
	}
	return len;
}

/* The number of @text.  NULL: no memory.  *@fits: it is in range. */
static json *new_number(const char *text, bool is_double, bool *fits)
{
	uint64_t u;
	int64_t i;
	double v;

	errno = 0;
	if (is_double) {
		v = strtod(text, NULL);
		/* ERANGE would also tell that a number near 0 was rounded. */
		*fits = isfinite(v);
		return json_object_new_double(v);
	}
	if (*text == '-') {
		i = strtoll(text, NULL, 10);
		*fits = !errno;
		return json_object_new_int64(i);
	}
	u = strtoull(text, NULL, 10);
	*fits = !errno;
	return json_object_new_uint64(u);
}

static bool read_number(struct reader *r, json **value)
{
	size_t left = r->end - r->at, len;
	char text[MAX_NUMBER] = "";
	bool is_double, fits;

	memcpy(text, r->at, left < MAX_NUMBER ? left : MAX_NUMBER - 1);
	len = number_length(text, &is_double);
	if (!len || len == MAX_NUMBER - 1)
		return fail(r, "what is no value, or a number that is too long, is");
	text[len] = '\0';
	*value = new_number(text, is_double, &fits);
	if (!*value)
		return no_memory(r);
	if (!fits) {
		json_object_put(*value);
		return fail(r, "a number out of range");
	}
	r->at += len;
	return true;
}

/* --- the others --- */

static bool read_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len))
		return false;
	r->at += len;
	return true;
}

static bool not_added(struct reader *r, json *value)
{
	json_object_put(value);
	return no_memory(r);
}

static bool read_member(struct reader *r, json *o)
{
	json *value;
	char *key;
	bool ok;

	if (!skip(r, '"'))
		return fail(r, "no key");
	key = read_text(r);
	if (!key)
		return false;
	if (!skip(r, ':')) {
		free(key);
		return fail(r, "no ':'");
	}
	if (!read_value(r, &value)) {
		free(key);
		return false;
	}
	ok = !json_object_object_add(o, key, value);
	free(key);
	return ok || not_added(r, value);
}

static bool read_element(struct reader *r, json *a)
{
	json *value;

	if (!read_value(r, &value))
		return false;
	return !json_object_array_add(a, value) || not_added(r, value);
}

/* Read what an object or an array contains, after the first bracket. */
static bool read_all(struct reader *r, json *o, char end,
		     bool (*read_one)(struct reader *r, json *o))
{
	if (!o)
		return no_memory(r);
	if (skip(r, end))
		return true;
	do {
		if (!read_one(r, o))
			return false;
	} while (skip(r, ','));
	return skip(r, end) || fail(r, end == '}' ? "no ',' or '}'" : "no ',' or ']'");
}

static bool count_values(struct reader *r, unsigned int num)
{
	r->values += num;
	if (r->values <= JSON_MAX_VALUES)
		return true;
	hmem_fail(r->err, E2BIG, "more than %u values", JSON_MAX_VALUES);
	return false;
}

static bool read_nested(struct reader *r, json **value)
{
	bool object = *r->at++ == '{', ok;

	if (r->depth == JSON_MAX_DEPTH)
		return fail(r, "too many brackets in each other");
	r->depth++;
	/* Most arrays are ranges.  By default, json-c would make room for 32 values. */
	*value = object ? json_object_new_object() : json_object_new_array_ext(2);
	ok = read_all(r, *value, object ? '}' : ']', object ? read_member : read_element);
	r->depth--;
	if (!ok)
		json_object_put(*value);
	return ok;
}

/* On success, the caller owns *@value. */
static bool read_value(struct reader *r, json **value)
{
	char c = next(r);

	*value = NULL;
	if (!count_values(r, c == '{' ? JSON_OBJECT_VALUES : 1))
		return false;
	if (c == '{' || c == '[')
		return read_nested(r, value);
	if (c == '"') {
		r->at++;
		return read_string(r, value);
	}
	if (read_word(r, "null"))
		return true;
	if (c == 't' ? read_word(r, "true") : read_word(r, "false")) {
		*value = json_object_new_boolean(c == 't');
		return *value || no_memory(r);
	}
	return read_number(r, value);
}

json *json_read(const char *text, size_t len, struct hmem_err *err)
{
	struct reader r = { .start = text, .at = text, .end = text + len, .err = err };
	json *o;

	if (next(&r) != '{') {
		fail(&r, "no '{'");
		return NULL;
	}
	if (!read_nested(&r, &o))
		return NULL;
	if (!next(&r) && r.at == r.end)
		return o;
	fail(&r, "more than one object");
	json_object_put(o);
	return NULL;
}
