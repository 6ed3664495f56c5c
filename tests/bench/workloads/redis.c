// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Debian's redis-server under a skewed load: nine requests in ten go to the keys
 * that were set last.  Half of the requests read a value, half overwrite a value
 * in place.
 *
 *	keys=180000	number of keys, with values of 1000 bytes
 *	hot=36000	number of hot keys
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"
#include "child.h"

#define SOCKET		"/tmp/redis.sock"
#define DEPTH		32	/* requests under way */
#define BYTES		1000	/* size of a value */

static FILE *in, *out;
static char value[BYTES];

static void connect_to_server(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	for (int i = 0; connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0; i++) {
		if (i == 1000)
			err(1, "redis-server does not answer at " SOCKET);
		usleep(10000);
	}
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out)
		err(1, "fdopen");
	setvbuf(in, NULL, _IOFBF, 1 << 17);
	setvbuf(out, NULL, _IOFBF, 1 << 17);
}

/* Returns a reply's first line; an error ends the program. */
static const char *reply(void)
{
	static char line[256];

	if (!fgets(line, sizeof(line), in))
		errx(1, "redis-server has closed the connection");
	if (line[0] == '-')
		errx(1, "redis-server says: %s", line);
	return line;
}

static void put_key(const char *command, int words, uint32_t key)
{
	fprintf(out, "*%d\r\n$%zu\r\n%s\r\n$9\r\nk%08u\r\n", words, strlen(command),
		command, key);
}

static void put_value(void)
{
	fprintf(out, "$%d\r\n", BYTES);
	fwrite(value, BYTES, 1, out);
	fputs("\r\n", out);
}

static void fill(uint32_t keys)
{
	for (uint32_t k = 0; k < keys; k += DEPTH) {
		for (uint32_t i = 0; i < DEPTH; i++) {
			put_key("SET", 3, k + i);
			put_value();
		}
		fflush(out);
		for (uint32_t i = 0; i < DEPTH; i++)
			if (strcmp(reply(), "+OK\r\n"))
				errx(1, "key %u was not set", k + i);
	}
}

static void load(uint32_t keys, uint32_t hot)
{
	static char skipped[BYTES + 2];
	bool reads[DEPTH];

	for (int i = 0; i < DEPTH; i++) {
		uint32_t key = bench_below(10) ? keys - 1 - bench_below(hot)
					       : bench_below(keys);

		reads[i] = bench_random() >> 63;
		put_key(reads[i] ? "GET" : "SETRANGE", reads[i] ? 2 : 4, key);
		if (!reads[i]) {
			fputs("$1\r\n0\r\n", out);
			put_value();
		}
	}
	fflush(out);
	for (int i = 0; i < DEPTH; i++) {
		if (atoi(reply() + 1) != BYTES)
			errx(1, "redis-server has lost a value");
		if (reads[i] && !fread(skipped, sizeof(skipped), 1, in))
			errx(1, "redis-server has closed the connection");
	}
}

int main(int argc, char **argv)
{
	char *const server[] = {
		"/bin/redis-server", "--port", "0", "--unixsocket", SOCKET, "--save", "",
		"--appendonly", "no", NULL
	};
	struct child child;
	uint32_t keys, hot;

	bench_options(argc, argv);
	keys = (uint32_t)bench_option("keys", 180000) / DEPTH * DEPTH;
	hot = bench_option("hot", 36000);
	if (!hot || hot > keys)
		errx(2, "wanted: 0 < hot <= keys");
	memset(value, 'v', sizeof(value));
	child = child_run(server, 0);
	connect_to_server();
	fill(keys);
	bench_start("kreq/s", 1e3);
	do
		load(keys, hot);
	while (bench_count(DEPTH));
	child_kill(&child);
	return 0;
}
