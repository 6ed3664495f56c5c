/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics over HTTP: what they say, and clients that try to harm hmemd. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

#define PATIENCE_MS	60000
/* More than hmemd serves at a time. */
#define MANY		100
/* What one client may send before hmemd has enough of it. */
#define HUGE		(4u << 20)

static const char get[] = "GET /metrics HTTP/1.1\r\nHost: hmemd\r\n\r\n";

static char path[64];
static char text[1 << 20];

static int setup(void **state)
{
	text[0] = '\0';
	*state = fixture_with_socket("metrics-socket", path, "--late=50");
	return 0;
}

static int teardown(void **state)
{
	fixture_end_with_socket(*state, path);
	return 0;
}

/* Read what hmemd sends until it closes the connection.  Returns the number of bytes. */
static size_t read_all(int fd)
{
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("hmemd neither sends nor closes");
		n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n <= 0)
			break;
		len += n;
	}
	text[len] = '\0';
	close(fd);
	return len;
}

/* Send a request and read the answer, which must have this status. */
static const char *request(int fd, const char *what, const char *status)
{
	const char *body;

	assert_int_equal(send(fd, what, strlen(what), MSG_NOSIGNAL), strlen(what));
	read_all(fd);
	body = strstr(text, "\r\n\r\n");
	if (strncmp(text, "HTTP/1.1 ", 9) || strncmp(text + 9, status, strlen(status)) || !body)
		fail_msg("'%s' is answered by '%.200s'", what, text);
	return body + 4;
}

static const char *scrape(void)
{
	return request(peer_socket(path), get, "200");
}

/*
 * Scrape until a line begins with @line, unless one of the last scrape does.  hmemd makes the
 * text once per second.
 */
static void expect(const char *line)
{
	char with_newline[256];

	snprintf(with_newline, sizeof(with_newline), "\n%s", line);
	for (unsigned int i = 0; i < PATIENCE_MS / 100; i++) {
		if (strstr(text, with_newline))
			return;
		usleep(100000);
		scrape();
	}
	fail_msg("there is no '%s' in:\n%s", line, text);
}

/* Run metrics-check on the last scrape. */
static void check(void)
{
	const char *golden = getenv("GOLDEN");
	char command[1024];
	const char *top = strrchr(golden, '/');
	int len = top - golden;
	FILE *in;

	snprintf(command, sizeof(command), "%.*s/metrics-check "
		 "%.*s/../../host-backend/monitoring/hmemd-dashboard.json "
		 "%.*s/../../host-backend/monitoring/hmemd-rules.yml", len, golden, len, golden,
		 len, golden);
	in = popen(command, "w");
	assert_non_null(in);
	fputs(strstr(text, "\r\n\r\n") + 4, in);
	assert_int_equal(pclose(in), 0);
}

/* What has happened is in the metrics, which follow Prometheus' conventions. */
static void tells_what_happened(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;
	char line[64];
	FILE *config;

	expect("hmem_daemon_vms 1\n");
	expect("hmem_tier_size_bytes{vm=\"web\",tier=\"1\"} 33554432\n");
	expect("hmem_tier_start_bytes{vm=\"web\",tier=\"0\"} 33554432\n");
	expect("hmem_vm_info{vm=\"web\",uuid=\"\",device=\"hmem0\",policy=\"off\","
	       "tracker=\"\"} 1\n");
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	expect("hmem_pages_total{vm=\"web\",reason=\"moved\"} 10\n");
	expect("hmem_demotions_total{vm=\"web\"} 10\n");
	ctl(f, 0, "policy web set name=observe window=2000");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	expect("hmem_windows_total{vm=\"web\"} 1\n");
	expect("hmem_windows_seconds_total{vm=\"web\"} 1\n");
	expect("hmem_window_seconds{vm=\"web\"} 2\n");
	expect("hmem_written_pages_total{vm=\"web\"} 1\n");
	/* These pages have just come to tier 1, so a move back is too early. */
	ctl(f, 0, "migrate web --gfn 20-29 --to 1 --wait");
	expect("hmem_ping_pong_pages_total{vm=\"web\"} 0\n");
	snprintf(line, sizeof(line), "migrate web --gfn %u-%u --to 0 --wait", PEER_TIER + 20,
		 PEER_TIER + 26);
	ctl(f, 0, line);
	expect("hmem_ping_pong_pages_total{vm=\"web\"} 7\n");
	/* Only nodes of known capacity have lines. */
	config = fopen(f->d.config, "a");
	assert_non_null(config);
	fputs("[node 3]\ncapacity = 1G\n[vm *]\nnodes = 0:3\n", config);
	assert_int_equal(fclose(config), 0);
	ctl(f, 0, "reload");
	expect("hmem_node_capacity_bytes{node=\"3\"} 1073741824\n");
	expect("hmem_node_promised_bytes{node=\"3\"} 33554432\n");
	assert_null(strstr(text, "{node=\"0\"}"));
	/* A batch without an answer. */
	ctl(f, 0, "migrate web --gfn 0 --to 0");
	expect("hmem_batches_late{vm=\"web\"} 1\n");
	expect("hmem_batches_under_way{vm=\"web\"} 1\n");
	expect("hmem_batches_oldest_age_seconds{vm=\"web\"} ");
	check();
	/* The driver goes, and takes the batch with it. */
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
	expect("hmem_vm_broken{vm=\"web\"} 1\n");
	expect("hmem_vm_driver_up{vm=\"web\"} 0\n");
	expect("hmem_batches_lost_total{vm=\"web\"} 1\n");
	expect("hmem_batches_oldest_age_seconds{vm=\"web\"} 0\n");
}

