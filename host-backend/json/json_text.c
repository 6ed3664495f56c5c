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

static void put(FILE *f, json *v)
{
	const char *comma = "";

	switch (json_object_get_type(v)) {
	case json_type_null:
		fputs("null", f);
		break;
	case json_type_boolean:
		fputs(json_object_get_boolean(v) ? "true" : "false", f);
		break;
	case json_type_double:
		put_double(f, json_object_get_double(v));
		break;
	case json_type_int:
		put_int(f, v);
		break;
	case json_type_string:
		put_string(f, json_object_get_string(v), json_object_get_string_len(v));
		break;
	case json_type_array:
		putc('[', f);
		for (size_t i = 0; i < json_object_array_length(v); i++) {
			fputs(comma, f);
			put(f, json_object_array_get_idx(v, i));
			comma = ",";
		}
		putc(']', f);
		break;
	case json_type_object:
		putc('{', f);
		json_object_object_foreach(v, key, value) {
			fputs(comma, f);
			put_string(f, key, strlen(key));
			putc(':', f);
			put(f, value);
			comma = ",";
		}
		putc('}', f);
		break;
	}
}

char *json_text(json *o, size_t *len)
{
	char *text = NULL;
	FILE *f = json_is_complete() && o ? open_memstream(&text, len) : NULL;
	bool ok;

	if (!f)
		return NULL;
	put(f, o);
	ok = !ferror(f);
	if (fclose(f) || !ok) {
		free(text);
		return NULL;
	}
	return text;
}
