"""Failures: every error that a client sees, in the shape of OpenAI's error objects."""

from typing import Any

from biogpt.errors import BioGptError, CheckpointError, is_out_of_memory


class ApiError(Exception):
    """A request that is not answered as asked.

    Args:
        status: of HTTP.
        message: what was got, what was expected, and what to do. Never a text of the request.
        type: OpenAI's kind of error.
        param: the field that is wrong.
        code: a word for programs, such as `model_not_found`.
        retry_after: seconds after which to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The answer's own headers."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return headers | ({"www-authenticate": "Bearer"} if self.status == 401 else {})


def describe_failure(error: BaseException) -> ApiError:
    """What a client is told of an error that work ended with. Messages of ours are passed on, others are not."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, CheckpointError):
        return ApiError(503, f"The model cannot be used: {error}", type="server_error", code="model_unavailable")
    if isinstance(error, BioGptError):
        return ApiError(400, str(error))
    if is_out_of_memory(error):
        message = "Out of memory. Send less at once, or try again later."
        return ApiError(503, message, type="server_error", code="out_of_memory", retry_after=5)
    if isinstance(error, TimeoutError):
        message = "The answer took longer than the server allows. Send less at once, or try again later."
        return ApiError(504, message, type="server_error", code="timeout")
    return ApiError(500, "The server failed; its log has the reason.", type="server_error", code="internal_error")
