# SPDX-License-Identifier: GPL-2.0-or-later
# virtio-hmem: `make help` says what there is.
#
# Everything that is fetched or built lies in $(HMEM_CACHE), never in here.

HMEM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/virtio-hmem
override HMEM_CACHE := $(abspath $(HMEM_CACHE))
export HMEM_CACHE
ifdef QEMU_SRC
export QEMU_SRC
endif

PREFIX ?= /usr/local
DEMO_KERNEL ?= 6.12
TESTS ?=
# of make fuzz
RUNS ?= 10000
FUZZ_QEMU ?= 10.0
# of make soak
CYCLES ?= 1000
SEED ?=
# of make soak-resize
RESIZES ?= 10000
# of make bench
OUT ?= $(HMEM_CACHE)/bench/out
WORKLOADS ?=
CONFIGS ?=
QUICK ?=
BENCH_ARGS ?=
# of make deb and make deb-qemu
DEB_SUITES ?= bookworm trixie
# of make check-upgrade
UPGRADE_FROM ?=
host := $(HMEM_CACHE)/build/host

# Downloads and builds take turns by themselves.
.NOTPARALLEL:

all: qemu module host

help:
	@echo 'make demo                 see it work: DEMO_KERNEL=6.1|6.12|7.3'
	@echo 'make demo-pool            see four guests share DRAM, and one trade, on simulated NVM'
	@echo 'make check                the tests; TESTS="NAME..." for some of them'
	@echo 'make check-kernels        each test in a guest on all of its kernels'
	@echo 'make check-kvm            all that is done on real KVM, in nested guests'
	@echo 'make check-debug-kernel   the storms on a kernel with KASAN, UBSAN and lockdep'
	@echo 'make check-matrix         each supported kernel with each supported QEMU'
	@echo 'make check-all            all of these'
	@echo 'make fuzz                 fuzz the device and hmemd: RUNS=10000 executions each;'
	@echo '                          TESTS="hmemd..." for some, FUZZ_QEMU=10.0|10.2'
	@echo 'make soak                 kill, stop and starve hmemd and its peers: CYCLES=1000;'
	@echo '                          SEED=N repeats what has failed'
	@echo 'make soak-resize          10000 random resizes, with reboots, migrations and more;'
	@echo '                          RESIZES=N, SEED= as above'
	@echo 'make bench                how policies and baselines stand, on simulated NVM:'
	@echo '  OUT=DIR                 results and logs; resumed if it has some'
	@echo '  WORKLOADS=A,B CONFIGS=X,Y QUICK=1; BENCH_ARGS=--help shows more'
	@echo 'make bench-pool           what VMs gain by trades, and by sharing DRAM; OUT=DIR,'
	@echo '                          WORKLOADS= and CONFIGS= as above'
	@echo 'make                      qemu, module and host:'
	@echo '  make qemu               QEMU with the device; QEMU_SRC=DIR for your own'
	@echo '  make module             virtio_hmem.ko; KDIR=DIR for the kernel to use,'
	@echo '                          else those of the tests: 6.1, 6.12 and 7.3'
	@echo '  make host               hmemd and hmemctl'
	@echo 'make install              hmemd, hmemctl and manual pages into $$(PREFIX)'
	@echo 'make deb                  Debian packages: DEB_SUITES="bookworm trixie"; needs root'
	@echo 'make deb-qemu             packages of QEMU with the device, and of the simulator'
	@echo 'make check-deb            build, install, use and remove the packages of make deb'
	@echo '                          in fresh roots; check-deb-qemu: those of both, with libvirt'
	@echo 'make check-install        all packages on a fresh host, with libvirt, metrics and the'
	@echo '                          page, up to an upgrade of hmemd; SCREENSHOT=FILE for the page'
	@echo 'make check-ubuntu         build the driver for the kernels of Ubuntu; needs root'
	@echo 'make check-upgrade        upgrade hmemd from the package of an older commit while a'
	@echo '                          virtual machine is connected: UPGRADE_FROM=COMMIT'
	@echo 'make clean                remove builds, keep downloads'
	@echo
	@echo 'HMEM_CACHE=$(HMEM_CACHE)'

