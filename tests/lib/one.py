# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one guest test:  one.py FILE TEST KERNEL DIRECTORY

Exit status 0: passed, 1: failed, 77: skipped; standard error says why."""

import pathlib
import signal
import sys
import traceback

import env
import guest
import vm


def main():
    path, name, kernel, directory = sys.argv[1:]
    # A timeout then raises an exception, and the log has a traceback.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = [t for t in guest.load(pathlib.Path(path)) if t.name == name]
    if not found:
        print(f"{path} has no test {name}", file=sys.stderr)
        return 1
    rig = guest.Rig(kernel, directory, found[0].parallel)
    status = 0
    for step in (lambda: found[0].function(rig), rig.finish):
        try:
            step()
        except guest.Skip as e:
            print(e, file=sys.stderr)
            status = status or 77
        except KeyboardInterrupt:
            traceback.print_exc()
            status = 1
        except (env.Error, vm.VMError) as e:
            traceback.print_tb(e.__traceback__)
            print(f"\n{e}", file=sys.stderr)
            status = 1
        except Exception:
            traceback.print_exc()
            status = 1
    return status


sys.exit(main())