/* Rates are known after a burst of the policy auto. */
static void tells_access_rates(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;

	peer_close(&f->web);
	f->web.trackers = HMEM_LINK_TRACKER_SIM;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	ctl(f, 0, "policy web set name=auto");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	for (uint64_t seq = 1; seq < 200; seq++) {
		memset(f->web.map, 0xff, PEER_MAPS_BYTES / HMEM_LINK_MAPS * 2);
		peer_send_tick(&f->web, seq);
		do
			peer_read(&f->web, &msg);
		while (msg.hdr.type != HMEM_LINK_TICK_DONE);
	}
	expect("hmem_tier_accesses_per_second{vm=\"web\",tier=\"0\"} ");
	expect("hmem_tier_stall_ratio{vm=\"web\",tier=\"1\"} ");
	expect("hmem_pool_state{vm=\"web\",state=\"settled\"} ");
	check();
}

/* hmemd asks for how long the processors ran, if the device can tell. */
static void tells_processor_time(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;

	peer_close(&f->web);
	f->web.track_flags = HMEM_LINK_TRACK_BUSY;
	f->web.busy_us = 250000;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	ctl(f, 0, "policy web set name=observe");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	assert_int_equal(((struct hmem_link_track *)msg.payload)->flags, HMEM_LINK_TRACK_BUSY);
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	expect("hmem_processors_seconds_total{vm=\"web\"} 0.25\n");
	/* The VM's only processor cannot run for longer than the window. */
	f->web.busy_us = UINT32_MAX;
	peer_send_tick(&f->web, 2);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	expect("hmem_processors_seconds_total{vm=\"web\"} 1.25\n");
	check();
}

/* Scrape until hmemd knows no pauses of the VM. */
static void expect_no_pauses(void)
{
	for (unsigned int i = 0; i < PATIENCE_MS / 100; i++) {
		scrape();
		if (!strstr(text, "\nhmem_pause_seconds_"))
			return;
		usleep(100000);
	}
	fail_msg("there are still pauses in:\n%s", text);
}

/* A number about pauses that hmemctl status tells; -1: it does not. */
static int64_t pauses_in_status(struct fixture *f, const char *key)
{
	struct json_object *o;
	char at[64];
	int64_t n;

	ctl(f, 0, "-o json status web");
	o = json_tokener_parse(f->ctl.out);
	assert_non_null(o);
	snprintf(at, sizeof(at), "vms.0.pauses.%s", key);
	n = json_num_at(o, at);
	json_object_put(o);
	return n;
}

