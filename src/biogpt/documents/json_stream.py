"""JSON as a stream: values, one at a time, however they are laid out over lines."""

import codecs
import json
from collections.abc import Iterator
from typing import IO, Any, NoReturn

from biogpt.errors import DataError
from biogpt.files import MAX_RECORD_BYTES, Reading

_BLANKS = " \t\r\n"
_CHUNK = 1 << 16
_NEAR_END = 16  # characters: a token that ends this close to the end of what was read may go on behind it


class JsonScanner:
    """JSON values from a stream, one at a time.

    Args:
        stream: the JSON.
        reading: whom it is read for.
        expected: what the file should be, for the message where it is not JSON.
    """

    def __init__(self, stream: IO[bytes], reading: Reading, expected: str = "JSON") -> None:
        self._stream = stream
        self._reading = reading
        self._expected = expected
        self._decoder = json.JSONDecoder()
        self._characters = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._place = 0
        self._passed = 0
        self._is_finished = False

    def next_character(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _BLANKS:
                self._place += 1
            if self._place < len(self._text) or not self._read(_CHUNK):
                return self._text[self._place : self._place + 1]

    def elements(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        for _ in self._separated("]"):
            yield self.value()

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller reads each value before it asks for the next."""
        for _ in self._separated("}"):
            key = self.value()
            if not isinstance(key, str) or self.next_character() != ":":
                self.fail("expected a key and a colon")
            self._place += 1
            yield key

    def _separated(self, end: str) -> Iterator[None]:
        self._place += 1
        is_first = True
        while self.next_character() != end:
            if not is_first:
                if self.next_character() != ",":
                    self.fail(f"expected ',' or '{end}'")
                self._place += 1
            is_first = False
            yield
        self._place += 1

    def value(self) -> Any:
        """The value that begins here."""
        self.next_character()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR_END
                if not is_cut or not self._read(size):
                    self.fail(error.msg, error.pos)
                size *= 2
            except RecursionError:
                self.fail("nested too deeply")
            else:
                if end == len(self._text) and self._read(_CHUNK):
                    continue  # a number may go on
                self._passed += end
                self._text, self._place = self._text[end:], 0
                return value

    def _read(self, size: int) -> bool:
        """Take in more of the stream; False at its end."""
        if self._is_finished:
            return False
        if len(self._text) > MAX_RECORD_BYTES:
            self.fail(f"one document of {MAX_RECORD_BYTES >> 20} MB or more")
        data = self._stream.read(size)
        self._is_finished = not data
        try:
            self._text += self._characters.decode(data, final=self._is_finished)
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); expected UTF-8 text. Convert it."
            raise DataError(f"{self._reading.path} {message}") from error
        return True

    def fail(self, message: str, place: int | None = None) -> NoReturn:
        """Stop: what follows cannot be read."""
        character = self._passed + (self._place if place is None else place) + 1
        advice = f"Expected {self._expected}; fetch the file again, or leave it out."
        raise DataError(f"{self._reading.path}: not JSON ({message}, character {character:,}). {advice}")
