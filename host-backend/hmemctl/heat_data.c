/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "heat_data.h"
#include "numbers.h"

json *heat_bin(json *answer, size_t i)
{
	return json_object_array_get_idx(field(answer, "bins"), i);
}

bool heat_border(const struct heatmap *m, size_t i)
{
	return i && num_of(heat_bin(m->first, i), "tier") !=
		    num_of(heat_bin(m->first, i - 1), "tier");
}

json *heat_tier(const struct heatmap *m, size_t i)
{
	return json_object_array_get_idx(field(m->first, "tiers"),
					 num_of(heat_bin(m->first, i), "tier"));
}

uint64_t heat_address(const struct heatmap *m, size_t i)
{
	return num_of(heat_bin(m->first, i), "gfn") << 12;
}

double heat_percent(const struct heatmap *m, json *o, const char *key)
{
	return num_of(o, key) * 100.0 / num_of(m->first, "heat_max");
}

unsigned int heat_digit(const struct heatmap *m, json *bin)
{
	unsigned int d = heat_percent(m, bin, "mean") * 10 / m->scale;

	return d < 9 ? d : 9;
}

const char *heat_scale(const struct heatmap *m, char *buf, size_t size)
{
	snprintf(buf, size, "mean heat of the pages, 0 is below %g %%, 9 is %g %% of "
		 "full heat or more", m->scale / 10.0, m->scale * 0.9);
	return buf;
}

const char *heat_resolution(const struct heatmap *m, char *buf, size_t size)
{
	uint64_t pages = num_of(m->first, "pages_per_bin");
	char s[32];

	snprintf(buf, size, "%" PRIu64 " pages (%s)", pages,
		 hmem_format_size(pages << 12, s, sizeof(s)));
	return buf;
}
