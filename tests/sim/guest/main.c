/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that accesses only the memory that its command line names.  The
 * command line is a list of steps, with numbers in hexadecimal:
 *
 *	r:ADDRESS:LINES		load from each line, in ascending order
 *	w:ADDRESS:LINES		store to each line
 *	s:ADDRESS:LOADS:BYTES	load from every BYTES bytes, in ascending order
 *	x:ADDRESS:LINES		load across the end of each line
 *	f:ADDRESS:LINES		make a cycle of pointers through all lines, in
 *				disorder; LINES is a power of two
 *	c:ADDRESS:LINES		follow the cycle for LINES steps
 *	p:TO:LINES:FROM		copy lines, in copy_lines()
 *	P:TO:LINES:FROM		the same, called by copy_pages()
 *	m:0:MARK		execute a mark
 *	z:ADDRESS:PAGES		clear the accessed bits of PAGES pages of 2 MiB
 *	a:ADDRESS:PAGES		count the bits that are set; the number replaces
 *				the nanoseconds
 *	k:ADDRESS:PAGES:TABLES	map PAGES pages of 2 MiB by pages of 4 KiB, with
 *				the page tables at TABLES, a page for each
 *	t:0:0			empty the TLB
 *	q:0:0			the end
 *
 *	l:0:LOOPS		two instructions for each loop, and no access
 *	/:0:0			what follows is for the next processor
 *
 * Each step is enclosed by two marks of kind 3, between which the guest makes no
 * other access.  The guest writes "STEP NANOSECONDS" of each step to the debug
 * console.
 *
 * If there are steps for more than one processor, all processors begin at the same time.
 * The steps of the others are written when all have ended, and then "/ NANOSECONDS" from
 * the begin to the last one's end.
 */
#include <stdint.h>

#define MAX_STEPS 64
#define MAX_CPUS 4
#define TRAMPOLINE 0x8000	/* a free page below 1 MiB */
#define WRITABLE 3		/* bits in an entry of the page directory */
#define ACCESSED (1 << 5)

/* From start.S: maps the first GiB in pages of 2 MiB. */
extern volatile uint64_t directory[512];

#define MARK(op)							\
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00\n\t"			\
		     ".long 0x686d0000 + %c0" : : "i"(op) : "memory")

struct step {
	char what;
	uint64_t address, lines, from;
};

static struct step steps[MAX_STEPS];

static struct cpu {
	const struct step *steps;	/* the list ends with 0, '/' or 'q' */
	uint64_t results[MAX_STEPS];
	volatile int state;		/* of those below */
} cpus[MAX_CPUS];

enum { OFF, READY, DONE };

static volatile int go;

static void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

__attribute__((noreturn)) static void quit(void)
{
	out8(0xf4, 0);
	for (;;)
		asm volatile("hlt");
}

static uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static void print(char what, uint64_t number)
{
	char digits[20];
	int n = 0;

	out8(0xe9, what);
	out8(0xe9, ' ');
	do {
		digits[n++] = '0' + number % 10;
		number /= 10;
	} while (number);
	while (n)
		out8(0xe9, digits[--n]);
	out8(0xe9, '\n');
}

static const char *parse_number(const char *s, uint64_t *number)
{
	*number = 0;
	for (; *s && *s != ':' && *s != ' '; s++)
		*number = *number * 16 +
			(*s <= '9' ? *s - '0' : *s - 'a' + 10);
	return *s == ':' ? s + 1 : s;
}

static void parse(const char *s)
{
	unsigned int i = 0;

	while (*s && i < MAX_STEPS - 1) {
		struct step *step = &steps[i++];

		step->what = *s;
		s = parse_number(s + 2, &step->address);
		s = parse_number(s, &step->lines);
		s = parse_number(s, &step->from);
		while (*s == ' ')
			s++;
	}
}

/* Called by copy_pages() and by other steps. */
__attribute__((noinline)) void copy_lines(uint64_t to, uint64_t from,
					  uint64_t lines)
{
	uint64_t word;

	MARK(3);
	for (; lines; lines--, to += 64, from += 64)
		asm volatile("movq (%1), %0\n\tmovq %0, (%2)"
			     : "=&r"(word) : "r"(from), "r"(to) : "memory");
	MARK(3);
}

/* Write to the stack that copy_pages() will use, so that it writes no line first. */
__attribute__((noinline)) static void dirty_stack(void)
{
	volatile char below[256];
	unsigned int i;

	for (i = 0; i < sizeof(below); i++)
		below[i] = 0;
}

/* The plugin's option copy= names this function as the kernel's migration. */
__attribute__((noinline)) void copy_pages(uint64_t to, uint64_t from,
					  uint64_t lines)
{
	copy_lines(to, from, lines);
	asm volatile("");	/* no tail call */
}

static void make_cycle(uint64_t address, uint64_t lines)
{
	uint64_t i = 0, left, next;

	for (left = lines; left; left--) {
		/* A full cycle: the increment is odd, the factor 1 mod 4. */
		next = (i * 1664525 + 1013904223) & (lines - 1);
		*(volatile uint64_t *)(address + i * 64) = address + next * 64;
		i = next;
	}
}

static uint64_t count_accessed(uint64_t address, uint64_t pages)
{
	uint64_t first = address >> 21, num = 0, i;

	for (i = first; i < first + pages; i++)
		num += !!(directory[i] & ACCESSED);
	return num;
}

