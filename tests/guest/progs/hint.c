// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"
#include "hint.h"

static int transfer(int fd, void *data, size_t len, int out)
{
	char *p = data;

	while (len) {
		ssize_t n = out ? send(fd, p, len, MSG_NOSIGNAL) : read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

static int ask(struct hint_request *req, uint32_t req_len,
	       struct hint_answer *ans, uint32_t ans_len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t len;
	int ret = -1;

	memcpy(a.sun_path + 1, HINT_SOCKET, sizeof(HINT_SOCKET) - 1);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&a,
		    offsetof(struct sockaddr_un, sun_path) + sizeof(HINT_SOCKET)) == 0 &&
	    transfer(fd, &req_len, sizeof(req_len), 1) == 0 &&
	    transfer(fd, req, req_len, 1) == 0 &&
	    transfer(fd, &len, sizeof(len), 0) == 0 && len == ans_len &&
	    transfer(fd, ans, ans_len, 0) == 0 && ans->num == req->num)
		ret = 0;
	if (fd >= 0)
		close(fd);
	return ret;
}

int hint_migrate(const uint64_t *gfns, size_t n, unsigned int tier,
		 struct hint_result *results)
{
	struct hint_request *req = malloc(sizeof(*req) + n * sizeof(req->gfn[0]));
	struct hint_answer *ans = malloc(sizeof(*ans) + n * sizeof(ans->page[0]));
	size_t k = 0;
	int ret = 0;

	if (!req || !ans)
		errx(1, "no memory for %zu hints", n);
	for (size_t i = 0; i < n; i++)
		if (gfns[i])
			req->gfn[k++] = gfns[i];
	req->tier = tier;
	req->num = k;
	if (k)
		ret = ask(req, sizeof(*req) + k * sizeof(req->gfn[0]),
			  ans, sizeof(*ans) + k * sizeof(ans->page[0]));
	k = 0;
	for (size_t i = 0; !ret && i < n; i++) {
		const struct hint_page *p = &ans->page[k];

		if (gfns[i]) {
			results[i] = (struct hint_result){ p->gfn, p->new_gfn, p->reason };
			k++;
		} else {
			results[i] = (struct hint_result){ 0, 0, VIRTIO_HMEM_R_FREE };
		}
	}
	free(ans);
	free(req);
	return ret;
}

void hint_gfns(const void *addr, size_t n, uint64_t *gfns)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (uintptr_t)addr / HINT_PAGE * sizeof(*gfns);

	if (fd < 0)
		err(1, "pagemap");
	for (size_t done = 0; done < n; ) {
		ssize_t got = pread(fd, gfns + done, (n - done) * sizeof(*gfns),
				    at + done * sizeof(*gfns));

		if (got <= 0)
			err(1, "pagemap");
		done += got / sizeof(*gfns);
	}
	close(fd);
	for (size_t i = 0; i < n; i++)
		gfns[i] = gfns[i] >> 63 ? gfns[i] & ((1ull << 55) - 1) : 0;
}

size_t hint_move(const void *addr, size_t n, unsigned int tier)
{
	uint64_t *gfns = calloc(n, sizeof(*gfns));
	struct hint_result *results = calloc(n, sizeof(*results));
	size_t there = 0;

	if (!gfns || !results)
		errx(1, "no memory for %zu hints", n);
	hint_gfns(addr, n, gfns);
	if (hint_migrate(gfns, n, tier, results) < 0)
		errx(1, "the host could not pass on %zu hints", n);
	for (size_t i = 0; i < n; i++)
		there += results[i].reason == VIRTIO_HMEM_R_MOVED ||
			 results[i].reason == VIRTIO_HMEM_R_ALREADY;
	free(results);
	free(gfns);
	return there;
}

void hint_nodes(const void *addr, size_t n, int *nodes)
{
	void *pages[512];

	for (size_t i = 0; i < n; ) {
		size_t k = n - i < 512 ? n - i : 512;

		for (size_t j = 0; j < k; j++)
			pages[j] = (char *)addr + (i + j) * HINT_PAGE;
		if (syscall(SYS_move_pages, 0, k, pages, NULL, nodes + i, 0) < 0)
			err(1, "move_pages");
		i += k;
	}
	for (size_t i = 0; i < n; i++)
		if (nodes[i] < 0)
			nodes[i] = -1;
}

size_t hint_on_node(const void *addr, size_t n, int node)
{
	int *nodes = calloc(n, sizeof(*nodes));
	size_t there = 0;

	if (!nodes)
		errx(1, "no memory");
	hint_nodes(addr, n, nodes);
	for (size_t i = 0; i < n; i++)
		there += nodes[i] == node;
	free(nodes);
	return there;
}

const char *hint_reason(int reason)
{
	static const char *const name[VIRTIO_HMEM_R_MAX] = {
		VIRTIO_HMEM_REASON_NAMES
	};

	return reason >= 0 && reason < VIRTIO_HMEM_R_MAX ? name[reason] : "none";
}
