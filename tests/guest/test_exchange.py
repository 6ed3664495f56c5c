# SPDX-License-Identifier: GPL-2.0-or-later
"""When DRAM is full, a page can still be promoted in exchange for another one."""

from collections import Counter

from daemon import REASONS
from guest import test
from peer import Peer

PAGES = 3000
EACH = 200      # of either direction in one batch


@test(debug=True)
def full_dram(rig):
    peer = Peer(rig.dir)
    # One processor: what another one has just freed is not at hand at once.
    vm = rig.boot(ready=False, dram=128, nvm=256, cpus=1, append="numa_balancing=disable")
    peer.wait_ready()
    # A full node is compacted, which moves pages while they are hinted.
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

    # What room is left is taken by promotions.
    promoted, count = 0, {}
    while True:
        part, high = high[:EACH], high[EACH:]
        assert len(part) == EACH, f"DRAM does not fill up: {promoted}, {count}"
        _, count = hint([(g, 0, 0) for g in part])
        promoted += count["moved"]
        if count["no-memory"] == EACH:
            break
    # They did not move, and do not.
    _, count = hint([(g, 0, 0) for g in part])
    assert count == {"no-memory": EACH}, count

    # With demotions in the same batch they do, whatever their order in it.
    for number in range(5):
        down, low = low[:EACH], low[EACH:]
        pages = [(g, 0, 0) for g in part] + [(g, 0, 1) for g in down]
        if number & 1:
            pages.reverse()
        where, count = hint(pages)
        assert count == {"moved": 2 * EACH}, (number, count)
        # Those that went down are the next to come up.
        low += [where[g] for g in part]
        part = [where[g] for g in down]
    vm.run("touch /run/go")
    output = process.wait()
    # As many of the ones that were in DRAM are not any more, as came for them.
    assert output.splitlines()[-1] == f"nodes {EACH} {PAGES - promoted - EACH}", \
        (output.splitlines()[-1], promoted)
