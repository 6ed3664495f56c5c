# SPDX-License-Identifier: GPL-2.0-or-later
"""Static functions of the driver, one by one (tests/guest/parts)."""

import re

import env
import modules
from guest import test


@test(kernels=env.KERNELS, debug=True)
def static_functions(rig):
    vm = rig.boot(ready=False, hmem=None, dram=128, nvm=128, module=False)
    modules.install(vm, "parts", "hmem_parts")
    status = vm.status("insmod /tmp/hmem_parts.ko")
    said = vm.run("dmesg | grep hmem_parts:")
    found = re.search(r"(\d+) checks, (\d+) failed", said)
    assert found and status == 0 and int(found[2]) == 0 and int(found[1]) > 1000, said
