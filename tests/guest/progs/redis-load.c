// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fill a Redis server, write to some keys more than to others, and check all values:
 *
 *   redis-load SOCKET STATE fill FROM TO    set keys FROM .. TO-1
 *   redis-load SOCKET STATE write KEYS      rewrite keys until SIGTERM: 90 % of
 *                                           the writes go to the last tenth
 *   redis-load SOCKET STATE verify KEYS     read all keys, and compare them with the
 *                                           versions that the server acknowledged
 *
 * A value consists of its key, its version, and bytes computed from these two, so
 * "verify" finds any byte that is lost, old or another key's.  STATE is a file that
 * holds each key's acknowledged version between runs.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_KEYS	(1u << 20)
#define DEPTH		64	/* requests sent and not yet answered, at most */
#define WORDS		250	/* of a value: 2000 bytes, half a page with Redis's own */

struct value {
	uint64_t key;
	uint64_t version;
	uint64_t word[WORDS - 2];
};

static uint32_t *versions;	/* STATE: acknowledged, by key; 0: never set */
static FILE *in, *out;
static volatile sig_atomic_t stop;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static void make_value(struct value *v, uint64_t key, uint64_t version)
{
	v->key = key;
	v->version = version;
	for (unsigned int i = 0; i < WORDS - 2; i++)
		v->word[i] = mix(key << 32 ^ version << 8 ^ i);
}

static void connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		errx(2, "%s: too long", path);
	strcpy(a.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err(1, "%s", path);
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out)
		err(1, "fdopen");
	setvbuf(in, NULL, _IOFBF, 1 << 18);
	setvbuf(out, NULL, _IOFBF, 1 << 18);
}

/* Returns a reply's first line without its line end.  An error ends the program. */
static char *reply(void)
{
	static char line[256];
	char *end;

	if (!fgets(line, sizeof(line), in))
		errx(1, "the server has closed the connection");
	end = strpbrk(line, "\r\n");
	if (!end || line[0] == '-')
		errx(1, "the server says: %s", line);
	*end = 0;
	return line;
}

static void put_key(const char *command, unsigned int args, uint32_t key)
{
	fprintf(out, "*%u\r\n$%zu\r\n%s\r\n$9\r\nk%08u\r\n", args, strlen(command),
		command, key);
}

static void put_value(const struct value *v)
{
	fprintf(out, "$%zu\r\n", sizeof(*v));
	fwrite(v, sizeof(*v), 1, out);
	fputs("\r\n", out);
}

static void fill(uint32_t from, uint32_t to)
{
	struct value v;

	for (uint32_t k = from; k < to; ) {
		uint32_t n = to - k < DEPTH ? to - k : DEPTH;

		for (uint32_t i = 0; i < n; i++) {
			make_value(&v, k + i, 1);
			put_key("SET", 3, k + i);
			put_value(&v);
		}
		fflush(out);
		for (uint32_t i = 0; i < n; i++) {
			if (strcmp(reply(), "+OK"))
				errx(1, "key %u was not set", k + i);
			versions[k + i] = 1;
		}
		k += n;
	}
}

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/*
 * SETRANGE writes a value in place, so the keys that are written most stay in the
 * same pages, as in a database of counters or sessions.
 */
static void write_skewed(uint32_t keys)
{
	uint64_t random = 88172645463325252, ops = 0;
	time_t said = 0;
	struct value v;

	while (!stop) {
		uint32_t key[DEPTH];

		for (unsigned int i = 0; i < DEPTH; i++) {
			uint32_t hot = keys / 10, r;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			r = random >> 32;
			key[i] = random % 10 ? keys - 1 - r % hot : r % (keys - hot);
			make_value(&v, key[i], ++versions[key[i]]);
			put_key("SETRANGE", 4, key[i]);
			fputs("$1\r\n0\r\n", out);
			put_value(&v);
		}
		fflush(out);
		for (unsigned int i = 0; i < DEPTH; i++)
			if (atoi(reply() + 1) != sizeof(v))
				errx(1, "key %u has a wrong length", key[i]);
		ops += DEPTH;
		if (time(NULL) != said) {
			said = time(NULL);
			printf("writes %lu\n", ops);
			fflush(stdout);
		}
	}
	printf("writes %lu\n", ops);
}

static int verify(uint32_t keys)
{
	uint32_t bad = 0;

	for (uint32_t k = 0; k < keys; ) {
		uint32_t n = keys - k < DEPTH ? keys - k : DEPTH;

		for (uint32_t i = 0; i < n; i++)
			put_key("GET", 2, k + i);
		fflush(out);
		for (uint32_t i = 0; i < n; i++) {
			struct value want, got;
			const char *what = NULL;

			if (atoi(reply() + 1) != sizeof(got))
				errx(1, "key %u is lost", k + i);
			if (!fread(&got, sizeof(got), 1, in) || reply()[0])
				errx(1, "key %u: the reply breaks off", k + i);
			make_value(&want, k + i, versions[k + i]);
			if (got.key != want.key)
				what = "another key's value";
			else if (got.version != want.version)
				what = "another version";
			else if (memcmp(&got, &want, sizeof(got)))
				what = "damaged data";
			if (what && bad++ < 10)
				printf("key %u: %s\n", k + i, what);
		}
		k += n;
	}
	printf("verified %u bad %u\n", keys, bad);
	return bad ? 1 : 0;
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n > MAX_KEYS)
		errx(2, "'%s' is not a number of keys up to %u", text, MAX_KEYS);
	return n;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 3 ? argv[3] : "";
	int fd;

	if (argc != (strcmp(mode, "fill") ? 5 : 6))
		errx(2, "usage: redis-load SOCKET STATE fill FROM TO | write KEYS | "
		     "verify KEYS");
	fd = open(argv[2], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, MAX_KEYS * sizeof(*versions)) < 0)
		err(1, "%s", argv[2]);
	versions = mmap(NULL, MAX_KEYS * sizeof(*versions), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	if (versions == MAP_FAILED)
		err(1, "%s", argv[2]);
	signal(SIGTERM, on_term);
	connect_to(argv[1]);

	if (!strcmp(mode, "fill"))
		fill(number(argv[4]), number(argv[5]));
	else if (!strcmp(mode, "write") && number(argv[4]) >= 10)
		write_skewed(number(argv[4]));
	else if (!strcmp(mode, "verify"))
		return verify(number(argv[4]));
	else
		errx(2, "unknown mode '%s', or too few keys", mode);
	return 0;
}
