/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jsonio.h"
#include "utf8.h"

/* There was no memory for something since json_is_complete() was asked last. */
static bool lacked;

bool json_is_complete(void)
{
	bool complete = !lacked;

	lacked = false;
	return complete;
}

static json *made(json *v)
{
	lacked |= !v;
	return v;
}

json *json_new_object(void)
{
	return made(json_object_new_object());
}

json *json_new_array(void)
{
	return made(json_object_new_array());
}

json *json_new_u64(uint64_t v)
{
	return made(json_object_new_uint64(v));
}

json *json_new_i64(int64_t v)
{
	return made(json_object_new_int64(v));
}

json *json_new_bool(bool v)
{
	return made(json_object_new_boolean(v));
}

json *json_new_text(const char *v)
{
	return made(json_object_new_string(v));
}

json *json_new_double(double v)
{
	return made(json_object_new_double(v));
}

void json_add(json *o, const char *key, json *v)
{
	if (o && !json_object_object_add(o, key, v))
		return;
	lacked = true;
	json_object_put(v);
}

void json_append(json *a, json *v)
{
	if (a && !json_object_array_add(a, v))
		return;
	lacked = true;
	json_object_put(v);
}

void json_put_u64(json *o, const char *key, uint64_t v)
{
	json_add(o, key, json_new_u64(v));
}

void json_put_str(json *o, const char *key, const char *v)
{
	char text[1024];

	if (v)
		hmem_utf8(v, text, sizeof(text));
	json_add(o, key, v && *v ? json_new_text(text) : NULL);
}

void json_put_bool(json *o, const char *key, bool v)
{
	json_add(o, key, json_new_bool(v));
}

void json_put_rate(json *o, const char *key, double v, bool known)
{
	json_add(o, key, known ? json_new_double(v) : NULL);
}

json *json_get(json *req, const char *key, enum json_type type)
{
	json *v;

	if (!json_object_object_get_ex(req, key, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

const char *json_get_str(json *req, const char *key)
{
	json *v = json_get(req, key, json_type_string);

	return v ? json_object_get_string(v) : NULL;
}

const char *json_word(json *v)
{
	const char *text = json_object_get_string(v);

	return text ? text : "";
}

bool json_get_flag(json *req, const char *key)
{
	json *v = json_get(req, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

bool json_get_num(json *req, const char *key, int64_t def, int64_t max, int64_t *num)
{
	json *v;

	*num = def;
	if (!json_object_object_get_ex(req, key, &v))
		return def >= 0;
	if (!json_object_is_type(v, json_type_int))
		return false;
	*num = json_object_get_int64(v);
	return *num >= 0 && *num <= max;
}
