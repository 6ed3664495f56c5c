/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages between the agent in the guest and the test on the host, over one
 * virtio serial port, and between a guest program and the agent.  All numbers are
 * little-endian.  tests/lib/vm.py is the host's side.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>

#define AGENT_PORT	"hmem.agent"

enum agent_type {
	/* host to guest */
	AGENT_RUN = 1,		/* id, shell command: start it */
	AGENT_KILL = 2,		/* id: kill the command's process group */
	AGENT_ANSWER = 3,	/* id, struct hint_answer: answers AGENT_HINT */
	/* guest to host */
	AGENT_READY = 0x81,	/* the guest has booted */
	AGENT_OUTPUT = 0x82,	/* id, bytes: output of a command */
	AGENT_EXIT = 0x83,	/* id, uint32_t wait status: a command has ended */
	AGENT_HINT = 0x84,	/* id, struct hint_request */
};

struct agent_header {
	uint32_t type;
	uint32_t id;
	uint32_t len;		/* bytes that follow */
};

/* Messages between a guest program and the agent are preceded by their length. */
#define HINT_SOCKET	"hmem-hint"	/* in the abstract name space */
#define HINT_MAX	(1u << 18)	/* pages in one request */

struct hint_request {
	uint32_t tier;
	uint32_t num;
	uint64_t gfn[];
};

struct hint_page {
	uint64_t gfn;
	uint64_t new_gfn;
	int32_t reason;		/* VIRTIO_HMEM_R_*; -1: the host got no result */
	uint32_t padding;
};

struct hint_answer {
	uint32_t num;		/* as in the request; 0: the host could not ask */
	uint32_t padding;
	struct hint_page page[];
};

#endif /* AGENT_H */
