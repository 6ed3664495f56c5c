/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

struct fixture *fixture_new(const char *const *args)
{
	struct fixture *f = calloc(1, sizeof(*f));

	daemon_start(&f->d, args);
	f->web.fd = f->web.map_fd = -1;
	return f;
}

void fixture_end(struct fixture *f)
{
	peer_close(&f->web);
	daemon_stop(&f->d);
	free(f);
}

struct fixture *fixture_with_socket(const char *option, char path[64], const char *more)
{
	char dir[] = "/tmp/hmem-unit-XXXXXX", dashes[64];
	const char *args[] = { dashes, path, more, NULL };
	struct fixture *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, 64, "%s/socket", dir);
	snprintf(dashes, sizeof(dashes), "--%s", option);
	f = fixture_new(args);
	peer_handshake(&f->web, f->d.vm_socket, "web");
	return f;
}

void fixture_end_with_socket(struct fixture *f, const char *path)
{
	char name[80];

	fixture_end(f);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(name, sizeof(name), "%s.lock", path);
	unlink(name);
	*strrchr(name, '/') = '\0';
	assert_return_code(rmdir(name), errno);
}

int fixture_setup(void **state)
{
	struct fixture *f = fixture_new(NULL);

	peer_handshake(&f->web, f->d.vm_socket, "web");
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_end(*state);
	return 0;
}

void ctl(struct fixture *f, int status, const char *line)
{
	bool serve = f->web.fd >= 0 && (f->serve || strstr(line, "--wait"));
	struct peer *peers[] = { serve ? &f->web : NULL, NULL };

	ctl_run(&f->ctl, &f->d, peers, line);
	if (f->ctl.status != status)
		fail_msg("hmemctl %s: status %d, not %d\n%s%s", line, f->ctl.status,
			 status, f->ctl.out, f->ctl.err);
}

void doctor(struct fixture *f)
{
	struct peer *peers[] = { f->web.fd >= 0 && f->serve ? &f->web : NULL, NULL };
	int status;

	ctl_run(&f->ctl, &f->d, peers, "doctor");
	status = strstr(f->ctl.out, "  fail  ") ? 1 : strstr(f->ctl.out, "  warn  ") ? 4 : 0;
	if (f->ctl.status != status || status == 1)
		fail_msg("hmemctl doctor: status %d\n%s%s", f->ctl.status, f->ctl.out,
			 f->ctl.err);
}

void usage_check(struct fixture *f, const struct usage *cases, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		ctl(f, cases[i].status, cases[i].line);
		if (!strstr(f->ctl.err, cases[i].says) || f->ctl.out_len)
			fail_msg("hmemctl %s does not say '%s' but:\n%s%s",
				 cases[i].line, cases[i].says, f->ctl.err, f->ctl.out);
	}
}

void golden_ctl(struct fixture *f, const char *name, const char *line, void (*hide)(char *out))
{
	char *first;

	f->ctl.columns = "80";
	f->ctl.locale = "C.UTF-8";
	ctl_run(&f->ctl, &f->d, NULL, line);
	if (hide)
		hide(f->ctl.out);
	first = strdup(f->ctl.out);
	assert_non_null(first);
	golden_check(name, first);
	f->ctl.locale = "C";
	ctl_run(&f->ctl, &f->d, NULL, line);
	f->ctl.columns = f->ctl.locale = NULL;
	if (hide)
		hide(f->ctl.out);
	assert_string_equal(f->ctl.out, first);
	free(first);
}

void hide_json(char *out, const char *const *keys)
{
	for (; *keys; keys++) {
		for (char *p = out; (p = strstr(p, *keys)); ) {
			size_t len;

			p += strlen(*keys);
			len = strcspn(p, ",}\n");
			*p = 'N';
			memmove(p + 1, p + len, strlen(p + len) + 1);
		}
	}
}

bool json_at(struct json_object *o, const char *path, struct json_object **at)
{
	char copy[128], *save;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *k = strtok_r(copy, ".", &save); k && o;
	     k = strtok_r(NULL, ".", &save)) {
		if (json_object_is_type(o, json_type_array))
			o = json_object_array_get_idx(o, atoi(k));
		else if (!json_object_object_get_ex(o, k, &o))
			return false;
	}
	*at = o;
	return true;
}

int64_t json_num_at(struct json_object *o, const char *path)
{
	return json_at(o, path, &o) && o ? json_object_get_int64(o) : -1;
}

void control_send(int fd, const char *request)
{
	char line[4096];
	int len = snprintf(line, sizeof(line), "%s\n", request);

	assert_int_equal(send(fd, line, len, MSG_NOSIGNAL), len);
}

struct json_object *control_read(int fd)
{
	static char line[1 << 20];
	struct json_object *o;
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	o = json_tokener_parse(line);
	if (!o)
		fail_msg("hmemd answers '%s'", line);
	return o;
}

unsigned int fixture_free_port(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&addr, len), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)&addr, &len), errno);
	close(fd);
	return ntohs(addr.sin_port);
}
