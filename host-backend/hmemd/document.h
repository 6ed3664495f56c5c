/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text about hmemd and its VMs, made in slices: hmemd's part, then one VM per turn of the loop,
 * so that the text delays nobody, however many VMs there are.  Each VM is in the text as it is in
 * its turn.  A VM that goes before its turn, or comes after the text was begun, is not there.
 */
#ifndef HMEMD_DOCUMENT_H
#define HMEMD_DOCUMENT_H

#include <stddef.h>

#include "loop.h"

struct hmemd;
struct vm;

/* What a document says.  Functions that return NULL lack memory. */
struct document_kind {
	/* The path in a URL, and the content type, of HTTP. */
	const char *path, *type;
	/* Begin with hmemd's part.  Returns the state of the other functions. */
	void *(*begin)(const struct hmemd *d);
	void (*add_vm)(void *state, const struct vm *vm);
	/* Returns the text, which the caller frees. */
	char *(*text)(void *state, size_t *len);
	/* Free the state; not NULL. */
	void (*end)(void *state);
};

struct document {
	const struct document_kind *kind;
	struct hmemd *d;
	/* Takes over the text; NULL: there is no memory for the text. */
	void (*done)(struct document *doc, char *text, size_t len);
	struct turn turn;
	/* While the text is made; NULL otherwise. */
	void *state;
	/*
	 * The serial of the last VM in the text; and of the last VM that had come when the text
	 * was begun, so that the text has an end, and no VM twice.
	 */
	uint64_t last_vm, end;
	/* Turns that were taken for texts. */
	uint64_t slices;
};

void document_init(struct document *doc, const struct document_kind *kind, struct hmemd *d,
		   void (*done)(struct document *doc, char *text, size_t len));

/* Make the text, if that is not under way.  Calls @doc->done in a later turn. */
void document_make(struct document *doc);

/* Make the text no more; @doc->done is not called. */
void document_stop(struct document *doc);

#endif /* HMEMD_DOCUMENT_H */