/* The histogram of access pauses, if the guest's driver tells them. */
static void tells_pauses(void **state)
{
	const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
	struct hmem_link_pauses pauses = {
		.sum_ns = 2500000,
		.pauses = { [0] = 1, [14] = 90, [17] = 7, [30] = 1, [31] = 1 },
	};
	struct fixture *f = *state;

	expect("hmem_vm_driver_up{vm=\"web\"} 1\n");
	expect("# TYPE hmem_pause_seconds histogram\n");
	assert_null(strstr(text, "\nhmem_pause_seconds_"));
	f->web.features = UINT64_C(1) << VIRTIO_HMEM_F_PAUSE;
	f->web.boot = 7;
	peer_send_state(&f->web, running);
	assert_int_equal(pauses_in_status(f, "pages"), -1);
	peer_send(&f->web, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"1.024e-06\"} 1\n");
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"8.192e-06\"} 1\n");
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"1.6384e-05\"} 91\n");
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"0.000131072\"} 98\n");
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"1.073741824\"} 99\n");
	expect("hmem_pause_seconds_bucket{vm=\"web\",le=\"+Inf\"} 100\n");
	expect("hmem_pause_seconds_sum{vm=\"web\"} 0.0025\n");
	expect("hmem_pause_seconds_count{vm=\"web\"} 100\n");
	check();
	assert_int_equal(pauses_in_status(f, "p50_ns"), 1 << 14);
	assert_int_equal(pauses_in_status(f, "p99_ns"), 1 << 30);
	/* A guest's lies are bounded, and stay in order. */
	memset(&pauses, 0xff, sizeof(pauses));
	peer_send(&f->web, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
	expect("hmem_pause_seconds_count{vm=\"web\"} 1.844674407370955e+19\n");
	check();
	/* Another driver begins anew, as does one that has seen a snapshot being loaded. */
	f->web.boot = 8;
	peer_send_state(&f->web, running);
	expect_no_pauses();
	memset(&pauses, 0, sizeof(pauses));
	peer_send(&f->web, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
	expect("hmem_pause_seconds_count{vm=\"web\"} 0\n");
	expect("hmem_pause_seconds_sum{vm=\"web\"} 0\n");
	assert_int_equal(pauses_in_status(f, "pages"), 0);
	assert_int_equal(pauses_in_status(f, "p99_ns"), -1);
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING);
	expect_no_pauses();
	/* QEMU passes pauses on only if the driver tells them. */
	peer_send(&f->web, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
	peer_expect_drop(&f->web);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "PAUSES without VIRTIO_HMEM_F_PAUSE"));
}

/* Scrape until the text is gone. */
static void expect_gone(const char *gone)
{
	for (unsigned int i = 0; i < PATIENCE_MS / 100; i++) {
		scrape();
		if (!strstr(text, gone))
			return;
		usleep(100000);
	}
	fail_msg("still '%s' in:\n%s", gone, text);
}

/* web connects again, with a device that passes accounts on, a tick, and a driver. */
static void connect_accounts(struct fixture *f)
{
	struct peer_msg msg;

	peer_close(&f->web);
	f->web.track_flags = HMEM_LINK_TRACK_ACCOUNT;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	f->web.features = UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT |
			  UINT64_C(1) << VIRTIO_HMEM_F_RESIZE;
	f->web.boot = 7;
	ctl(f, 0, "policy web set name=observe");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	assert_int_equal(((struct hmem_link_track *)msg.payload)->flags,
			 HMEM_LINK_TRACK_ACCOUNT);
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
}

