/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hmemctl top shows: the rates of VMs between two of hmemd's answers. */
#ifndef HMEMCTL_TOP_SAMPLE_H
#define HMEMCTL_TOP_SAMPLE_H

#include "client.h"
#include "virtio_hmem.h"

/* A value per second; unknown in the first sample and after a reset of counters. */
struct rate {
	double per_s;
	bool known;
};

struct vm_sample {
	/* hmemd's answer about the VM, for values that are shown unchanged. */
	json *vm;
	struct rate promoted, demoted, refused;		/* pages */
	/* By reason; valid if @refused is known. */
	double refused_for[VIRTIO_HMEM_R_MAX];		/* pages per second */
	/* hmemd's processor time per window. */
	double daemon_us;
	bool daemon_known;
};

struct sample {
	/* hmemd's answer, which contains the VMs' objects. */
	json *answer;
	uint64_t interval_ms;		/* 0: this is the first sample */
	struct vm_sample *vms;
	size_t num;
};

/* Is this the name or the UUID of the VM in an answer? */
bool is_called(json *vm, const char *name);

/*
 * The sample of the VMs with these names, or of all VMs if there are none.  @before: the answer
 * before @now; NULL: there is none, so rates are unknown.
 */
struct sample take_sample(const char *const *names, unsigned int num_names, json *now,
			  json *before);
void free_sample(struct sample *s);

#endif /* HMEMCTL_TOP_SAMPLE_H */
