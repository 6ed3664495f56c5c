/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmemd's page in a real browser, which draws VMs that change.  Runs only with CHROMIUM, the name
 * of Chromium's program, and leaves a picture if SCREENSHOT names a file:
 *
 *	CHROMIUM=chromium SCREENSHOT=/tmp/page.png tests/run unit/page
 */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define NUM_VMS		4
/* Milliseconds of the browser's time: a sample every two seconds. */
#define BUDGET		"20000"

static char dom[1 << 20];

/* A window in which the VM uses a part of its memory, which wanders. */
static void window(struct peer *vm, uint64_t seq)
{
	struct peer_msg msg;

	for (unsigned int i = 0; i < 40; i++)
		vm->map[(seq / 8 + i * (1 + i / 16)) % PEER_WORDS] = ~UINT64_C(0) >> i;
	peer_send_tick(vm, seq);
	do {
		peer_read(vm, &msg);
		if (msg.hdr.type == HMEM_LINK_HINTS)
			peer_answer(vm, &msg);
	} while (msg.hdr.type != HMEM_LINK_TICK_DONE);
}

/* The browser's DOM after some samples; the VMs go on meanwhile. */
static void browse(struct peer *vms, unsigned int port)
{
	const char *picture = getenv("SCREENSHOT");
	char command[1024], option[256] = "";
	struct pollfd p = { .events = POLLIN };
	uint64_t seq = 1;
	size_t len = 0;
	ssize_t n = 1;
	FILE *out;

	if (picture)
		snprintf(option, sizeof(option), "--screenshot=%s", picture);
	snprintf(command, sizeof(command), "%s --headless --no-sandbox --disable-gpu "
		 "--window-size=1280,1000 --virtual-time-budget=" BUDGET " %s --dump-dom "
		 "http://127.0.0.1:%u/ 2>/dev/null", getenv("CHROMIUM"), option, port);
	out = popen(command, "r");
	assert_non_null(out);
	p.fd = fileno(out);
	while (n > 0) {
		for (unsigned int i = 0; i < NUM_VMS; i++)
			window(&vms[i], seq);
		seq++;
		if (poll(&p, 1, 20) != 1)
			continue;
		n = read(p.fd, dom + len, sizeof(dom) - 1 - len);
		len += n > 0 ? n : 0;
	}
	dom[len] = '\0';
	assert_int_equal(pclose(out), 0);
}

static unsigned int count(const char *what)
{
	unsigned int num = 0;

	for (const char *p = dom; (p = strstr(p, what)); p++)
		num++;
	return num;
}

static void draws_vms(void **state)
{
	static const char *const names[NUM_VMS] = { "web", "db", "<b>bold</b>", "batch" };
	const char *args[] = { "--metrics-address", NULL, NULL };
	struct peer vms[NUM_VMS] = { 0 };
	unsigned int port = fixture_free_port();
	struct fixture *f;
	char address[32];
	struct peer_msg msg;

	(void)state;
	if (!getenv("CHROMIUM"))
		skip();
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	args[1] = address;
	f = fixture_new(args);
	for (unsigned int i = 0; i < NUM_VMS; i++) {
		char line[64];

		vms[i].uuid = i;
		peer_handshake(&vms[i], f->d.vm_socket, names[i]);
		snprintf(line, sizeof(line), "policy %s set name=writes", names[i]);
		ctl(f, 0, line);
		peer_expect(&vms[i], &msg, HMEM_LINK_TRACK);
	}
	browse(vms, port);
	assert_int_equal(count("<tr aria-selected="), NUM_VMS);
	assert_int_equal(count("aria-selected=\"true\""), 1);
	/* Two charts of each tier of the selected VM. */
	assert_int_equal(count("<canvas"), 4);
	assert_non_null(strstr(dom, "&lt;b&gt;bold&lt;/b&gt;"));
	assert_null(strstr(dom, "<b>"));
	assert_non_null(strstr(dom, "4 VMs"));
	for (unsigned int i = 0; i < NUM_VMS; i++)
		peer_close(&vms[i]);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_vms),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
