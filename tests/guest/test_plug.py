# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest loses memory, and gets it back, while all pages move.  The code that takes
memory relies on having the only references to pages that are not on an LRU list: the
kernel warns if there are others (panic_on_warn=1)."""

import re

from guest import test
from vm import MIB

STOP = "/run/stop"
PLUGGED = 256


class Moves:
    """A program that writes its memory all the time, and jobs that move all pages."""

    def __init__(self, rig, vm):
        self.rig, self.vm = rig, vm
        self.tier = 0
        self.program = vm.spawn(f"anon 16 {STOP} calm")
        self.program.wait_for("start")

    def move(self):
        self.tier = 1 - self.tier
        self.rig.daemon.migrate_all(self.tier)
        assert self.program.status is None, self.program.output

    def finish(self):
        self.vm.run(f"touch {STOP}")
        print(self.program.wait())


@test(kernels=("6.12",), debug=True, timeout=900)
def virtio_mem_takes_memory(rig):
    """virtio-mem takes 2 MiB at a time, and keeps them until a block is complete."""
    vm = rig.boot(poison=True, dram=128, nvm=128, append="numa_balancing=disable "
                  "memhp_default_state=online_movable",
                  args=("-m", f"maxmem={512 + PLUGGED}M", "-object",
                        f"memory-backend-memfd,id=more,size={PLUGGED}M,share=on",
                        "-device", "virtio-mem-pci,id=more0,memdev=more,node=1"))

    def plugged(size):
        vm.qmp("qom-set", path="/machine/peripheral/more0", property="requested-size",
               value=size * MIB)
        for _ in range(60):
            moves.move()
            if vm.qom("size", "more0") == size * MIB:
                return
        raise AssertionError(f"{vm.qom('size', 'more0') // MIB} instead of {size} MiB")
    moves = Moves(rig, vm)
    for _ in range((1 if rig.debug else 3) * rig.rounds):
        plugged(PLUGGED)
        plugged(0)
    moves.finish()


@test(kernels=("6.12",), debug=True, timeout=900)
def memory_goes_offline(rig):
    """Blocks of memory go offline one after the other, and come back."""
    # Otherwise the kernel itself could use these few blocks.
    vm = rig.boot(poison=True, dram=128, nvm=512,
                  append="numa_balancing=disable movablecore=512M nokaslr")
    memory = "/sys/devices/system/node/node1"

    def offline(block):
        return vm.spawn(f"echo offline > {memory}/{block}/state")

    def online(block):
        vm.run(f"echo online_movable > {memory}/{block}/state")

    # The first and the last block have pages that cannot move.
    blocks = []
    for block in sorted(re.findall(r"memory\d+", vm.run(f"ls -d {memory}/memory*"))):
        process = offline(block)
        process.wait(check=False)
        if process.status == 0:
            online(block)
            blocks.append(block)
    print(f"{blocks} can go offline")
    assert len(blocks) >= 2, blocks
    moves = Moves(rig, vm)
    for _ in range((1 if rig.debug else 3) * rig.rounds):
        for block in blocks:
            process = offline(block)
            while process.status is None:
                moves.move()
            assert process.status == 0, f"{block}: {process.output}"
            online(block)
    moves.finish()
