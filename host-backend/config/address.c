/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "address.h"
#include "numbers.h"

bool hmem_is_local(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in *v4 = (const void *)addr;
	const struct sockaddr_in6 *v6 = (const void *)addr;

	switch (addr->ss_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	default:
		return false;
	}
}

/* Returns false if @text is no IP address and port. */
static bool parse(const char *text, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in *v4 = (void *)addr;
	struct sockaddr_in6 *v6 = (void *)addr;
	const char *colon = strrchr(text, ':');
	char ip[INET6_ADDRSTRLEN + 2];
	size_t ip_len = colon ? colon - text : 0;
	uint64_t port;

	if (!ip_len || ip_len >= sizeof(ip) ||
	    hmem_parse_num(colon + 1, strlen(colon + 1), &port, NULL) < 0 || !port ||
	    port > UINT16_MAX)
		return false;
	memset(addr, 0, sizeof(*addr));
	memcpy(ip, text, ip_len);
	ip[ip_len] = '\0';
	if (ip[0] == '[' && ip[ip_len - 1] == ']') {
		ip[ip_len - 1] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
		return inet_pton(AF_INET6, ip + 1, &v6->sin6_addr) == 1;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	*len = sizeof(*v4);
	return inet_pton(AF_INET, ip, &v4->sin_addr) == 1;
}

int hmem_loopback_parse(const char *text, struct sockaddr_storage *addr, socklen_t *len,
			struct hmem_err *err)
{
	if (!parse(text, addr, len))
		return hmem_fail(err, EINVAL, "127.0.0.1:PORT or [::1]:PORT, not '%.64s'",
				 text);
	if (!hmem_is_local(addr))
		return hmem_fail(err, EINVAL, "'%.64s' can be reached from other hosts: use "
				 "127.0.0.1 or [::1], and a proxy that says who may connect",
				 text);
	return 0;
}