/* What is free in the guest, and what the driver's scans and the guest's kernel did. */
static void tells_accounts(void **state)
{
	const uint32_t running = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
	const uint64_t size = UINT64_C(16) << 20;
	struct hmem_link_sizes sizes = { .tiers = {
		{ .requested = size, .actual = size, .free = 12288 },
		{ .requested = size, .actual = size },
	} };
	struct hmem_link_account account = {
		.tiers = { { 1 << 20, 65536, 4096 }, { 2 << 20, 0, 0 } },
		.entries = 1000, .skipped = 2000, .left_out = 3, .collapsed = 4,
	};
	struct fixture *f = *state;
	struct peer_msg msg;

	connect_accounts(f);
	expect("hmem_vm_driver_up{vm=\"web\"} 1\n");
	assert_null(strstr(text, "\nhmem_tier_free_bytes{"));
	assert_null(strstr(text, "\nhmem_tier_usable_bytes{"));
	assert_null(strstr(text, "\nhmem_scan_entries_total{"));
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 65536\n");
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"1\"} 0\n");
	expect("hmem_tier_reserve_bytes{vm=\"web\",tier=\"0\"} 4096\n");
	expect("hmem_tier_usable_bytes{vm=\"web\",tier=\"1\"} 2097152\n");
	/* Counts begin with the first account. */
	expect("hmem_scan_entries_total{vm=\"web\"} 0\n");
	account = (struct hmem_link_account) {
		.tiers = { { 1 << 20, 32768, 4096 }, { 2 << 20, 0, 0 } },
		.entries = 1010, .skipped = 2200, .left_out = 4, .collapsed = 9,
	};
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	expect("hmem_scan_entries_total{vm=\"web\"} 10\n");
	expect("hmem_scan_skipped_entries_total{vm=\"web\"} 200\n");
	expect("hmem_scan_left_out_total{vm=\"web\"} 1\n");
	expect("hmem_huge_pages_collapsed_total{vm=\"web\"} 5\n");
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 32768\n");
	check();
	ctl(f, 0, "-o json stats web");
	assert_non_null(strstr(f->ctl.out, "\"scan_skipped\": 200,"));
	assert_non_null(strstr(f->ctl.out, "\"huge_collapsed\": 5,"));
	/* The newest count of free memory holds, and only news of SIZES is new. */
	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 12288\n");
	/* A guest's lies: counts that fall say nothing, and others do not wrap. */
	memset(&account.entries, 0, 4 * sizeof(account.entries));
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 32768\n");
	sizes.paging.read = 1;
	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
	account.entries = UINT64_MAX;
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	account.tiers[1].free = 4096;
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"1\"} 4096\n");
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 32768\n");
	expect("hmem_scan_entries_total{vm=\"web\"} 1.844674407370955e+19\n");
	expect("hmem_scan_skipped_entries_total{vm=\"web\"} 200\n");
	ctl(f, 0, "stats web --reset");
	expect("hmem_scan_entries_total{vm=\"web\"} 0\n");
	/* Another driver begins anew. */
	f->web.boot = 8;
	peer_send_state(&f->web, running);
	expect_gone("\nhmem_tier_usable_bytes{");
	expect("hmem_tier_free_bytes{vm=\"web\",tier=\"0\"} 12288\n");
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	expect("hmem_tier_usable_bytes{vm=\"web\",tier=\"0\"} 1048576\n");
	assert_non_null(strstr(text, "\nhmem_scan_entries_total{vm=\"web\"} 0\n"));
	/* Without tracking, accounts do not come; the last one would be old. */
	ctl(f, 0, "policy web set name=off");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	expect_gone("\nhmem_tier_usable_bytes{");
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	/* QEMU passes accounts on only if the driver gives them. */
	f->web.features = 0;
	peer_send_state(&f->web, running);
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	peer_expect_drop(&f->web);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "ACCOUNT without VIRTIO_HMEM_F_ACCOUNT"));
}

/* A device that does not offer accounts sends none. */
static void needs_no_accounts(void **state)
{
	const struct hmem_link_account account = { 0 };
	struct fixture *f = *state;

	f->web.features = UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT;
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_send(&f->web, HMEM_LINK_ACCOUNT, &account, sizeof(account));
	peer_expect_drop(&f->web);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "HELLO did not offer"));
}

/* A scrape sends the VM nothing. */
static void costs_the_guest_nothing(void **state)
{
	struct fixture *f = *state;
	char byte;

	for (unsigned int i = 0; i < 10; i++)
		scrape();
	assert_int_equal(recv(f->web.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
}

static uint64_t value_of(const char *name)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof(line), "\n%s ", name);
	at = strstr(text, line);
	if (!at)
		fail_msg("there is no %s in:\n%s", name, text);
	return strtoull(at + strlen(line), NULL, 10);
}

