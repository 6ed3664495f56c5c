/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of hmemd, from hmemd.conf(5) and hmemd's options.  Both set the same values
 * by the same names, so each value has one check and one error message.
 *
 * A configuration is made in this order: hmem_config_init(), the files, the command line.
 * Later values replace earlier ones.
 */
#ifndef HMEM_CONFIG_H
#define HMEM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "policy.h"

#define HMEM_CONFIG_FILE	"/etc/hmemd/hmemd.conf"

/* One KEY = VALUE of a section about VMs. */
struct hmem_setting {
	char *key, *value;
};

/* A section [vm PATTERN]. */
struct hmem_vm_section {
	/* A UUID, or a pattern for names, in the form of fnmatch(3). */
	char *pattern;
	/* The file that has the section, for messages. */
	char *file;
	struct hmem_setting *settings;
	unsigned int num;
};

/* Nodes of the host have lower numbers. */
#define HMEM_CONFIG_NODES	64u

struct hmem_config {
	/* From the section [daemon].  NULL: the default socket. */
	char *socket, *vm_socket, *monitor_socket;
	/* Where metrics can be read; NULL: nowhere. */
	char *metrics_socket, *metrics_address;
	/* Where hmemd-trackers listens; NULL: the default. */
	char *trackers_socket;
	uint32_t max_vms, max_user_vms;
	uint64_t max_frames;		/* of one VM */
	uint64_t max_tables;		/* in bytes, for all VMs together */
	/* Where to keep what is learned; NULL: the default. How often to save it, in seconds. */
	char *state_directory;
	uint32_t state_interval;
	uint64_t pool;			/* DRAM in bytes for all VMs; 0: VMs keep theirs */
	uint64_t pool_reserve;		/* bytes of it that are not lent */
	uint64_t capacity[HMEM_CONFIG_NODES];	/* of the host's nodes, in bytes; 0: not set */
	/*
	 * The price of a MiB of tier 0, and of tier 1, in any unit; 0: not set.  For VMs for which
	 * no section sets prices.
	 */
	double prices[2];
	bool verbose;

	/* The policy of a VM for which no section sets one; from the command line. */
	struct hmem_policy policy;

	/* In the order of the files. */
	struct hmem_vm_section *vms;
	unsigned int num_vms;
};

/* The nodes of the host on which a tier of a VM can be. */
struct hmem_host_nodes {
	int own;			/* the node of the VM's own socket; -1: not known */
	uint64_t all;			/* a bit for each node, @own among them */
};

/* The settings of one VM. */
struct hmem_vm_config {
	struct hmem_policy policy;
	/* Bytes of DRAM in the pool; UINT64_MAX: not set. */
	uint64_t guarantee, maximum;
	uint32_t weight;		/* in the pool; 0: not set */
	double prices[2];		/* as in struct hmem_config */
	struct hmem_host_nodes nodes[HMEM_LINK_MAX_TIERS];	/* by tier */
	bool trade;			/* hmemd may trade DRAM of the VM for NVM, and back */
	/* The file with the last section that matches; NULL: no section does. */
	const char *from;
};

/* The largest weight of a VM in the pool. */
#define HMEM_CONFIG_MAX_WEIGHT	1000u
/* The highest price of a MiB; the lowest is 1. */
#define HMEM_CONFIG_MAX_PRICE	1000000u

/* Sets the defaults.  @host_memory: the host's memory in bytes. */
void hmem_config_init(struct hmem_config *c, uint64_t host_memory);
void hmem_config_free(struct hmem_config *c);

/* Do the settings fit each other?  Returns 0, or -EINVAL with those that do not in @err. */
int hmem_config_check(const struct hmem_config *c, struct hmem_err *err);

/*
 * Set @key of [daemon].  Returns 0, -ENOMEM, or -EINVAL with the allowed values or the known
 * keys in @err.  Nothing has changed after an error.
 */
int hmem_config_set(struct hmem_config *c, const char *key, const char *value,
		    struct hmem_err *err);

/*
 * Read the @len bytes of @text, the contents of @file.  Returns 0, -ENOMEM, or -EINVAL with
 * file, line and the fault in @err.  Settings before the fault have been made.
 */
int hmem_config_parse(struct hmem_config *c, const char *file, const char *text, size_t len,
		      struct hmem_err *err);

/*
 * Set "pool-guarantee", "pool-maximum" or "pool-weight" of a VM.  Returns 0, -EINVAL with the
 * allowed values in @err, or -ENOENT for another key.
 */
int hmem_config_set_pool(struct hmem_vm_config *vm, const char *key, const char *value,
			 struct hmem_err *err);

/*
 * Sets @vm to the settings of the VM with this name and UUID.  For each key, the last section
 * that matches and has the key counts.
 */
void hmem_config_vm(const struct hmem_config *c, const char *name, const uint8_t uuid[16],
		    struct hmem_vm_config *vm);

#endif /* HMEM_CONFIG_H */
