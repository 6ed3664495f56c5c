# SPDX-License-Identifier: GPL-2.0-or-later
"""When DRAM is full, a page can still be promoted in exchange for another page."""

from collections import Counter

from daemon import REASONS
from guest import test
from peer import Peer

PAGES = 3000
EACH = 200      # hints for each direction in one batch


@test(check=("6.1",), debug=True)
def full_dram(rig):
    peer = Peer(rig.dir)
    # Without poisoning, for which the kernel would use half of this node.  One processor:
    # pages that another processor has just freed are not available.
    vm = rig.boot(ready=False, dram=128, nvm=256, cpus=1, append="numa_balancing=disable")
    peer.wait_ready()
    # Off, because compaction of the full node would move hinted pages.
    vm.run("echo 0 > /proc/sys/vm/compaction_proactiveness")
    process = vm.spawn(f"exchange {PAGES} /run/go")
    process.wait_for("full")
    lines = {words[0]: words[1:] for words in
             (line.split() for line in process.output.splitlines())}
    low, high = (list(map(int, lines[k])) for k in ("low", "high"))
    vm.run("echo 1 > /proc/sys/vm/drop_caches")

    def hint(pages):
        results = peer.hint(pages)
        assert sum(1 << order for _, _, order, _ in results) == len(pages)
        where = {}
        count = Counter()
        for gfn, new, order, reason in results:
            count[REASONS[reason]] += 1 << order
            for k in range(1 << order):
                where[gfn + k] = new + k
        return where, count

    # Promotions use up the remaining room.
    promoted, count = 0, {}
    while True:
        part, high = high[:EACH], high[EACH:]
        assert len(part) == EACH, f"DRAM does not fill up: {promoted}, {count}"
        _, count = hint([(g, 0, 0) for g in part])
        promoted += count["moved"]
        if count["no-memory"] == EACH:
            break
    # These did not move, and do not move now.
    _, count = hint([(g, 0, 0) for g in part])
    assert count == {"no-memory": EACH}, count

    # With demotions in the same batch they move, whatever the order of the hints.
    for number in range(5):
        down, low = low[:EACH], low[EACH:]
        pages = [(g, 0, 0) for g in part] + [(g, 0, 1) for g in down]
        if number & 1:
            pages.reverse()
        where, count = hint(pages)
        assert count == {"moved": 2 * EACH}, (number, count)
        # Demoted pages are the next to be promoted.
        low += [where[g] for g in part]
        part = [where[g] for g in down]
    vm.run("touch /run/go")
    output = process.wait()
    # As many pages have left DRAM as have come.
    assert output.splitlines()[-1] == f"nodes {EACH} {PAGES - promoted - EACH}", \
        (output.splitlines()[-1], promoted)
