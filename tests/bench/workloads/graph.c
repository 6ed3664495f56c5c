// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PageRank, or breadth-first search from random vertices, on an undirected
 * R-MAT graph (a, b, c, d = 9, 3, 3, 1 sixteenths; vertices renumbered).
 * Operations are traversed edges.
 *
 *	run=pagerank	or bfs
 *	scale=20	the graph has 2^scale vertices
 *	degree=16	edges per vertex, each of which is stored twice
 *
 * The program first touches the adjacency lists, which it sweeps, and then the
 * data that it accesses at random.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define VERTICES	512	/* number that is processed between reads of the clock */
#define NONE		UINT32_MAX

static unsigned int scale;
static uint32_t nodes;
static uint64_t edges;		/* directed edges, two for each generated edge */
static uint32_t *adjacent;
static uint32_t *offset;	/* v's list in adjacent: offset[v] to offset[v + 1] */

/* Results of four levels of the recursion; the high half has the row. */
static uint8_t quadrants[1 << 16];

static void make_quadrants(void)
{
	for (uint32_t r = 0; r < 1 << 16; r++) {
		uint8_t row = 0, column = 0;

		for (int level = 0; level < 4; level++) {
			unsigned int q = r >> 4 * level & 15;

			row |= (q >= 12) << level;
			column |= ((q >= 9 && q < 12) || q == 15) << level;
		}
		quadrants[r] = row << 4 | column;
	}
}

/* Permutes the vertices, so that a vertex's number does not tell its degree. */
static uint32_t renumber(uint32_t v)
{
	for (int i = 0; i < 2; i++) {
		v = v * 0x9e3779b1u & (nodes - 1);
		v ^= v >> scale / 2;
	}
	return v;
}

static void random_edge(uint32_t *from, uint32_t *to)
{
	uint64_t r = bench_random();
	uint32_t row = 0, column = 0;

	for (unsigned int level = 0; level < scale; level += 4) {
		uint8_t q = quadrants[r >> 48];

		row = row << 4 | q >> 4;
		column = column << 4 | (q & 15);
		r = level == 8 ? bench_random() : r << 16;
	}
	*from = renumber(row & (nodes - 1));
	*to = renumber(column & (nodes - 1));
}

/* Generates the same edges twice: first to count them, then to store them. */
static void make_graph(void)
{
	uint64_t seed = bench_random_state;
	uint32_t sum = 0, u, v;

	make_quadrants();
	memset(adjacent, 0, edges * sizeof(*adjacent));
	memset(offset, 0, (nodes + 1) * sizeof(*offset));
	for (uint64_t e = 0; e < edges / 2; e++) {
		random_edge(&u, &v);
		offset[u]++;
		offset[v]++;
	}
	/* The end of each list; it moves to the list's start as edges are stored. */
	for (uint32_t i = 0; i <= nodes; i++) {
		sum += offset[i];
		offset[i] = sum;
	}
	bench_random_state = seed;
	for (uint64_t e = 0; e < edges / 2; e++) {
		random_edge(&u, &v);
		adjacent[--offset[u]] = v;
		adjacent[--offset[v]] = u;
	}
}

/* The number of accesses to a page in one sweep over the graph. */
static double swept(size_t page)
{
	(void)page;
	return PAGE / 64;
}

static double at_random8(size_t page)
{
	(void)page;
	return (double)edges / nodes * (PAGE / 8);
}

static double at_random4(size_t page)
{
	(void)page;
	return (double)edges / nodes * (PAGE / 4);
}

static void pagerank(void)
{
	double *rank = bench_map(nodes * sizeof(*rank), swept);
	double *share = bench_map(nodes * sizeof(*share), at_random8);

	bench_fill();
	make_graph();
	for (uint32_t v = 0; v < nodes; v++)
		rank[v] = 1.0 / nodes;
	memset(share, 0, nodes * sizeof(*share));
	bench_start("MTEPS", 1e6);
	for (;;) {
		for (uint32_t v = 0; v < nodes; v++) {
			uint32_t degree = offset[v + 1] - offset[v];

			share[v] = degree ? rank[v] / degree : 0;
		}
		for (uint32_t v = 0; v < nodes; ) {
			uint32_t first = offset[v];
			uint32_t stop = v + VERTICES;

			for (; v < stop; v++) {
				double sum = 0;

				for (uint32_t e = offset[v]; e < offset[v + 1]; e++)
					sum += share[adjacent[e]];
				rank[v] = 0.15 / nodes + 0.85 * sum;
			}
			if (!bench_count(offset[v] - first))
				return;
		}
	}
}

static void bfs(void)
{
	uint32_t *queue = bench_map(nodes * sizeof(*queue), swept);
	uint32_t *parent = bench_map(nodes * sizeof(*parent), at_random4);

	bench_fill();
	make_graph();
	memset(queue, 0, nodes * sizeof(*queue));
	memset(parent, 0, nodes * sizeof(*parent));
	bench_start("MTEPS", 1e6);
	for (;;) {
		uint32_t head = 0, tail = 0, root;
		uint64_t done = 0;

		do
			root = bench_below(nodes);
		while (offset[root] == offset[root + 1]);
		memset(parent, 0xff, nodes * sizeof(*parent));
		parent[root] = root;
		queue[tail++] = root;
		while (head < tail) {
			uint32_t v = queue[head++];

			for (uint32_t e = offset[v]; e < offset[v + 1]; e++) {
				uint32_t w = adjacent[e];

				if (parent[w] == NONE) {
					parent[w] = v;
					queue[tail++] = w;
				}
			}
			done += offset[v + 1] - offset[v];
			if (head % VERTICES && head < tail)
				continue;
			if (!bench_count(done))
				return;
			done = 0;
		}
	}
}

int main(int argc, char **argv)
{
	const char *run;

	bench_options(argc, argv);
	run = bench_word("run", "pagerank");
	scale = bench_option("scale", 20);
	if (scale < 10 || scale > 24)
		errx(2, "scale=%u: wanted are 10 to 24", scale);
	nodes = 1u << scale;
	edges = 2 * nodes * (uint64_t)bench_option("degree", 16);
	if (!edges || edges > UINT32_MAX)
		errx(2, "degree=%g: wanted is 1 up to %u", bench_option("degree", 16),
		     UINT32_MAX / 2 / nodes);
	adjacent = bench_map(edges * sizeof(*adjacent), swept);
	offset = bench_map((nodes + 1) * sizeof(*offset), swept);
	if (!strcmp(run, "pagerank"))
		pagerank();
	else if (!strcmp(run, "bfs"))
		bfs();
	else
		errx(2, "run=%s: use pagerank or bfs", run);
	return 0;
}
