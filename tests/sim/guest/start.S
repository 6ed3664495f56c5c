/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From where QEMU starts a PVH kernel (32 bits, no paging, %ebx points to the
 * start info) to run() in 64 bits, with the first GiB mapped one to one.  Other
 * processors go from trampoline, in real mode, to run_other().
 */
	.section .note.pvh, "a"
	.long	4, 4, 18	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start

	.macro	enter_long_mode
	movl	%cr4, %eax
	orl	$0x20, %eax	/* PAE */
	movl	%eax, %cr4
	movl	$root, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax	/* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000001, %eax
	movl	%eax, %cr0
	.endm

	.text
	.code16
	.globl	trampoline, trampoline_end
trampoline:
	cli
	lgdtl	%cs:other_gdt_pointer - trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$24, $other_protected
other_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code32
other_protected:
	enter_long_mode
	ljmp	$8, $other_long_mode

	.globl	start
start:
	cld
	movl	$stack_end, %esp

	/*
	 * First map 4 MiB by 32-bit page tables in pages of 4 KiB, and read some of the image,
	 * which misses the TLB: the simulator must not take these tables for 64-bit ones.
	 */
	xorl	%ecx, %ecx
3:	movl	%ecx, %eax
	shll	$12, %eax
	orl	$3, %eax
	movl	%eax, small_table(, %ecx, 4)
	incl	%ecx
	cmpl	$1024, %ecx
	jb	3b
	movl	$small_table + 3, small_directory
	movl	$small_directory, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	movl	$0x200000, %ecx
4:	movl	(%ecx), %eax
	addl	$4096, %ecx
	cmpl	$0x204000, %ecx
	jb	4b
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0

	movl	$directory + 3, pointers
	movl	$pointers + 3, root
	xorl	%ecx, %ecx
1:	movl	%ecx, %eax	/* 2 MiB a page, writable */
	shll	$21, %eax
	orl	$0x83, %eax
	movl	%eax, directory(, %ecx, 8)
	incl	%ecx
	cmpl	$512, %ecx
	jb	1b

	lgdt	gdt_pointer
	enter_long_mode
	ljmp	$8, $long_mode

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%ebx, %edi
	call	run
2:	hlt
	jmp	2b

other_long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$1, %eax	/* the number of the processor: bits 24 to 31 of %ebx */
	cpuid
	shrl	$24, %ebx
	movl	%ebx, %edi
	shll	$14, %ebx
	leaq	other_stacks(%rbx), %rsp
	call	run_other
5:	hlt
	jmp	5b

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00209a0000000000	/* 64-bit code */
	.quad	0x0000920000000000	/* data */
	.quad	0x00cf9a000000ffff	/* 32-bit code */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.bss
	.balign	4096
root:
	.skip	4096
pointers:
	.skip	4096
small_directory:
	.skip	4096
small_table:
	.skip	4096
	.globl	directory
directory:
	.skip	4096
	.skip	16384
stack_end:
	/* A stack ends at 16 KiB times the number of its processor, from 1. */
other_stacks:
	.skip	3 * 16384
