/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hmemctl heatmap shows, of one VM. */
#ifndef HMEMCTL_HEAT_DATA_H
#define HMEMCTL_HEAT_DATA_H

#include <stdint.h>

#include "client.h"

/* One window: the heat of each bin. */
struct heat_row {
	uint64_t window;	/* its number, counted by hmemd */
	double seconds;		/* guest time since the map began */
	uint8_t *digits;	/* 0 .. 9, one a bin */
};

struct heatmap {
	/* hmemd's answer that the map begins with: the bins and what is said. */
	json *first;
	size_t num_bins;
	/* Percent of full heat that digit 9 stands for, and a tenth more. */
	unsigned int scale;
	/* Guest time at which the first window began, in ns. */
	uint64_t begun;
	struct heat_row *rows;
	size_t num_rows;
};

/* Bin @i of an answer. */
json *heat_bin(json *answer, size_t i);

/* @key of @o, which are heats of hmemd's, in percent of full heat. */
double heat_percent(const struct heatmap *m, json *o, const char *key);

/* What the bin is shown as, 0 .. 9. */
unsigned int heat_digit(const struct heatmap *m, json *bin);

/* Does bin @i begin a stretch of another tier than the bin before? */
bool heat_border(const struct heatmap *m, size_t i);

/* The tier that bin @i is in. */
json *heat_tier(const struct heatmap *m, size_t i);

uint64_t heat_address(const struct heatmap *m, size_t i);

/* What a digit, a column and a row are, as a line of text each. */
const char *heat_scale(const struct heatmap *m, char *buf, size_t size);
const char *heat_resolution(const struct heatmap *m, char *buf, size_t size);

#endif /* HMEMCTL_HEAT_DATA_H */
