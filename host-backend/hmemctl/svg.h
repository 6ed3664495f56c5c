/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws a heat map as a picture. */
#ifndef HMEMCTL_SVG_H
#define HMEMCTL_SVG_H

#include <stdio.h>

#include "heat_data.h"

/* @map must have at least one row. */
void heat_svg(const struct heatmap *m, FILE *out);

#endif /* HMEMCTL_SVG_H */
