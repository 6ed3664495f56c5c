/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd's own reader and writer of JSON. */
#include "unit.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "json_text.h"

/* --- no memory --- */

/* This call for memory fails, of those that the reader makes; 0: none does. */
static unsigned int fails_at;
static unsigned int calls;

static bool fails(void)
{
	if (!fails_at || ++calls != fails_at)
		return false;
	errno = ENOMEM;
	return true;
}

/* The linker puts these in the place of the functions that the reader and jsonio.c call. */
#define MAY_FAIL(type, failure, name, params, args)	\
	type __real_##name params;			\
	type __wrap_##name params;			\
	type __wrap_##name params			\
	{						\
		return fails() ? (failure) : __real_##name args;	\
	}

MAY_FAIL(void *, NULL, malloc, (size_t size), (size))
MAY_FAIL(json *, NULL, json_object_new_object, (void), ())
MAY_FAIL(json *, NULL, json_object_new_array_ext, (int size), (size))
MAY_FAIL(json *, NULL, json_object_new_uint64, (uint64_t v), (v))
MAY_FAIL(json *, NULL, json_object_new_int64, (int64_t v), (v))
MAY_FAIL(json *, NULL, json_object_new_double, (double v), (v))
MAY_FAIL(json *, NULL, json_object_new_boolean, (json_bool v), (v))
MAY_FAIL(json *, NULL, json_object_new_string, (const char *v), (v))
MAY_FAIL(int, -1, json_object_object_add, (json *o, const char *key, json *v), (o, key, v))
MAY_FAIL(int, -1, json_object_array_add, (json *a, json *v), (a, v))

/* --- reading and writing --- */

static char *read_and_write(const char *text)
{
	struct hmem_err err = { "" };
	/* A copy of its own, so that the sanitizer notices a read behind its end. */
	size_t len = strlen(text);
	char *copy = malloc(len), *written;
	json *o;

	memcpy(copy, text, len);
	o = json_read(copy, len, &err);
	free(copy);
	if (!o)
		return strdup(err.msg);
	written = json_text(o, &len);
	assert_non_null(written);
	assert_int_equal(strlen(written), len);
	json_object_put(o);
	return written;
}

static void becomes(const char *text, const char *wanted)
{
	char *got = read_and_write(text);

	assert_string_equal(got, wanted);
	free(got);
}

static void values(void **state)
{
	(void)state;
	becomes("{}", "{}");
	becomes(" {\t} \r\n", "{}");
	becomes("{\"a\":[],\"b\":{}}", "{\"a\":[],\"b\":{}}");
	becomes("{ \"a\" : [ 1 , true , false , null , \"x\" ] }",
		"{\"a\":[1,true,false,null,\"x\"]}");
	/* The last one counts. */
	becomes("{\"a\":1,\"a\":2}", "{\"a\":2}");
}

static void numbers(void **state)
{
	(void)state;
	becomes("{\"a\":[0,-0,10,-9223372036854775808,18446744073709551615]}",
		"{\"a\":[0,0,10,-9223372036854775808,18446744073709551615]}");
	becomes("{\"a\":[0.5,-1e2,2E+1,25e-1]}", "{\"a\":[0.5,-100.0,20.0,2.5]}");
	/* Near 0, numbers have fewer digits, but are numbers. */
	becomes("{\"a\":[1e-310,-4.9406564584124654e-324,1e-999]}",
		"{\"a\":[9.9999999999999694e-311,-4.9406564584124654e-324,0.0]}");
	becomes("{\"a\":18446744073709551616}", "a number out of range at byte 5");
	becomes("{\"a\":-9223372036854775809}", "a number out of range at byte 5");
	becomes("{\"a\":1e999}", "a number out of range at byte 5");
	becomes("{\"a\":-1e999}", "a number out of range at byte 5");
}

static void strings(void **state)
{
	(void)state;
	becomes("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
		"{\"a\":\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"}");
	becomes("{\"\\u0041\":\"\\u00e4\\u20AC\\ud83d\\ude00\"}",
		"{\"A\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}");
	becomes("{\"a\":\"\xff\"}", "{\"a\":\"\xff\"}");
	becomes("{\"\\\"\\n\":1}", "{\"\\\"\\u000a\":1}");
}

static void refused(const char *text)
{
	char *got = read_and_write(text);

	if (*got == '{')
		fail_msg("'%s' is read as '%s'", text, got);
	free(got);
}

