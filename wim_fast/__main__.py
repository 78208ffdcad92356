"""`python -m wim_fast` is the command `wim-fast`."""

from wim_fast.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
