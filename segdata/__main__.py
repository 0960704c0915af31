"""`python -m segdata`, for where the command `segdata` is not on the path."""

from segdata.cli.main import main

if __name__ == "__main__":
    main()