/* Each VM's lines are made in a turn of their own, so that many VMs delay nobody. */
static void a_vm_per_turn(void **state)
{
	enum { NUM = 20 };
	struct peer vms[NUM] = { 0 };
	struct fixture *f = *state;
	uint64_t before;
	char line[64];

	for (unsigned int i = 0; i < NUM; i++) {
		snprintf(line, sizeof(line), "vm%u", i);
		peer_handshake(&vms[i], f->d.vm_socket, line);
	}
	snprintf(line, sizeof(line), "hmem_daemon_vms %u\n", NUM + 1);
	expect(line);
	before = value_of("hmem_daemon_http_slices_total");
	do {
		usleep(100000);
		scrape();
	} while (value_of("hmem_daemon_http_slices_total") == before);
	/* Those of the last text: a beginning, the VMs, and an end. */
	assert_int_equal(value_of("hmem_daemon_http_slices_total") - before, 1 + NUM + 1 + 1);
	for (unsigned int i = 0; i < NUM; i++) {
		snprintf(line, sizeof(line), "hmem_vm_running{vm=\"vm%u\"} 1\n", i);
		assert_non_null(strstr(text, line));
		peer_close(&vms[i]);
	}
}

/* The page for browsers, whose files name nothing of other hosts. */
static void serves_a_page(void **state)
{
	static const struct { const char *path, *type, *has; } files[] = {
		{ "/", "text/html", "<script src=\"page.js\"" },
		{ "/page.js", "text/javascript", "fetch(\"vms.json\"" },
		{ "/page.css", "text/css", ".tier {" },
	};
	char get_file[128];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(get_file, sizeof(get_file), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
			 files[i].path);
		assert_non_null(strstr(request(peer_socket(path), get_file, "200"), files[i].has));
		assert_non_null(strstr(text, files[i].type));
		assert_non_null(strstr(text, "Content-Security-Policy: default-src 'self'"));
		assert_null(strstr(text, "http:"));
		assert_null(strstr(text, "https:"));
	}
}

/* What the page draws: each VM with its tiers and, after a window, its pages by heat. */
static void tells_the_page(void **state)
{
	static const char get_vms[] = "GET /vms.json HTTP/1.1\r\nHost: x\r\n\r\n";
	struct peer odd = { .uuid = 0xab };
	struct fixture *f = *state;
	struct json_object *o, *at;
	struct peer_msg msg;
	int64_t pages = 0;

	peer_handshake(&odd, f->d.vm_socket, "<script>\"");
	expect("hmem_daemon_vms 2\n");
	o = json_tokener_parse(request(peer_socket(path), get_vms, "200"));
	assert_non_null(o);
	assert_non_null(strstr(text, "application/json"));
	assert_int_equal(json_num_at(o, "version"), 1);
	assert_true(json_at(o, "vms.1.name", &at));
	assert_string_equal(json_object_get_string(at), "<script>\"");
	assert_true(json_at(o, "vms.1.uuid", &at));
	assert_string_equal(json_object_get_string(at), "ab000000-0000-0000-0000-000000000000");
	assert_int_equal(json_num_at(o, "vms.0.tiers.1.size.max_bytes"), PEER_TIER * 4096);
	assert_true(json_at(o, "vms.0.tiers.1.heat", &at));
	assert_null(at);
	json_object_put(o);
	ctl(f, 0, "policy web set name=observe window=2000");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	do {
		usleep(100000);
		o = json_tokener_parse(request(peer_socket(path), get_vms, "200"));
		assert_true(json_at(o, "vms.0.tiers.1.heat", &at));
		if (at)
			break;
		json_object_put(o);
	} while (true);
	assert_int_equal(json_object_array_length(at), 32);
	for (size_t i = 0; i < json_object_array_length(at); i++)
		pages += json_object_get_int64(json_object_array_get_idx(at, i));
	assert_int_equal(pages, PEER_TIER);
	json_object_put(o);
	peer_close(&odd);
}

static void names_are_escaped(void **state)
{
	struct fixture *f = *state;
	struct peer odd = { 0 };

	peer_handshake(&odd, f->d.vm_socket, "a\"b\\c,d=\"e{}");
	expect("hmem_vm_running{vm=\"a\\\"b\\\\c,d=\\\"e{}\"} 1\n");
	check();
	peer_close(&odd);
	expect("hmem_daemon_vms 1\n");
}

/* An error of the configuration is in the metrics until it is corrected. */
static void tells_wrong_configuration(void **state)
{
	struct fixture *f = *state;
	FILE *file;

	expect("hmem_daemon_config_ok 1\n");
	file = fopen(f->d.config, "w");
	fputs("[daemon]\nmax-vms = none\n", file);
	fclose(file);
	ctl(f, 2, "reload");
	expect("hmem_daemon_config_ok 0\n");
	assert_int_equal(truncate(f->d.config, 0), 0);
	ctl(f, 0, "reload");
	expect("hmem_daemon_config_ok 1\n");
}

