// SPDX-License-Identifier: GPL-2.0-or-later
/* Entries of page tables that are hidden, and shown again. */
#include "hide.c"
#include "parts.h"

#define READ	(_PAGE_PRESENT | _PAGE_USER | _PAGE_NX | _PAGE_ACCESSED)

static void check_entry(unsigned long pfn, pteval_t bits)
{
	pte_t pte = pfn_pte(pfn, __pgprot(bits)), hidden = hmem_flip(pte, HMEM_FLIP_HIDE);
	pte_t waits = hmem_flip(pte, HMEM_FLIP_HIDE | HMEM_FLIP_WAIT);
	pte_t none = pfn_pte(pfn, __pgprot(_PAGE_PROTNONE | _PAGE_ACCESSED));

	CHECK(!hmem_is_hidden(pte));
	CHECK(hmem_is_hidden(hidden));
	CHECK(!(pte_flags(hidden) & _PAGE_PRESENT));
	CHECK_EQ(pte_pfn(hidden), pfn);
	CHECK_EQ(pte_write(hidden), pte_write(pte));
	CHECK_EQ(pte_dirty(hidden), pte_dirty(pte));
	CHECK_EQ(pte_young(hidden), pte_young(pte));
	CHECK_EQ(pte_val(hmem_flip(hidden, HMEM_FLIP_HIDE)), pte_val(pte));
	/* A program that waits sees another entry, but of the same kind. */
	CHECK(hmem_is_hidden(waits));
	CHECK_EQ(pte_pfn(waits), pfn);
	CHECK(!pte_same(waits, hidden));
	CHECK_EQ(pte_val(hmem_flip(waits, HMEM_FLIP_WAIT)), pte_val(hidden));
	/* NUMA balancing and mprotect(PROT_NONE) mark entries otherwise. */
	CHECK(!hmem_is_hidden(none));
	CHECK_EQ(pte_pfn(none), pfn);
}

/* Of two entries that look hidden, only the one that was hidden for its item is changed. */
static void check_foreign(unsigned long pfn)
{
	static struct hmem_hidden hidden;
	const pte_t pte = hmem_flip(pfn_pte(pfn, __pgprot(READ)), HMEM_FLIP_HIDE);
	struct hmem_item own = { .hidden = true }, foreign = { .addr = PAGE_SIZE };
	struct hmem_item *items[2] = { &own, &foreign };
	pte_t entries[2] = { pte, pte };

	hidden.mm = current->mm;
	hidden.items = items;
	hidden.nr = 2;
	hmem_flip_hidden(&hidden, entries, HMEM_FLIP_WAIT);
	CHECK_EQ(pte_val(entries[0]), pte_val(hmem_flip(pte, HMEM_FLIP_WAIT)));
	CHECK(pte_same(entries[1], pte));
}

void hide_parts(void)
{
	static const unsigned long pfns[] = { 1, 0x12345, 0xfffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pfns); i++) {
		check_entry(pfns[i], READ);
		check_entry(pfns[i], READ | _PAGE_RW);
		check_entry(pfns[i], READ | _PAGE_RW | _PAGE_DIRTY);
		check_entry(pfns[i], READ & ~_PAGE_NX);
		check_entry(pfns[i], READ & ~_PAGE_ACCESSED);
		check_foreign(pfns[i]);
	}
}
