"""The one error of this package: what went wrong and what to do about it."""


class EmbeddedError(Exception):
    """An embedded server could not do what was asked; the last line says how to go on."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n{remedy}.")
        self.message = message
        self.remedy = remedy
