"""`python -m lockgate`: what `lockgate` runs, where there is no such file on PATH, as in an image."""

from lockgate.tasks.program import main

if __name__ == "__main__":
    main()