static void other_requests(void **state)
{
	(void)state;
	request(peer_socket(path), "GET /page HTTP/1.1\r\nHost: hmemd\r\n\r\n", "404");
	request(peer_socket(path), "POST / HTTP/1.1\r\nHost: hmemd\r\nContent-Length: 0\r\n\r\n",
		"405");
	request(peer_socket(path), "GET /metrics/.. HTTP/1.1\r\nHost: hmemd\r\n\r\n", "404");
	request(peer_socket(path), "POST /metrics HTTP/1.1\r\nHost: hmemd\r\n"
		"Content-Length: 3\r\n\r\nabc", "405");
	request(peer_socket(path), "DELETE /metrics HTTP/1.1\r\nHost: hmemd\r\n\r\n", "405");
	assert_int_equal(*request(peer_socket(path), "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
				  "200"), '\0');
	request(peer_socket(path), "GET /metrics HTTP/1.0\r\n\r\n", "200");
}

/* --- clients that try to harm hmemd --- */

/* Send until hmemd has closed the connection or @most bytes are sent; close it. */
static void flood(int fd, const char *first, const char *more, size_t most)
{
	size_t len = strlen(more), sent = 0;

	assert_int_equal(send(fd, first, strlen(first), MSG_NOSIGNAL), strlen(first));
	while (sent < most && send(fd, more, len, MSG_NOSIGNAL) == (ssize_t)len)
		sent += len;
	close(fd);
	assert_true(sent < most);
}

static void huge_requests(void **state)
{
	struct fixture *f = *state;

	flood(peer_socket(path), "GET /", "metrics", HUGE);
	flood(peer_socket(path), "GET /metrics HTTP/1.1\r\nHost: ", "xxxxxxxxx", HUGE);
	flood(peer_socket(path), "GET /metrics HTTP/1.1\r\n", "X-Name: value\r\n", HUGE);
	flood(peer_socket(path), "POST /metrics HTTP/1.1\r\nHost: x\r\n"
	      "Content-Length: 99999999999\r\n\r\n", "body body", HUGE);
	flood(peer_socket(path), "POST /metrics HTTP/1.1\r\nHost: x\r\n"
	      "Transfer-Encoding: chunked\r\n\r\n", "9\r\nbody body\r\n", HUGE);
	/* A connection has one request. */
	flood(peer_socket(path), get, get, HUGE);
	expect("hmem_daemon_vms 1\n");
	ctl(f, 0, "list");
}

static void garbage(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 1;

	for (unsigned int i = 0; i < 200; i++) {
		uint64_t bytes[32];
		int fd = peer_socket(path);

		for (unsigned int j = 0; j < 32; j++)
			bytes[j] = unit_random(&seed);
		if (i % 2)
			memcpy(bytes, get, sizeof(get) - 1 - i % 8);
		(void)!send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		close(fd);
	}
	expect("hmem_daemon_vms 1\n");
	ctl(f, 0, "list");
}

/*
 * Many clients that say nothing, say half of a request, or read no answer take no place from
 * others: each goes when its time is over, or earlier for a client that comes.
 */
static void many_slow_clients(void **state)
{
	struct fixture *f = *state;
	int slow[MANY];
	unsigned int dropped = 0;

	for (unsigned int i = 0; i < MANY; i++) {
		slow[i] = peer_socket(path);
		if (i % 3)
			assert_true(send(slow[i], get, sizeof(get) - 1 - i % 3, MSG_NOSIGNAL) > 0);
		if (i % 3 == 2)
			(void)!send(slow[i], get, sizeof(get) - 1, MSG_NOSIGNAL);
	}
	for (unsigned int i = 0; i < 10; i++)
		scrape();
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	expect("hmem_pages_total{vm=\"web\",reason=\"moved\"} 10\n");
	for (unsigned int i = 0; i < MANY; i++) {
		struct pollfd p = { .fd = slow[i], .events = POLLIN };

		dropped += poll(&p, 1, 0) == 1;
	}
	/* Those that had to make room. */
	assert_in_range(dropped, MANY / 2, MANY);
	/* The rest goes by itself. */
	for (unsigned int i = 0; i < MANY; i++)
		read_all(slow[i]);
	expect("hmem_daemon_http_turned_away_total ");
	assert_null(strstr(text, "hmem_daemon_http_turned_away_total 0\n"));
}

