"""The command `jaxinv`. It stands outside the package so that Ctrl-C is answered while the package is imported."""

import os
import shlex
import signal
import sys


def main() -> int:
    """Import the command line and run it; returns the exit code."""
    signal.signal(signal.SIGINT, _leave)
    # runs go on beside each other, one on each core: threads of the linear algebra would only wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not (count := os.environ.get("JAX_NUM_CPU_DEVICES", "1")).isdecimal() or int(count) == 0:
        print(f"jaxinv: JAX_NUM_CPU_DEVICES must be a positive whole number, got {count!r}; unset it", file=sys.stderr)
        return 2
    from jaxinv.command.interrupt import watch
    from jaxinv.command.main import main as command

    watch()
    try:
        code = command()
    except BrokenPipeError:  # whoever read what is printed has stopped reading
        os._exit(141)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but the end of the interpreter
    return code


def _leave(*_: object) -> None:
    os.write(2, f"jaxinv: interrupted before anything was begun; go on with: {shlex.join(sys.argv)}\n".encode())
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
