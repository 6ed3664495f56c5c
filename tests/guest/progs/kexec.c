// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Load a kernel that this kernel is to start:
 *
 *	kexec now KERNEL INITRD COMMAND-LINE		start it at once, without the firmware
 *	kexec panic KERNEL INITRD COMMAND-LINE		start it when this kernel panics
 */
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kexec.h>
#include <linux/reboot.h>

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	unsigned long flags;

	if (argc != 5 || (strcmp(argv[1], "now") && strcmp(argv[1], "panic")))
		errx(2, "usage: kexec now|panic KERNEL INITRD COMMAND-LINE");
	flags = strcmp(argv[1], "panic") ? 0 : KEXEC_FILE_ON_CRASH;
	if (syscall(SYS_kexec_file_load, open_file(argv[2]), open_file(argv[3]),
		    strlen(argv[4]) + 1, argv[4], flags) < 0)
		err(1, "kexec_file_load");
	if (flags)
		return 0;
	sync();
	/* Returns only if it fails. */
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
	err(1, "reboot");
}
