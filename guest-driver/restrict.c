// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells on which nodes a page may be.
 *
 * The guest's administrator restricts processes to nodes by cpusets.  Programs restrict
 * themselves, or parts of their memory, by policies (MPOL_BIND).  No hint may break such
 * a restriction.  A policy that only prefers nodes is not a restriction.
 *
 * Nor may a hint break mlock().  A base page stays locked when it moves.  But large.c takes
 * a large folio out of the page tables, which unlocks it, and so must leave it alone.
 *
 * Of a process, this file sees the task that its mm names as its owner (CONFIG_MEMCG).
 * It does not see a thread with a cpuset or policy of its own.
 */
#include <linux/fs.h>
#include <linux/interval_tree_generic.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>

#include "compat.h"
#include "hmem.h"

static bool hmem_policy_excludes(const struct mempolicy *pol, int nid)
{
	return pol && pol->mode == MPOL_BIND && !node_isset(nid, pol->nodes);
}

/*
 * Reads the cpuset's nodes without their lock: one bit is either the old or the new
 * value, and both are right.
 */
static bool hmem_task_restricted(struct task_struct *task, int nid,
				 bool own_policy)
{
	bool excluded;

#ifdef CONFIG_CPUSETS
	if (!node_isset(nid, task->mems_allowed))
		return true;
#endif
	if (own_policy || !READ_ONCE(task->mempolicy))
		return false;
	task_lock(task);	/* keeps the task's policy in place */
	excluded = hmem_policy_excludes(task->mempolicy, nid);
	task_unlock(task);
	return excluded;
}

/* With @own_policy, the VMA has a policy, so the task's policy does not count. */
static bool hmem_mm_restricted(struct mm_struct *mm, int nid, bool own_policy)
{
	bool restricted = false;
#ifdef CONFIG_MEMCG
	struct task_struct *owner;

	rcu_read_lock();
	owner = rcu_dereference(mm->owner);
	if (owner)
		restricted = hmem_task_restricted(owner, nid, own_policy);
	rcu_read_unlock();
#endif
	return restricted;
}

bool hmem_vma_restricted(struct vm_area_struct *vma, int nid)
{
	return hmem_policy_excludes(vma->vm_policy, nid) ||
	       hmem_mm_restricted(vma->vm_mm, nid, vma->vm_policy);
}

/* mbind() on a shared mapping of shmem sets a policy for the file itself. */
static bool hmem_shmem_restricted(struct inode *inode, pgoff_t pgoff, int nid)
{
	struct shared_policy *shared;
	struct rb_node *n;
	bool excluded = false;

	if (inode->i_sb->s_magic != TMPFS_MAGIC)
		return false;
	shared = &SHMEM_I(inode)->policy;
	read_lock(&shared->lock);
	n = shared->root.rb_node;
	while (n) {
		struct sp_node *sp = rb_entry(n, struct sp_node, nd);

		if (pgoff >= sp->end) {
			n = n->rb_right;
		} else if (pgoff < sp->start) {
			n = n->rb_left;
		} else {
			excluded = hmem_policy_excludes(sp->policy, nid);
			break;
		}
	}
	read_unlock(&shared->lock);
	return excluded;
}

/* Iterators for the tree of a file's VMAs, as in mm/interval_tree.c. */
static unsigned long hmem_vma_start(struct vm_area_struct *vma)
{
	return vma->vm_pgoff;
}

static unsigned long hmem_vma_last(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, hmem_vma_start, hmem_vma_last,
		     static __maybe_unused, hmem_vma)

u8 hmem_file_check(struct folio *folio, int nid)
{
	struct address_space *mapping = folio->mapping;
	pgoff_t pgoff = folio->index, last = pgoff + folio_nr_pages(folio) - 1;
	struct vm_area_struct *vma;
	unsigned int nr = 0;
	u8 reason = HMEM_PENDING;

	if (hmem_shmem_restricted(mapping->host, pgoff, nid))
		return VIRTIO_HMEM_R_RESTRICTED;
	if (!folio_mapped(folio))
		return HMEM_PENDING;
	if (!i_mmap_trylock_read(mapping))
		return VIRTIO_HMEM_R_LOCKED;
	for (vma = hmem_vma_iter_first(&mapping->i_mmap, pgoff, last);
	     vma && reason == HMEM_PENDING;
	     vma = hmem_vma_iter_next(vma, pgoff, last)) {
		if (++nr > HMEM_MAX_SHARERS)
			reason = VIRTIO_HMEM_R_UNSUPPORTED;
		else if (hmem_mm_restricted(vma->vm_mm, nid, false))
			reason = VIRTIO_HMEM_R_RESTRICTED;
		else if (folio_test_large(folio) && vma->vm_flags & VM_LOCKED)
			reason = VIRTIO_HMEM_R_LARGE;
	}
	i_mmap_unlock_read(mapping);
	return reason;
}
