"""The gate in front of a provider: a circuit breaker and a budget of calls by the minute and by the day, one for all processes.

    CLOSED      requests go through
    OPEN        after a 429, or five failures in a row, none does until the cool-down is over
    HALF_OPEN   then one does, the probe: its success closes the circuit, its failure opens it again

Every `now` is real time, the database's own, never the market clock's.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum

from domain.errors import ProviderUnavailable, Trouble

FAILURES_IN_A_ROW = 5
COOL_DOWN_SECONDS = 60
LONGEST_COOL_DOWN_SECONDS = 86_400
PROBE_SECONDS = 15
"""How long a probe keeps others out when its process dies: longer than a request can take."""

_NONE = timedelta()
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


class CircuitState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many calls a provider gets: over any minute as many as that, and as many more at once; and over each UTC day."""

    per_minute: int
    per_day: int

    @property
    def earned_in(self) -> timedelta:
        """The time that earns one call, rounded up: the budget is never exceeded."""
        return -(-timedelta(minutes=1) // self.per_minute)


@dataclass(frozen=True, slots=True)
class Gate:
    """What is remembered of a provider.

    `generation` rises when the circuit opens and with each probe. A request belongs to the one it was let through in: once
    that is over, its success or failure comes too late to mean anything, but for a 429, which is news whenever it comes.
    `spent_until` is when the minute's budget will be whole again: each call taken moves it by the time that earns one. So many
    `calls` have been taken of the day `counted_on`.
    """

    provider: str
    generation: int = 0
    failures: int = 0
    failed_at: datetime | None = None
    last_error: str | None = None
    trouble: Trouble | None = None
    open_until: datetime | None = None
    probe_until: datetime | None = None
    spent_until: datetime | None = None
    counted_on: date | None = None
    calls: int = 0

    def state(self, now: datetime) -> CircuitState:
        if self.open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.open_until else CircuitState.HALF_OPEN

    def retry_in(self, now: datetime) -> timedelta | None:
        """How long nobody is let through; None when somebody would be."""
        shut_until = self.open_until if self.state(now) is CircuitState.OPEN else self.probe_until
        return shut_until - now if shut_until is not None and shut_until > now else None

    # ── coming in

    def entered(self, now: datetime, budget: Budget | None, patience: timedelta) -> "Gate":
        """With a call of the budget (None: it has no end) taken, and, when that can be made now, its caller let through; else
        the caller waits as long as `wait` says and asks to be `admitted` then. Raises ProviderUnavailable, and nothing is
        taken, when that is longer than its patience, or the day's calls are spent."""
        admitted = self.admitted(now)
        if budget is None:
            return admitted
        taken = replace(self, spent_until=max(self.spent_until or now, now) + budget.earned_in)
        wait = taken.wait(now, budget)
        counted_on, calls = self._counted(now + wait)
        if calls >= budget.per_day:
            raise self._exhausted("today's", datetime.combine(counted_on + _DAY, time(), UTC) - now)
        if wait > patience:
            raise self._exhausted("this minute's", wait)
        return replace(taken if wait else admitted, spent_until=taken.spent_until, counted_on=counted_on, calls=calls + 1)

    def wait(self, now: datetime, budget: Budget | None) -> timedelta:
        """How long before the call that was taken last may be made. The budget holds a minute's worth."""
        if budget is None or self.spent_until is None:
            return _NONE
        return max(self.spent_until - now - budget.per_minute * budget.earned_in, _NONE)

    def admitted(self, now: datetime) -> "Gate":
        """With a caller let through; its generation is then the caller's. Raises ProviderUnavailable."""
        shut_for = self.retry_in(now)
        if shut_for is not None:
            raise ProviderUnavailable(self.provider, self.trouble or Trouble.DOWN, self._why(now), whole_seconds(shut_for))
        if self.state(now) is CircuitState.CLOSED:
            return self
        return replace(self, generation=self.generation + 1, probe_until=now + PROBE_SECONDS * _SECOND)

    def _why(self, now: datetime) -> str:
        ago = max(now - (self.failed_at or now), _NONE) // _SECOND
        if self.trouble is Trouble.RATE_LIMITED:
            why = f"said {ago} s ago that it is asked too often"
        else:
            why = f"has failed {self.failures} times in a row, the last time {ago} s ago"
        return why if self.state(now) is CircuitState.OPEN else f"{why}, and another call is trying it again"

    # ── the budget

    def left_this_minute(self, now: datetime, budget: Budget) -> int:
        """How many calls could be made at once."""
        unpaid = max((self.spent_until or now) - now, _NONE)
        return max((budget.per_minute * budget.earned_in - unpaid) // budget.earned_in, 0)

    def left_today(self, now: datetime, budget: Budget) -> int:
        return max(budget.per_day - self._counted(now)[1], 0)

    def _counted(self, at: datetime) -> tuple[date, int]:
        """The day that a call made then counts for, and how many have been taken of it. A day that is over never comes back,
        though the database's clock be set back."""
        day = at.date()
        if self.counted_on is None or self.counted_on < day:
            return day, 0
        return self.counted_on, self.calls

    def _exhausted(self, whose: str, wait: timedelta) -> ProviderUnavailable:
        detail = f"has no calls left in {whose} budget"
        return ProviderUnavailable(self.provider, Trouble.RATE_LIMITED, detail, whole_seconds(wait))

    # ── what came of it

    def succeeded(self, generation: int) -> "Gate":
        """Also when the answer was that there is nothing: then too the provider is well."""
        if generation != self.generation:
            return self
        return Gate(self.provider, self.generation, spent_until=self.spent_until, counted_on=self.counted_on, calls=self.calls)

    def failed(
        self, generation: int, now: datetime, trouble: Trouble, retry_after_seconds: int | None, sentence: str
    ) -> "Gate":
        is_limited = trouble is Trouble.RATE_LIMITED
        if generation != self.generation and not is_limited:
            return self
        failures = self.failures + 1
        noted = replace(self, failures=failures, failed_at=now, last_error=sentence)
        if self.open_until is None and not is_limited and failures < FAILURES_IN_A_ROW:
            return noted
        return replace(
            noted,
            generation=self.generation + 1,
            trouble=trouble,
            open_until=max(self.open_until or now, now + _cool_down(retry_after_seconds)),
            probe_until=None,
        )

    def abandoned(self, generation: int) -> "Gate":
        """With the request given up, which says nothing of the provider: if it was the probe, another may be made."""
        return replace(self, probe_until=None) if generation == self.generation else self


def _cool_down(retry_after_seconds: int | None) -> timedelta:
    wanted = COOL_DOWN_SECONDS if retry_after_seconds is None else retry_after_seconds
    return min(max(wanted, 1), LONGEST_COOL_DOWN_SECONDS) * _SECOND


def whole_seconds(span: timedelta) -> int:
    """Rounded up: who comes back after them is not too early."""
    return -(-span // _SECOND)
