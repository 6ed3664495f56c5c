/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A heat map as SVG.  There is one path per digit, in units of columns and rows, so that
 * the file of a large map is still small.  Colors are CSS classes with two sets: with heat,
 * colors get darker on paper, and brighter on a dark screen.
 */
#include <inttypes.h>
#include <string.h>

#include "numbers.h"
#include "options.h"
#include "svg.h"

/* Sizes in pixels; sizes inside of the map are in columns and rows. */
#define LEFT		84
#define TOP		64
#define PLOT_WIDTH	960
#define WIDTH		(LEFT + PLOT_WIDTH + 48)
#define BELOW		150	/* axis and legend */
/* Smallest distance of two labels of an axis. */
#define LABEL_WIDTH	84
#define SWATCH		48

/* Windows that hmemctl missed leave a gap. */
static uint64_t num_rows(const struct heatmap *m)
{
	return m->rows[m->num_rows - 1].window - m->rows[0].window + 1;
}

static double plot_height(const struct heatmap *m)
{
	double h = num_rows(m) * 12.0;

	return h < 72 ? 72 : h > 640 ? 640 : h;
}

static void put_text(FILE *out, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '&': fputs("&amp;", out); break;
		default: fputc(*s, out);
		}
	}
}

static void put_style(FILE *out)
{
	fputs("<style>\n"
	      "text{font:12px sans-serif;fill:#222}\n"
	      ".title{font-size:15px;font-weight:bold}\n"
	      ".ground{fill:#fff}\n"
	      ".axis{stroke:#222;fill:none}\n"
	      ".border{stroke:#05c;stroke-width:2;stroke-dasharray:6 3}\n", out);
	for (unsigned int d = 0; d < 10; d++)
		fprintf(out, ".h%u{fill:hsl(%u,85%%,%u%%)}\n", d, 54 - 6 * d, 95 - 8 * d);
	fputs("@media (prefers-color-scheme:dark){\n"
	      "text{fill:#ddd}\n"
	      ".ground{fill:#111}\n"
	      ".axis{stroke:#ddd}\n"
	      ".border{stroke:#7bf}\n", out);
	for (unsigned int d = 0; d < 10; d++)
		fprintf(out, ".h%u{fill:hsl(%u,85%%,%u%%)}\n", d, 6 * d, 14 + 8 * d);
	fputs("}\n</style>\n", out);
}

static double column(const struct heatmap *m, size_t i)
{
	return LEFT + (double)PLOT_WIDTH * i / m->num_bins;
}

static void put_heat(const struct heatmap *m, FILE *out)
{
	fprintf(out, "<g transform=\"translate(%d %d) scale(%.9g %.9g)\" "
		"shape-rendering=\"crispEdges\">\n", LEFT, TOP,
		(double)PLOT_WIDTH / m->num_bins, plot_height(m) / num_rows(m));
	for (unsigned int d = 0; d < 10; d++) {
		bool any = false;

		for (size_t r = 0; r < m->num_rows; r++) {
			const struct heat_row *row = &m->rows[r];

			for (size_t i = 0, n; i < m->num_bins; i += n) {
				for (n = 0; i + n < m->num_bins &&
				     row->digits[i + n] == d; n++)
					;
				if (n && !any)
					fprintf(out, "<path class=\"h%u\" d=\"", d);
				if (n)
					fprintf(out, "M%zu %" PRIu64 "h%zuv1h-%zuz",
						i, row->window - m->rows[0].window,
						n, n);
				any |= n;
				n += !n;
			}
		}
		if (any)
			fputs("\"/>\n", out);
	}
	fputs("</g>\n", out);
}

