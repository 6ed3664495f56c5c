// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a program whose memory is bound to nodes, as that of a memory backend with
 * host-nodes and policy=bind: onnodes MASK PROGRAM [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <err.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long nodes;

	if (argc < 3)
		errx(2, "usage: onnodes MASK PROGRAM [ARGUMENT...]");
	nodes = strtoul(argv[1], NULL, 0);
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes)) < 0)
		err(1, "set_mempolicy %s", argv[1]);
	execvp(argv[2], argv + 2);
	err(1, "%s", argv[2]);
}