static void what_is_no_json(void **state)
{
	static const char *const texts[] = {
		"", " ", "[]", "1", "\"a\"", "null", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":",
		"{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{1:1}", "{a:1}", "{'a':1}",
		"{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":[}",
		"{\"a\":1]", "{}{}", "{} x", "{\"a\":tru}", "{\"a\":True}", "{\"a\":nul",
		"{\"a\":01}", "{\"a\":-}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":1.}", "{\"a\":1e}",
		"{\"a\":0x10}", "{\"a\":NaN}", "{\"a\":\"\\x\"}", "{\"a\":\"\\",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud83d\"}",
		"{\"a\":\"\\ude00\"}", "{\"a\":\"\\ud83d\\u0041\"}", "{\"a\":\"\n\"}",
		/* What is wrong comes last in the string, or in the key. */
		"{\"verb\":\"list\",\"vm\":\"web\\u\"}", "{\"a\":\"\\u\"}", "{\"a\":\"\\u0\"}",
		"{\"a\":\"\\u004\"}", "{\"a\":\"\\\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800\\\"}", "{\"a\":\"\\ud800\\u\"}", "{\"a\":\"\\ud800\\udc0\"}",
		"{\"a\":\"\x1f\"}", "{\"a\\u\":1}", "{\"\\u\":1}", "{\"\\ud800\":1}",
		"{\"a\":1111111111111111111111111111111111111111111111111111111111111111111}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		refused(texts[i]);
}

/* Whatever the brackets are, the reader needs only so much of the stack. */
static void depth(void **state)
{
	char text[2 * JSON_MAX_DEPTH + 16] = "{\"a\":";
	size_t n = strlen(text);

	(void)state;
	memset(text + n, '[', JSON_MAX_DEPTH - 1);
	memset(text + n + JSON_MAX_DEPTH - 1, ']', JSON_MAX_DEPTH - 1);
	strcpy(text + n + 2 * (JSON_MAX_DEPTH - 1), "}");
	becomes(text, text);
	memset(text + n, '[', JSON_MAX_DEPTH);
	refused(text);
}

static void lines(void **state)
{
	static const char text[] = "{\"a\":[1,[],{}],\"b\":{\"c\":\"/\",\"d\":null}}";
	struct hmem_err err;
	json *o = json_read(text, strlen(text), &err);
	size_t len;
	char *got;

	(void)state;
	assert_non_null(o);
	got = json_lines(o, &len);
	assert_string_equal(got,
			    "{\n"
			    "  \"a\": [\n"
			    "    1,\n"
			    "    [],\n"
			    "    {}\n"
			    "  ],\n"
			    "  \"b\": {\n"
			    "    \"c\": \"/\",\n"
			    "    \"d\": null\n"
			    "  }\n"
			    "}");
	assert_int_equal(strlen(got), len);
	free(got);
	json_object_put(o);
}

/* A text of @num times @value in an array. */
static char *many(unsigned int num, const char *value)
{
	static const char begin[] = "{\"a\":[";
	size_t n = strlen(begin);
	char *text = malloc(n + (strlen(value) + 1) * num + 2);

	assert_non_null(text);
	memcpy(text, begin, n);
	for (unsigned int i = 0; i < num; i++)
		n += sprintf(text + n, "%s,", value);
	/* The last comma's place is that of the bracket. */
	strcpy(text + n - 1, "]}");
	return text;
}

/* A client cannot have hmemd take any amount of memory. */
static void number_of_values(void **state)
{
	static const struct {
		const char *value;
		unsigned int most;
	} texts[] = {
		{ "0", JSON_MAX_VALUES - 1 },
		{ "[0,0]", (JSON_MAX_VALUES - 1) / 3 },
		{ "{}", (JSON_MAX_VALUES - 1) / JSON_OBJECT_VALUES },
	};
	char wanted[64];

	(void)state;
	snprintf(wanted, sizeof(wanted), "more than %u values", JSON_MAX_VALUES);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *text = many(texts[i].most, texts[i].value);

		becomes(text, text);
		free(text);
		text = many(texts[i].most + 1, texts[i].value);
		becomes(text, wanted);
		free(text);
	}
}

/* Each beginning of a text is refused, and so are most texts with another byte somewhere. */
static void parts(void **state)
{
	static const char text[] = "{\"verb\":\"x\\u0041\",\"n\":[-1.5e3,true,{\"k\":null}]}";
	char part[sizeof(text)];

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		snprintf(part, sizeof(part), "%.*s", (int)len, text);
		refused(part);
		for (int c = 1; c < 256; c++) {
			memcpy(part, text, sizeof(text));
			part[len] = c;
			free(read_and_write(part));
		}
	}
}

/* Without memory for a part, there is no text. */
static void parts_that_are_missing(void **state)
{
	json *o = json_new_object();
	size_t len;

	(void)state;
	json_add(NULL, "a", json_new_u64(1));
	assert_null(json_text(o, &len));
	json_object_put(o);
	assert_null(json_text(NULL, &len));
	json_add(NULL, "a", json_new_u64(1));
	o = json_new_object();
	assert_null(json_lines(o, &len));
	json_object_put(o);
}

/* Whichever call fails, nothing is left out of what is read, and the error can be written. */
static void reading_without_memory(void **state)
{
	static const char text[] = "{\"k\":[1,-1,0.5,true,null,\"x\",{}],\"l\":null}";
	struct hmem_err err = { "" };
	json *o = NULL, *error = json_new_object();
	size_t len;

	(void)state;
	for (unsigned int n = 1; !o; n++) {
		calls = 0;
		fails_at = n;
		o = json_read(text, strlen(text), &err);
		fails_at = 0;
		if (!o) {
			char *written = json_text(error, &len);

			assert_non_null(strstr(err.msg, "no memory"));
			assert_non_null(written);
			free(written);
		}
	}
	/* For two keys, one text, and eight values that are not null; and nine additions. */
	assert_int_equal(calls, 2 + 1 + 8 + 9);
	json_object_put(error);
	json_object_put(o);
}

/* An answer that is read meanwhile does not make a request complete. */
static void reading_while_a_part_is_missing(void **state)
{
	json *req = json_new_object(), *answer;
	struct hmem_err err;
	size_t len;

	(void)state;
	fails_at = 1;
	calls = 0;
	json_put_u64(req, "tier", 1);
	fails_at = 0;
	answer = json_read("{\"a\":1}", 7, &err);
	assert_non_null(answer);
	json_object_put(answer);
	assert_null(json_text(req, &len));
	json_object_put(req);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(numbers),
		cmocka_unit_test(strings),
		cmocka_unit_test(what_is_no_json),
		cmocka_unit_test(depth),
		cmocka_unit_test(number_of_values),
		cmocka_unit_test(lines),
		cmocka_unit_test(parts),
		cmocka_unit_test(parts_that_are_missing),
		cmocka_unit_test(reading_without_memory),
		cmocka_unit_test(reading_while_a_part_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