/* Draw the tiers' names above, borders between tiers, and addresses below. */
static void put_columns(const struct heatmap *m, FILE *out)
{
	double bottom = TOP + plot_height(m), free_from = 0;

	for (size_t i = 0, to; i < m->num_bins; i = to) {
		json *tier = heat_tier(m, i);
		double x = column(m, i);

		for (to = i + 1; to < m->num_bins && !heat_border(m, to); to++)
			;
		if (i)
			fprintf(out, "<line class=\"border\" x1=\"%.2f\" y1=\"%d\" "
				"x2=\"%.2f\" y2=\"%.2f\"/>\n", x, TOP - 18, x, bottom);
		fprintf(out, "<text x=\"%.2f\" y=\"%d\">", x + 4, TOP - 6);
		if (column(m, to) - x >= LABEL_WIDTH)
			fprintf(out, "tier %s ", text_of(tier, "tier"));
		fprintf(out, "%s</text>\n", column(m, to) - x >= 40 ?
			text_of(tier, "kind") : text_of(tier, "tier"));
	}
	for (size_t i = 0; i < m->num_bins; i++) {
		double x = column(m, i);
		char size[32];

		if (x < free_from ||
		    (i && !heat_border(m, i) &&
		     i * 10 / m->num_bins == (i - 1) * 10 / m->num_bins))
			continue;
		fprintf(out, "<path class=\"axis\" d=\"M%.2f %.2fv5\"/>"
			"<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\">%s</text>\n",
			x, bottom, x, bottom + 18,
			hmem_format_size(heat_address(m, i), size, sizeof(size)));
		free_from = x + LABEL_WIDTH;
	}
	fprintf(out, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"middle\">"
		"guest-physical address (holes left out)</text>\n",
		LEFT + PLOT_WIDTH / 2, bottom + 36);
}

static void put_rows(const struct heatmap *m, FILE *out)
{
	double height = plot_height(m), each = height / num_rows(m), free_from = 0;

	for (size_t r = 0; r < m->num_rows; r++) {
		double y = TOP + each * (m->rows[r].window - m->rows[0].window + 1);

		if (y < free_from)
			continue;
		fprintf(out, "<path class=\"axis\" d=\"M%d %.2fh-5\"/>"
			"<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">%.3f</text>\n",
			LEFT, y, LEFT - 8, y + 4, m->rows[r].seconds);
		free_from = y + 16;
	}
	fprintf(out, "<text transform=\"translate(16 %.2f) rotate(-90)\" "
		"text-anchor=\"middle\">guest time, s</text>\n", TOP + height / 2);
	fprintf(out, "<rect class=\"axis\" x=\"%d\" y=\"%d\" width=\"%d\" "
		"height=\"%.2f\"/>\n", LEFT, TOP, PLOT_WIDTH, height);
}

static void put_legend(const struct heatmap *m, FILE *out)
{
	double y = TOP + plot_height(m) + 58;
	char buf[128];

	for (unsigned int d = 0; d < 10; d++)
		fprintf(out, "<rect class=\"h%u\" x=\"%d\" y=\"%.2f\" width=\"%d\" "
			"height=\"16\"/><text x=\"%d\" y=\"%.2f\" "
			"text-anchor=\"middle\">%g %%</text>\n", d,
			(int)(LEFT + SWATCH * d), y, SWATCH,
			(int)(LEFT + SWATCH * d), y + 32, m->scale * d / 10.0);
	fprintf(out, "<rect class=\"axis\" x=\"%d\" y=\"%.2f\" width=\"%d\" "
		"height=\"16\"/><text x=\"%d\" y=\"%.2f\" text-anchor=\"middle\">"
		"%u %%</text>\n", LEFT, y, 10 * SWATCH, LEFT + 10 * SWATCH, y + 32,
		m->scale);
	fprintf(out, "<text x=\"%d\" y=\"%.2f\">scale: %s</text>\n", LEFT, y + 54,
		heat_scale(m, buf, sizeof(buf)));
	fprintf(out, "<text x=\"%d\" y=\"%.2f\">resolution: a column is %s, a row is "
		"a window", LEFT, y + 72, heat_resolution(m, buf, sizeof(buf)));
	if (num_of(m->first, "window_ms"))
		fprintf(out, " of %s ms", text_of(m->first, "window_ms"));
	fputs("</text>\n", out);
}

void heat_svg(const struct heatmap *m, FILE *out)
{
	double height = TOP + plot_height(m) + BELOW;

	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<!-- made by hmemctl " HMEMCTL_VERSION " -->\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" "
		"width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n"
		"<title>How hot the memory of VM ", WIDTH, height, WIDTH, height);
	put_text(out, text_of(m->first, "vm"));
	fputs(" is</title>\n", out);
	put_style(out);
	fprintf(out, "<rect class=\"ground\" width=\"%d\" height=\"%.0f\"/>\n", WIDTH,
		height);
	fprintf(out, "<text class=\"title\" x=\"%d\" y=\"28\">VM ", LEFT);
	put_text(out, text_of(m->first, "vm"));
	fprintf(out, ": policy %s, tracker %s</text>\n", text_of(m->first, "policy"),
		text_of(m->first, "tracker"));
	put_heat(m, out);
	put_columns(m, out);
	put_rows(m, out);
	put_legend(m, out);
	fputs("</svg>\n", out);
}
