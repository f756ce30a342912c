"""What a test has measured, for whoever runs it with -s."""


def told(line: str) -> None:
    print(f"\n{line}")  # noqa: T201 - meant for a person
