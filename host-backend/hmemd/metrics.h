/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics in the text format of Prometheus.  They are read from hmemd's state only: no guest is
 * asked, and nothing is tracked for them.
 */
#ifndef HMEMD_METRICS_H
#define HMEMD_METRICS_H

#include <stddef.h>

struct hmemd;

/* The content type of the text. */
#define METRICS_TYPE	"text/plain; version=0.0.4; charset=utf-8"

/* Returns all metrics; the caller frees them.  NULL: no memory. */
char *metrics_text(const struct hmemd *d, size_t *len);

#endif /* HMEMD_METRICS_H */
