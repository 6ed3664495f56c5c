/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes JSON objects, the format of requests and answers, and looks into them. */
#ifndef HMEM_JSONIO_H
#define HMEM_JSONIO_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

typedef struct json_object json;

/*
 * Without memory, these leave something out, and json_is_complete() returns false: whoever has made
 * a request or an answer asks once, and does not send it.  json-c would abort the program.
 */
bool json_is_complete(void);

json *json_new_object(void);
json *json_new_array(void);
json *json_new_u64(uint64_t v);
json *json_new_i64(int64_t v);
json *json_new_double(double v);
json *json_new_bool(bool v);
/* @v is UTF-8. */
json *json_new_text(const char *v);
/* @o and @a own @v from now on; NULL becomes null. */
void json_add(json *o, const char *key, json *v);
void json_append(json *a, json *v);

void json_put_u64(json *o, const char *key, uint64_t v);
/* NULL and "" become null.  Replaces bytes that are not UTF-8, since names may have any. */
void json_put_str(json *o, const char *key, const char *v);
void json_put_bool(json *o, const char *key, bool v);
/* The value becomes null if it is not @known. */
void json_put_rate(json *o, const char *key, double v, bool known);

/* NULL if there is no value of that type. */
json *json_get(json *req, const char *key, enum json_type type);
const char *json_get_str(json *req, const char *key);
/* A string, or the text of a number; "" if there is none. */
const char *json_word(json *v);
/* False if there is no such flag. */
bool json_get_flag(json *req, const char *key);
/* *@num is @def without a value.  Returns false if it is no number from 0 to @max. */
bool json_get_num(json *req, const char *key, int64_t def, int64_t max, int64_t *num);

#endif /* HMEM_JSONIO_H */