static void clear_accessed(uint64_t address, uint64_t pages)
{
	uint64_t first = address >> 21, i;

	for (i = first; i < first + pages; i++)
		directory[i] &= ~(uint64_t)ACCESSED;
}

static void empty_tlb(void)
{
	uint64_t root;

	asm volatile("movq %%cr3, %0\n\tmovq %0, %%cr3" : "=r"(root) : : "memory");
}

static void map_small(uint64_t address, uint64_t pages, uint64_t tables)
{
	uint64_t first = address >> 21, i, j;

	for (i = 0; i < pages; i++) {
		volatile uint64_t *table = (uint64_t *)(tables + i * 4096);

		for (j = 0; j < 512; j++)
			table[j] = ((first + i) << 21 | j << 12) + WRITABLE;
		directory[first + i] = (uint64_t)table + WRITABLE;
	}
	empty_tlb();
}

/* Returns the number that the guest is to write. */
static uint64_t one_step(const struct step *step)
{
	uint64_t address = step->address, lines = step->lines, begin, word;

	begin = now();
	switch (step->what) {
	case 'r':
		MARK(3);
		for (; lines; lines--, address += 64)
			asm volatile("movq (%1), %0" : "=r"(word)
				     : "r"(address) : "memory");
		MARK(3);
		break;
	case 'w':
		MARK(3);
		for (; lines; lines--, address += 64)
			asm volatile("movq %0, (%0)" : : "r"(address) : "memory");
		MARK(3);
		break;
	case 's':
		MARK(3);
		for (; lines; lines--, address += step->from)
			asm volatile("movq (%1), %0" : "=r"(word)
				     : "r"(address) : "memory");
		MARK(3);
		break;
	case 'x':
		MARK(3);
		for (; lines; lines--, address += 64)
			asm volatile("movl 62(%1), %k0" : "=r"(word)
				     : "r"(address) : "memory");
		MARK(3);
		break;
	case 'f':
		make_cycle(address, lines);
		break;
	case 'c':
		MARK(3);
		for (; lines; lines -= 8)
			asm volatile(".rept 8\n\tmovq (%0), %0\n\t.endr"
				     : "+r"(address) : : "memory");
		MARK(3);
		break;
	case 'p':
		copy_lines(step->address, step->from, lines);
		break;
	case 'P':
		dirty_stack();
		copy_pages(step->address, step->from, lines);
		break;
	case 'z':
		clear_accessed(address, lines);
		break;
	case 'a':
		return count_accessed(address, lines);
	case 'k':
		map_small(address, lines, step->from);
		break;
	case 't':
		empty_tlb();
		break;
	case 'm':
		switch (lines) {
		case 1:
			MARK(1);
			break;
		case 2:
			MARK(2);
			break;
		case 4:
			MARK(4);
			break;
		case 5:
			MARK(5);
			break;
		}
		break;
	case 'l':
		asm volatile("1:\tdecq %0\n\tjnz 1b" : "+r"(lines));
		break;
	}
	return now() - begin;
}

static int is_end(const struct step *step)
{
	return !step->what || step->what == '/' || step->what == 'q';
}

static void write_msr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value),
		     "d"((uint32_t)(value >> 32)) : "memory");
}

static uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

/* Called by start.S. */
void run_other(uint64_t number);
void run_other(uint64_t number)
{
	struct cpu *cpu = &cpus[number];
	unsigned int i;

	cpu->state = READY;
	while (!go)
		asm volatile("pause");
	for (i = 0; !is_end(&cpu->steps[i]); i++)
		cpu->results[i] = one_step(&cpu->steps[i]);
	cpu->state = DONE;
}

/* Start processors 1 to num - 1, and wait until they run. */
static void start_others(unsigned int num)
{
	extern const char trampoline[], trampoline_end[];
	volatile char *to = (volatile char *)TRAMPOLINE;
	unsigned int i;

	for (i = 0; i < trampoline_end - trampoline; i++)
		to[i] = trampoline[i];
	write_msr(0x1b, read_msr(0x1b) | 1 << 10);	/* x2APIC */
	for (i = 1; i < num; i++) {
		write_msr(0x830, (uint64_t)i << 32 | 0x4500);	/* INIT */
		write_msr(0x830, (uint64_t)i << 32 | 0x4600 | TRAMPOLINE >> 12);
		while (cpus[i].state != READY)
			asm volatile("pause");
	}
}

/* Wait for the other processors, and write their results. */
static void finish_others(unsigned int num, uint64_t begin)
{
	unsigned int i, j;
	uint64_t end;

	for (i = 1; i < num; i++)
		while (cpus[i].state != DONE)
			asm volatile("pause");
	end = now();
	for (i = 1; i < num; i++)
		for (j = 0; !is_end(&cpus[i].steps[j]); j++)
			print(cpus[i].steps[j].what, cpus[i].results[j]);
	print('/', end - begin);
}

struct start_info {
	uint32_t magic, version, flags, num_modules;
	uint64_t modules, command_line;
};

void run(const struct start_info *info);
void run(const struct start_info *info)
{
	unsigned int i, num = 1;
	uint64_t begin;

	parse((const char *)(uintptr_t)info->command_line);
	for (i = 0; steps[i].what && num < MAX_CPUS; i++)
		if (steps[i].what == '/')
			cpus[num++].steps = &steps[i + 1];
	if (num > 1)
		start_others(num);
	begin = now();
	go = 1;
	for (i = 0; !is_end(&steps[i]); i++)
		print(steps[i].what, one_step(&steps[i]));
	if (num > 1)
		finish_others(num, begin);
	quit();
}
