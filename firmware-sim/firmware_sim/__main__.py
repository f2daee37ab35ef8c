"""`python -m firmware_sim` is the same as the command `firmware-sim`."""

from firmware_sim.cli import main

if __name__ == "__main__":
    main()