packages:
	@tests/env/packages
	@tests/env/own-builds

qemu: packages
	tests/env/qemu

module: packages
ifdef KDIR
	$(MAKE) -C guest-driver KDIR=$(KDIR) OUT=$(HMEM_CACHE)/build/module
else
	@for k in 6.1 6.12 7.3; do tests/env/module $$k || exit; done
endif

host: packages
	+@tests/env/build host host-backend

check: packages
	@tests/run $(TESTS)

check-kernels: packages
	@tests/run $(or $(TESTS),guest)

check-kvm: packages
	@tests/run $(or $(TESTS),kvm)

check-debug-kernel: packages
	@tests/run --debug-kernel $(TESTS)

check-matrix: packages
	@tests/matrix

# check-kernels has all that check-matrix has.
check-all: check check-kernels check-kvm check-debug-kernel

fuzz: packages
	@tests/fuzz/run --qemu $(FUZZ_QEMU) --runs $(RUNS) $(TESTS)

soak: packages
	@tests/soak $(CYCLES) $(SEED)

soak-resize: packages
	@tests/soak --resize $(RESIZES) $(SEED)

bench: packages
	@tests/bench/bench --out '$(OUT)' $(if $(QUICK),--quick) \
		$(if $(WORKLOADS),--workloads '$(WORKLOADS)') \
		$(if $(CONFIGS),--configs '$(CONFIGS)') $(BENCH_ARGS)

bench-pool: packages
	@tests/bench/pool --out '$(OUT)' $(if $(WORKLOADS),--workloads '$(WORKLOADS)') \
		$(if $(CONFIGS),--configs '$(CONFIGS)') $(BENCH_ARGS)

demo: packages
	@tests/demo/demo $(DEMO_KERNEL)

demo-pool: packages
	@tests/demo/pool

install: host
	$(MAKE) -C host-backend OUT=$(host) PREFIX=$(PREFIX) install

deb:
	@for s in $(DEB_SUITES); do tests/env/deb $$s || exit; done

check-deb:
	@for s in $(DEB_SUITES); do tests/env/deb $$s --check || exit; done

check-ubuntu:
	@tests/env/module-ubuntu

check-upgrade:
	@for s in $(DEB_SUITES); do tests/env/deb-upgrade $$s $(UPGRADE_FROM) || exit; done

check-install:
	@for s in $(DEB_SUITES); do tests/env/deb-install $$s || exit; done

deb-qemu: packages
	@for s in $(DEB_SUITES); do tests/env/deb-qemu $$s || exit; done

check-deb-qemu: packages
	@for s in $(DEB_SUITES); do tests/env/deb-qemu $$s --check || exit; done

clean:
	rm -rf $(HMEM_CACHE)/build $(HMEM_CACHE)/initramfs $(HMEM_CACHE)/logs
	rm -rf $(HMEM_CACHE)/qemu/*/build $(HMEM_CACHE)/qemu/*/fuzz
	rm -rf $(HMEM_CACHE)/demo $(HMEM_CACHE)/bench
	rm -rf $(HMEM_CACHE)/kvm $(HMEM_CACHE)/deb/*/build $(HMEM_CACHE)/deb/*/qemu*
	rm -rf $(HMEM_CACHE)/upgrade $(HMEM_CACHE)/deb/*/from-* $(HMEM_CACHE)/deb/*/ubuntu

.PHONY: all help packages qemu module host check check-kernels check-kvm \
	check-debug-kernel check-matrix check-all fuzz soak soak-resize demo demo-pool bench \
	bench-pool install deb check-deb check-ubuntu check-upgrade check-install \
	deb-qemu check-deb-qemu clean
