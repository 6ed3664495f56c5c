/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device on the link and its guest, controlled by a test. */
#ifndef HMEM_UNIT_PEER_H
#define HMEM_UNIT_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "hmem_link.h"
#include "virtio_hmem.h"

/* Two tiers of this many frames, one above the other. */
#define PEER_TIER	8192u
#define PEER_FRAMES	(2 * PEER_TIER)
#define PEER_BATCHES	4u
/* Words of a map; bytes of one, and of all of them. */
#define PEER_WORDS	(PEER_FRAMES / 64)
#define PEER_MAP_BYTES	(PEER_FRAMES / 8)
#define PEER_MAPS_BYTES	(HMEM_LINK_MAPS * PEER_MAP_BYTES)

struct peer {
	int fd, map_fd;
	/* The maps: dirty, accessed, rearm, given. */
	uint64_t *map;
	/* Offered in HELLO; zero: dirty logging, and no lockstep. */
	uint32_t trackers, track_flags;
	/* Processors; zero: one.  With HMEM_LINK_TRACK_BUSY: their time in each window. */
	uint32_t num_cpus, busy_us;
	/* The guest's time at the end of window N is N seconds, less this. */
	uint64_t behind_ns;
	/* The shortest window; zero: that of the link. */
	uint64_t min_window_ns;
	/* First byte of the UUID; zero: no UUID. */
	uint8_t uuid;
	/* hmem_link_state.boot and features while there is a driver; and the guest's time. */
	uint32_t boot;
	uint64_t features;
	uint64_t vtime_ns;
	/* The address of guest memory in a process; zero: unknown. */
	uint64_t hva;
	/* Batches that may be under way; zero: PEER_BATCHES. */
	uint32_t batches_at_once;
	/* Most bytes that are read or written at a time; zero: no limit. */
	size_t chunk;
	/* The process kills itself when it has sent so many bytes; zero: it does not. */
	uint64_t dies_after;
	/* Tier 0 in the last HELLO. */
	struct hmem_link_tier tier0;
	/* Number of answered hints, and of batches. */
	unsigned int hints, batches;
	uint64_t foreign_moves;
	/* How often each frame was hinted. */
	unsigned char times_hinted[PEER_FRAMES];
	/* Gives the reason for a hint's result; NULL: all pages move. */
	unsigned int (*reason)(struct peer *p, const struct virtio_hmem_hint *hint);
};

/* A received message. */
struct peer_msg {
	struct hmem_link_header hdr;
	_Alignas(8) char payload[HMEM_LINK_MAX_PAYLOAD];
};

/* All of these functions fail the test if they do not succeed. */

/* A socket, connected to @path. */
int peer_socket(const char *path);
/* Resets @p, except the offers, and connects. */
void peer_connect(struct peer *p, const char *path);
/* The same.  Returns false if nobody listens. */
bool peer_try_connect(struct peer *p, const char *path);
void peer_close(struct peer *p);

/* A memfd of @bytes with @seals. */
int peer_memfd(uint64_t bytes, int seals);

void peer_fill_hello(struct hmem_link_hello *hello, const char *name);
void peer_send_raw(struct peer *p, const void *data, size_t len);
void peer_send(struct peer *p, uint32_t type, const void *payload, uint32_t len);
/* Send a message, with file descriptors if there are any. */
void peer_send_hello(struct peer *p, const struct hmem_link_hello *hello,
		     const int *fds, unsigned int num_fds);
void peer_send_ranges(struct peer *p);
void peer_send_state(struct peer *p, uint32_t flags);
void peer_send_tick(struct peer *p, uint64_t seq);

/* Sends HELLO, RANGES and STATE, with the driver at work. */
void peer_introduce(struct peer *p, const char *name);
/* Connects, and does the handshake up to WELCOME. */
void peer_handshake(struct peer *p, const char *path, const char *name);

void peer_read(struct peer *p, struct peer_msg *msg);
/* The same.  Returns false if hmemd has closed the connection. */
bool peer_try_read(struct peer *p, struct peer_msg *msg);
/* Read until a message of this type comes. */
void peer_expect(struct peer *p, struct peer_msg *msg, uint32_t type);
/* Read until hmemd requests this size of tier 0, and none that tier 0 cannot have. */
void peer_expect_size(struct peer *p, uint64_t bytes);
/* Read until hmemd has closed the connection. */
void peer_expect_drop(struct peer *p);

/* Answer a batch of hints as a guest would. */
void peer_answer(struct peer *p, const struct peer_msg *msg);
/* Read a message; answer it if it is a batch. */
void peer_serve(struct peer *p);

#endif /* HMEM_UNIT_PEER_H */
