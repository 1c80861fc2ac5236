"""A chat on stdin, a JSON object a line, and what the monitor reads of it on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from affectscope.errors import AffectscopeError, UsageError

if TYPE_CHECKING:
    from affectscope.monitor import Monitor, TurnReading
    from affectscope.monitor.conversation import Message


def turns_on_stdin() -> Iterator[tuple[int, dict[str, str]]]:
    """The turns on stdin as they come, with their lines' numbers."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield number, _turn(number, line)


def _turn(number: int, line: bytes) -> dict[str, str]:
    try:
        turn = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise _malformed(number, f"it is not JSON ({error})") from error
    if not isinstance(turn, dict):
        raise _malformed(number, "it is not a JSON object")
    keys = set(turn)
    if keys not in ({"text"}, {"role", "content"}):
        raise _malformed(number, f"it has the keys {', '.join(sorted(keys)) or 'none'}")
    if "role" in turn and turn["role"] not in ("user", "assistant"):
        raise _malformed(number, f"its role is {turn['role']!r}")
    said = turn.get("text", turn.get("content"))
    if not isinstance(said, str) or not said.strip():
        raise _malformed(number, "it has no text")
    return turn


def _malformed(number: int, what: str) -> UsageError:
    return UsageError(
        f"line {number} of stdin cannot be used: {what}",
        expected='{"role": "user" or "assistant", "content": "..."} or {"text": "..."}',
        remedy="correct the line; what was printed for the lines before it holds",
    )


@contextmanager
def at_line(number: int) -> Iterator[None]:
    """An error inside names the line."""
    try:
        yield
    except AffectscopeError as error:
        raise type(error)(
            f"line {number} of stdin: {error.message}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error


@dataclass
class Chat:
    """Reads turns in the order in which they come, and prints what was read."""

    monitor: Monitor
    """What reads it."""
    per_token: bool
    """Whether every token's readings are printed."""
    _messages: list[Message] = field(default_factory=list)
    _forgotten: int = 0
    _n: int = 0

    def take(self, turn: dict[str, str]) -> None:
        """Read a turn in the chat so far, or a text of its own."""
        from affectscope.monitor.conversation import context_of, has_chat_format

        tokenizer = self.monitor.lm.tokenizer
        if "text" in turn:
            self._print(self.monitor.read([turn["text"]])[0], {"role": None, "forgotten": 0})
            return
        role = turn["role"]
        self._forget_what_does_not_fit(
            lambda messages: context_of(tokenizer, messages, role) + turn["content"],
            least=0 if role == "user" else 1,
        )
        before = context_of(tokenizer, self._messages, role)
        kind: Any = role if has_chat_format(tokenizer) else "text"
        read = self.monitor.read([turn["content"]], after=[before], kind=kind)[0]
        self._messages.append(turn)
        self._print(read, {"role": role, "forgotten": self._forgotten})

    def reply(self, *, max_new_tokens: int, temperature: float, seed: int) -> None:
        """Let the model answer the chat's last turn, read as it is written."""
        from affectscope.monitor.conversation import reply_prompt

        if not self._messages or self._messages[-1]["role"] != "user":
            raise UsageError(
                "--reply has nothing to answer: the chat's last turn is not the user's",
                expected='a last line {"role": "user", "content": "..."}',
                remedy="add it, or leave --reply out",
            )
        tokenizer = self.monitor.lm.tokenizer
        self._forget_what_does_not_fit(
            lambda messages: reply_prompt(tokenizer, messages), least=1, new=max_new_tokens
        )
        written, turns = self.monitor.generate(
            [reply_prompt(tokenizer, self._messages)],
            kind="assistant",
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
        said = {"role": "assistant", "forgotten": self._forgotten, "text": written.texts[0]}
        self._print(turns[0], said)

    def _forget_what_does_not_fit(
        self, prompt_of: Callable[[Sequence[Message]], str], *, least: int, new: int = 0
    ) -> None:
        """Drop the oldest turns that leave no room in the model's context, and say so once."""
        from affectscope.monitor.conversation import recent

        lm = self.monitor.lm
        limit = lm.context_length
        if limit is None:
            return

        def fits(messages: Sequence[Message]) -> bool:
            return len(lm.tokenizer.encode(prompt_of(messages))) + new <= limit

        kept = list(recent(self._messages, fits, least=least))
        if len(kept) < len(self._messages) and not self._forgotten:
            typer.echo(
                f"the chat has outgrown the model's context of {limit:,} tokens: its oldest turns "
                "are left out",
                err=True,
            )
        self._forgotten += len(self._messages) - len(kept)
        self._messages = kept

    def _print(self, read: TurnReading, said: dict[str, Any]) -> None:
        from affectscope.atomic import plain

        self._n += 1
        line = {"turn": self._n, **said, **read.as_dict(per_token=self.per_token)}
        typer.echo(json.dumps(_rounded(plain(line)), ensure_ascii=False, allow_nan=False))
        sys.stdout.flush()


def _rounded(value: Any) -> Any:
    """Numbers to four decimals: more would say nothing of a reading."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value
