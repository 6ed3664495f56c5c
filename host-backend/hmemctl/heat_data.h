/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data that hmemctl heatmap shows of one VM. */
#ifndef HMEMCTL_HEAT_DATA_H
#define HMEMCTL_HEAT_DATA_H

#include <stdint.h>

#include "client.h"

/* One window: the heat of each bin in it. */
struct heat_row {
	uint64_t window;	/* hmemd's number of the window */
	double seconds;		/* guest time since the map began */
	uint8_t *digits;	/* one digit per bin, 0 .. 9 */
};

struct heatmap {
	/* hmemd's first answer: has the bins and their addresses. */
	json *first;
	size_t num_bins;
	/* The heat, in percent of full heat, of digit 9 and a tenth more. */
	unsigned int scale;
	/* Guest time in ns at which the first window began. */
	uint64_t begun;
	struct heat_row *rows;
	size_t num_rows;
};

/* Bin number @i of an answer. */
json *heat_bin(json *answer, size_t i);

/* The heat @key of @o, in percent of full heat. */
double heat_percent(const struct heatmap *m, json *o, const char *key);

/* The digit for a bin, 0 .. 9. */
unsigned int heat_digit(const struct heatmap *m, json *bin);

/* Does a new tier begin with bin @i? */
bool heat_border(const struct heatmap *m, size_t i);

/* The tier of bin @i. */
json *heat_tier(const struct heatmap *m, size_t i);

uint64_t heat_address(const struct heatmap *m, size_t i);

/* Texts that explain the scale, and the size of a column and a row. */
const char *heat_scale(const struct heatmap *m, char *buf, size_t size);
const char *heat_resolution(const struct heatmap *m, char *buf, size_t size);

#endif /* HMEMCTL_HEAT_DATA_H */
