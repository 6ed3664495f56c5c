/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages between hmemd and hmemd-trackers, which has the trackers of the host's kernel for
 * an hmemd without privileges.
 *
 * hmemd makes a stream connection for each VM that it tracks, and sends START together with a
 * descriptor of its connection to the VM.  The kernel tells whose connection that is, so hmemd
 * can have the processes tracked that have connected to its VM socket, and no others.
 * hmemd-trackers answers STARTED together with a memfd for the two maps that both share: the map
 * accessed, and from @map_bytes on the map rearm; or it answers FAILED.
 *
 * Then hmemd sends TICK at the end of each window, is answered FOUND, sends REARM when it has
 * read the maps, and is answered REARMED.  The tracker idle first arms all pages: it answers a TICK
 * that comes meanwhile with REARMED, when it has armed them.  RANGES can come at any time, and so
 * can FAILED.  hmemd stops the tracker by closing the connection.
 *
 * All numbers are in the byte order of the host.
 */
#ifndef HMEM_TRACKERS_H
#define HMEM_TRACKERS_H

#include <stdint.h>

#define HMEM_TRACKERS_SOCKET	"/run/hmemd/trackers.sock"

enum hmem_trackers_type {
	/* from hmemd */
	HMEM_TRACKERS_START = 1,	/* how, window_ms, map_bytes, ranges */
	HMEM_TRACKERS_RANGES = 2,	/* ranges */
	HMEM_TRACKERS_TICK = 3,		/* number: that of the window */
	HMEM_TRACKERS_REARM = 4,
	/* to hmemd */
	HMEM_TRACKERS_STARTED = 0x81,
	HMEM_TRACKERS_FAILED = 0x82,	/* error, why */
	HMEM_TRACKERS_FOUND = 0x83,	/* number: of accessed pages; cpu_ns */
	HMEM_TRACKERS_REARMED = 0x84,	/* cpu_ns */
};

enum hmem_trackers_how {
	HMEM_TRACKERS_IDLE = 1,
	HMEM_TRACKERS_DAMON = 2,
};

/* A message.  What its type does not use is 0. */
struct hmem_trackers_msg {
	uint32_t type;			/* enum hmem_trackers_type */
	uint32_t num_ranges;		/* so many struct hmem_link_range follow */
	uint32_t how;			/* enum hmem_trackers_how */
	uint32_t window_ms;
	uint64_t map_bytes;		/* of one map: one bit for each frame */
	uint64_t number;
	uint64_t cpu_ns;		/* processor time since the last such message */
	int32_t error;			/* -errno */
	char why[252];			/* ends in a 0 */
};

#endif /* HMEM_TRACKERS_H */