/* --- where hmemd listens --- */

static void on_loopback(void **state)
{
	static const char *const hosts[] = {
		"localhost:9180", "LOCALHOST", "127.0.0.1:80", "[::1]",
		"evil.example:9180", "localhost.evil.example", "127.0.0.1.evil.example", "x",
	};
	char option[64], line[128];
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const char *args[] = { option, NULL };
	unsigned int port = fixture_free_port();
	struct daemon second = { 0 };
	struct fixture *f;
	FILE *file;
	int fd;

	(void)state;
	snprintf(option, sizeof(option), "--metrics-address=127.0.0.1:%u", port);
	f = fixture_new(args);
	addr.sin_port = htons(port);
	/* A browser that another host has led here names that host. */
	for (unsigned int i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		snprintf(line, sizeof(line), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n",
			 hosts[i]);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_return_code(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
		request(fd, line, i < 4 ? "200" : "403");
		assert_int_equal(i < 4, !!strstr(text, "hmem_daemon_vms 0\n"));
	}
	/* The port is in use, so another hmemd does not start. */
	second = f->d;
	snprintf(second.vm_socket, sizeof(second.vm_socket), "%s/vm2", f->d.dir);
	snprintf(second.control_socket, sizeof(second.control_socket), "%s/control2", f->d.dir);
	snprintf(second.config, sizeof(second.config), "%s/conf2", f->d.dir);
	file = fopen(second.config, "w");
	fprintf(file, "[daemon]\nmetrics-address = 127.0.0.1:%u\n", port);
	fclose(file);
	assert_int_equal(daemon_second(&second), 1);
	unlink(second.config);
	snprintf(line, sizeof(line), "%s.lock", second.vm_socket);
	unlink(line);
	snprintf(line, sizeof(line), "%s.lock", second.control_socket);
	unlink(line);
	fixture_end(f);
}

/* Addresses that others can reach, and ones that are none, are errors. */
static void wrong_addresses(void **state)
{
	static const struct { const char *value, *says; } cases[] = {
		{ "0.0.0.0:9100", "can be reached from other hosts" },
		{ "[::]:9100", "can be reached from other hosts" },
		{ "10.0.0.1:9100", "can be reached from other hosts" },
		{ "localhost:9100", "127.0.0.1:PORT or [::1]:PORT" },
		{ "127.0.0.1", "127.0.0.1:PORT or [::1]:PORT" },
		{ "127.0.0.1:0", "127.0.0.1:PORT or [::1]:PORT" },
		{ "127.0.0.1:65536", "127.0.0.1:PORT or [::1]:PORT" },
		{ "[::1:9100", "127.0.0.1:PORT or [::1]:PORT" },
		{ "[]:9100", "127.0.0.1:PORT or [::1]:PORT" },
		{ "::1:9100", "127.0.0.1:PORT or [::1]:PORT" },
		{ ":9100", "127.0.0.1:PORT or [::1]:PORT" },
	};
	struct fixture *f = *state;
	char line[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *file = fopen(f->d.config, "w");

		fprintf(file, "[daemon]\nmetrics-address = %s\n", cases[i].value);
		fclose(file);
		snprintf(line, sizeof(line), "config check %s", f->d.config);
		ctl(f, 1, line);
		if (!strstr(f->ctl.err, cases[i].says))
			fail_msg("%s: %s", cases[i].value, f->ctl.err);
	}
	assert_int_equal(truncate(f->d.config, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells_what_happened, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_access_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_processor_time, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_pauses, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(needs_no_accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(costs_the_guest_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vm_per_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(serves_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_the_page, setup, teardown),
		cmocka_unit_test_setup_teardown(names_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_wrong_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(other_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(huge_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(many_slow_clients, setup, teardown),
		cmocka_unit_test(on_loopback),
		cmocka_unit_test_setup_teardown(wrong_addresses, setup, teardown),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
