/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"

static void put_string(FILE *f, const char *text, size_t len)
{
	putc('"', f);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = text[i];

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < ' ')
			fprintf(f, "\\u%04x", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

static void put_double(FILE *f, double v)
{
	char text[32];

	if (!isfinite(v)) {
		fputs("null", f);
		return;
	}
	snprintf(text, sizeof(text), "%.17g", v);
	/* A reader takes a number without a point for an integer. */
	fprintf(f, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void put_int(FILE *f, json *v)
{
	int64_t num = json_object_get_int64(v);

	if (num < 0)
		fprintf(f, "%" PRId64, num);
	else
		fprintf(f, "%" PRIu64, json_object_get_uint64(v));
}

struct writer {
	FILE *f;
	/* Each value is on a line of its own. */
	bool lines;
	unsigned int depth;
};

static void begin_line(const struct writer *w)
{
	if (w->lines)
		fprintf(w->f, "\n%*s", (int)(2 * w->depth), "");
}

static void put(struct writer *w, json *v);

static void put_array(struct writer *w, json *a)
{
	size_t num = json_object_array_length(a);

	putc('[', w->f);
	w->depth++;
	for (size_t i = 0; i < num; i++) {
		if (i)
			putc(',', w->f);
		begin_line(w);
		put(w, json_object_array_get_idx(a, i));
	}
	w->depth--;
	if (num)
		begin_line(w);
	putc(']', w->f);
}

static void put_object(struct writer *w, json *o)
{
	const char *comma = "";

	putc('{', w->f);
	w->depth++;
	json_object_object_foreach(o, key, value) {
		fputs(comma, w->f);
		begin_line(w);
		put_string(w->f, key, strlen(key));
		fputs(w->lines ? ": " : ":", w->f);
		put(w, value);
		comma = ",";
	}
	w->depth--;
	if (*comma)
		begin_line(w);
	putc('}', w->f);
}

static void put(struct writer *w, json *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		fputs("null", w->f);
		break;
	case json_type_boolean:
		fputs(json_object_get_boolean(v) ? "true" : "false", w->f);
		break;
	case json_type_double:
		put_double(w->f, json_object_get_double(v));
		break;
	case json_type_int:
		put_int(w->f, v);
		break;
	case json_type_string:
		put_string(w->f, json_object_get_string(v), json_object_get_string_len(v));
		break;
	case json_type_array:
		put_array(w, v);
		break;
	case json_type_object:
		put_object(w, v);
		break;
	}
}

static char *make_text(json *o, bool lines, size_t *len)
{
	char *text = NULL;
	struct writer w = {
		.f = json_is_complete() && o ? open_memstream(&text, len) : NULL,
		.lines = lines,
	};
	bool ok;

	if (!w.f)
		return NULL;
	put(&w, o);
	ok = !ferror(w.f);
	if (fclose(w.f) || !ok) {
		free(text);
		return NULL;
	}
	return text;
}

char *json_text(json *o, size_t *len)
{
	return make_text(o, false, len);
}

char *json_lines(json *o, size_t *len)
{
	return make_text(o, true, len);
}
