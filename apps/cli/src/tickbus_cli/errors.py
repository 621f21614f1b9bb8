"""The one error of the command line: what is wrong and what to do about it, never a stack trace."""


class CliError(Exception):
    """Ends the command with `exit_code`; `remedy` says how to go on."""

    def __init__(self, message: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message
