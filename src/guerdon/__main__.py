"""The command line: `guerdon COMMAND`, also `python -m guerdon COMMAND`."""

from guerdon.cli.application import main

if __name__ == "__main__":
    main()
