"""Guards taken out: what a race test must notice.

A mutant is one exact piece of a module's source with another in its place. `in_force` runs this process on mutants by their
names, and so does runner.py a process of its own; `mutated` changes one function at hand.
"""

import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import CodeType, FunctionType, ModuleType
from typing import Any

from domain.onboarding import PHASES, OnboardingPhase


@dataclass(frozen=True, slots=True)
class Mutant:
    module: str
    source: str
    instead: str

    def applied_to(self, text: str) -> str:
        assert text.count(self.source) == 1, f"{self.module} must have this once: {self.source}"
        return text.replace(self.source, self.instead)


_LEASES = "persistence.refresh_leases"
_SYMBOLS = "persistence.symbol_store"
_FEED = "persistence.event_feed"
_JOBS = "persistence.job_store"
_REFRESHING = "domain.services.refreshing"
_GATES = "domain.gates"
_PROTOCOLS = "web.protocols"
_PIPELINE = "domain.services.pipeline"
_WORKING = "domain.services.working"
_BACKFILLS = "persistence.backfill_store"
_FILLING = "domain.services.filling"
_LANES = "domain.lanes"
_LEADERSHIP = "domain.services.leadership"
_SESSION = "domain.session"
_SESSION_STORE = "persistence.session_store"
_ASKED_BACKFILLS = "domain.services.backfills"
_SCHEDULING = "domain.services.scheduling"
_BARS_WRITTEN = "await store(unit, before, history.bars, history.actions, now)"
_DIE = "__import__('os').kill(__import__('os').getpid(), 9)"

MUTANTS = {
    # ── guards out
    "lease taken from its holder": Mutant(
        _LEASES,
        'on_conflict_do_nothing(index_elements=["ticker"])',
        'on_conflict_do_update(index_elements=["ticker"], set_={"token": token})',
    ),
    "lease not needed to write": Mutant(
        _REFRESHING,
        "if not await unit.leases.release(ticker, attempt.token):\n                raise self._too_late()\n            await",
        "if not ticker:\n                raise self._too_late()\n            await",
    ),
    "any token releases": Mutant(
        _LEASES, "refresh_leases.c.ticker == ticker, refresh_leases.c.token == token", "refresh_leases.c.ticker == ticker"
    ),
    "any version saved": Mutant(
        _SYMBOLS,
        "symbols.c.ticker == symbol.ticker, symbols.c.version == expected_version",
        "symbols.c.ticker == symbol.ticker",
    ),
    "row not locked": Mutant(
        _SYMBOLS, "where(symbols.c.ticker == ticker).with_for_update()", "where(symbols.c.ticker == ticker)"
    ),
    "queue not locked": Mutant(_JOBS, "select(queue.c.id).with_for_update()", "select(queue.c.id)"),
    "writes begin as reads": Mutant("persistence.engine", '"BEGIN IMMEDIATE" if writes else "BEGIN"', '"BEGIN"'),
    "lapsed leases stay": Mutant(
        _LEASES, "delete(refresh_leases).where(~_alive).returning(refresh_leases)", "select(refresh_leases).where(~_alive)"
    ),
    "lapsed leases are nobody's work": Mutant("web.container", "SWEEP_SECONDS = 3\n", "SWEEP_SECONDS = 3600\n"),
    "lease on market time": Mutant(
        _LEASES, "real_time(LEASE_SECONDS)", "refresh.started_at + __import__('datetime').timedelta(seconds=LEASE_SECONDS)"
    ),
    "any clock may write": Mutant(
        "persistence.event_log", ".where(event_log.c.clock_generation == self._clock_generation)", ""
    ),
    "clock joined unlocked": Mutant(
        "persistence.market_clock",
        "        await connection.execute(_LOCK)\n        recorded = ",
        "        recorded = ",
    ),
    "clock not watched": Mutant("web.container", "CLOCK_WATCH_SECONDS = 1\n", "CLOCK_WATCH_SECONDS = 3600\n"),
    "clock begins anew": Mutant("persistence.market_clock", "row.market_at + elapsed", "row.market_at"),
    "open circuit not looked at": Mutant(
        _GATES, "if shut_for is not None:", "if shut_for is not None and self.state(now) is not CircuitState.OPEN:"
    ),
    "probe not leased": Mutant(_GATES, "probe_until=now + PROBE_SECONDS * _SECOND", "probe_until=None"),
    "lost probe never lapses": Mutant(_GATES, "probe_until=now + PROBE_SECONDS", "probe_until=now + 3600"),
    "days are not counted": Mutant(_GATES, "calls=calls + 1)", "calls=calls)"),
    "a gate for each process": Mutant(
        "providers.gate", "return self._provider.name", "return f'{self._provider.name} {__import__(\"os\").getpid()}'"
    ),
    "gate not locked": Mutant(
        "persistence.provider_gates",
        "provider_gates.c.provider == provider).with_for_update()",
        "provider_gates.c.provider == provider)",
    ),
    "signals as they come": Mutant("web.serving", "    _end_quietly_on_signals(server)\n", ""),
    "no pings": Mutant("web.serving", "ws_ping_interval=PING_SECONDS", "ws_ping_interval=None"),
    "endless patience": Mutant(_PROTOCOLS, "self.abort()  # close() would wait for what is unsent\n", "pass\n"),
    "patience runs out": Mutant(_PROTOCOLS, "if sent == self._sent:\n", "if True:\n"),
    "endless grace": Mutant("web.serving", "timeout_graceful_shutdown=SHUTDOWN_SECONDS", "timeout_graceful_shutdown=None"),
    "all at once": Mutant(_PROTOCOLS, "SIP_BYTES = 1024\n", "SIP_BYTES = 1073741824\n"),
    "only the newest request is told": Mutant(_PROTOCOLS, "if self._under_way is not None and", "if not self and"),
    "upgraded under way": Mutant(_PROTOCOLS, "if self._is_answering():\n", "if not self:\n"),
    "patient with the database": Mutant("persistence.engine", "TRANSACTION_SECONDS = 3.4\n", "TRANSACTION_SECONDS = 9.0\n"),
    "callers knock": Mutant(
        "persistence.answering",
        "            self._knock_when_due(self._next_knock)\n            raise refusal\n",
        "            now = asyncio.get_running_loop().time()\n"
        "            if now < self._next_knock:\n                raise refusal\n"
        "            self._next_knock = now + RETRY_SECONDS\n",
    ),
    "commits are not looked back on": Mutant("persistence.unit_of_work", "timeout_at(deadline)", "timeout_at(0)"),
    "places not counted": Mutant(_JOBS, "jobs.c.due_at <= real_time(), under_way < places)", "jobs.c.due_at <= real_time())"),
    "active jobs not looked at": Mutant(
        "domain.services.queueing",
        "        wanted = [ticker for ticker in tickers if ticker not in known]\n        free",
        "        wanted = list(tickers)\n        free",
    ),
    "dead workers' jobs stay": Mutant(_JOBS, ".where(or_(_is_lapsed, _is_due(places)))\n", ".where(_is_due(places))\n"),
    "any worker's token holds": Mutant(
        _JOBS, "jobs.c.token == token, _is_processing, jobs.c.lease_expires_at >", "_is_processing, jobs.c.lease_expires_at >"
    ),
    "a lapsed lease holds": Mutant(
        _JOBS,
        "jobs.c.token == token, _is_processing, jobs.c.lease_expires_at > real_time())",
        "jobs.c.token == token, _is_processing)",
    ),
    "what is called off is held": Mutant(
        _JOBS, "jobs.c.token == token, _is_processing, jobs.c.lease_expires_at > real_time())", "jobs.c.token == token)"
    ),
    "given back to nobody": Mutant(_JOBS, "lease_expires_at=real_time(), lapses=", "lapses="),
    "places of backfills not counted": Mutant(
        _BACKFILLS, "backfills.c.due_at <= real_time(), under_way < places)", "backfills.c.due_at <= real_time())"
    ),
    "any worker's token holds a backfill": Mutant(
        _BACKFILLS,
        "backfills.c.ticker == ticker, backfills.c.token == token)\n        held",
        "backfills.c.ticker == ticker)\n        held",
    ),
    "a lapsed lease holds a backfill": Mutant(
        _BACKFILLS, ".where(own, _is_in_progress, backfills.c.lease_expires_at > real_time())", ".where(own, _is_in_progress)"
    ),
    "dead workers' backfills stay": Mutant(
        _BACKFILLS, ".where(or_(_is_lapsed, _is_due(places))).order_by", ".where(_is_due(places)).order_by"
    ),
    "loads are not waited for": Mutant(
        "domain.services.measuring", " for etf in etfs if etf not in loading]", " for etf in etfs]"
    ),
    "cursors are not looked at": Mutant(
        "persistence.event_feed", "after if after is not None else await self._head()", "await self._head()"
    ),
    "symbols however old": Mutant(_FEED, "monotonic() - FRESH_SECONDS", "0.0"),
    "exactly the threshold lags": Mutant(
        _LANES, "return lag > lane.threshold and self._lag(lane)", "return lag >= lane.threshold and self._lag(lane)"
    ),
    "lag since the last look": Mutant(_LANES, "if self.is_live and until > self.clock:", "if not self:"),
    "one good bar is enough": Mutant(_LANES, "GOOD_BARS = 2\n", "GOOD_BARS = 1\n"),
    "good is within the threshold": Mutant(_LANES, "lag <= lane.threshold / 2 and", "lag <= lane.threshold and"),
    "a queue is no matter": Mutant(
        _LANES, "lane.front and not lane.due(self.clock)\n        lane.good", "lane.front\n        lane.good"
    ),
    "a look is as good as a bar": Mutant(
        _LANES, "self.clock - lane.quiet_since - MINUTE <= lane.threshold", "self.clock - lane.silent_since() > lane.threshold"
    ),
    "silence from the close on": Mutant(_LANES, "lane.silent_since() - MINUTE > lane.threshold", "lane.silent_since() > 60"),
    "the feed's silence from when it was heard": Mutant(
        _LANES, "due is None or self.clock - due <= lane.threshold", "due is None or self.clock - since <= lane.threshold"
    ),
    "silence is not looked for": Mutant(_LANES, "(lane.phase is not _FAILED and self._look_at(lane))", "False"),
    "who is silent lags": Mutant(_LANES, "if self._is_idle(lane):\n", "if not self:\n"),
    "the flag of the last symbol": Mutant(
        _SESSION, "for symbol in self.symbols if symbol.is_lagging]", "for symbol in self.symbols[-1:] if symbol.is_lagging]"
    ),
    "what catches up is shown": Mutant(
        _SESSION, "return not self.is_withheld and self.phase in AT_THE_FRONTIER", "return not self.is_withheld"
    ),
    "one lane": Mutant(
        _LANES,
        "if not lane.due(self.clock):\n            self._join(lane)\n        elif",
        "if self:\n            self._join(lane)\n        elif",
    ),
    "order of entry": Mutant(_LANES, "dict(sorted(self._lanes.items()))", "dict(self._lanes)"),
    "one after the other": Mutant(_LANES, "sorted(behind, key=lambda lane: lane.next_close or 0)", "behind"),
    "a leap is not seen": Mutant(
        _LANES, "return self._is_silent(lane) and lane.newest is not None and self._be_behind(lane, True)", "return False"
    ),
    "who was behind is forgotten": Mutant(_LANES, "elif lane.newest is not None:", "elif not self:"),
    "as long is too long": Mutant(_LANES, "self.clock - since > limit", "self.clock - since >= limit"),
    "quarantine shuts the gate": Mutant(_SESSION, "return self.is_behind and self.phase in UNDER_WAY", "return self.is_behind"),
    "a window does not wait": Mutant(_LANES, "clock - lane.threshold if is_live else clock", "clock"),
    "what comes late moves the mark": Mutant(_LANES, "not is_known and at < lane.new_from", "not is_known"),
    "any token may lead": Mutant(_LEADERSHIP, "if stored is None or stored.token != self._token:", "if stored is None:"),
    "bars before the session": Mutant(
        _LEADERSHIP,
        "        async with self._tools.database.write() as unit:\n            stored = await unit.session.lock(known)\n",
        "        async with self._tools.database.write() as unit:\n"
        "            await unit.session_bars.upsert(self._record.windows())\n"
        "        async with self._tools.database.write() as unit:\n"
        "            stored = await unit.session.lock(known)\n",
    ),
    "swapped in two transactions": Mutant(
        "domain.services.storing",
        "    return await store(unit, symbol, fetched, actions, now)\n",
        "    for statement in ('COMMIT', 'BEGIN'):\n"
        "        await unit.bars._connection.exec_driver_sql(statement)\n"
        "    return await store(unit, symbol, fetched, actions, now)\n",
    ),
    "any version commands": Mutant(_SESSION, "if expected != self.version:", "if expected > self.version:"),
    "silence is not noticed": Mutant(
        "domain.services.watching", "if stored.silent_for > HEARD_WITHIN:", "if stored.silent_for > 1000 * HEARD_WITHIN:"
    ),
    "session leases never lapse": Mutant(_SESSION_STORE, "LEASE_SECONDS = 8\n", "LEASE_SECONDS = 3600\n"),
    "session not locked": Mutant(_SESSION_STORE, "_SESSION.with_for_update()", "_SESSION"),
    "session leases are nothing": Mutant(_SESSION_STORE, "is_free=row.lease_expires_at <= row.real_now", "is_free=True"),
    "backfill not locked": Mutant("persistence.backfill_store", "_one(ticker).with_for_update()", "_one(ticker)"),
    "runs of others are not looked at": Mutant(_SCHEDULING, "self._cron.next_after(self._ran_at) <= now", "now"),
    "what a run has queued is not looked at": Mutant(
        _ASKED_BACKFILLS, "not job.is_active and not _is_queued(job, started_by, since, now)", "not job.is_active"
    ),
    "runs are noted before they are made": Mutant(
        _SCHEDULING,
        "        queued = await self._backfills.enqueue(listed, STARTED_BY, due)\n",
        "        async with self._database.write() as unit:\n"
        "            await unit.schedules.lock(NAME)\n"
        "            await unit.schedules.ran(NAME, now)\n"
        "        queued = await self._backfills.enqueue(listed, STARTED_BY, due)\n",
    ),
    "days counted unlocked": Mutant("persistence.statistics_store", "first.with_for_update(skip_locked=True)", "first"),
    # ── other circumstances, in which the guards must hold all the same
    "no new job is taken up": Mutant(_JOBS, ".where(or_(_is_lapsed, _is_due(places)))\n", ".where(_is_lapsed)\n"),
    "no new backfill is taken up": Mutant(
        _BACKFILLS, ".where(or_(_is_lapsed, _is_due(places))).order_by", ".where(_is_lapsed).order_by"
    ),
    "short backfill lease": Mutant(_BACKFILLS, "LEASE_SECONDS = 15\n", "LEASE_SECONDS = 3\n"),
    "a month at once": Mutant("domain.planning", "most = AT_ONCE_DAYS[interval]", "most = 30"),
    "dies with an answer given": Mutant(
        _FILLING,
        "        return _Answer(asked, request, replace(history, bars=bars))\n",
        f"        {_DIE}\n        return _Answer(asked, request, replace(history, bars=bars))\n",
    ),
    "dies with the bars of an answer written": Mutant(
        _FILLING,
        "        held = await _held(unit, ticker, interval, request.days)\n",
        f"        {_DIE}\n        held = await _held(unit, ticker, interval, request.days)\n",
    ),
    "dies with an answer written": Mutant(
        _FILLING,
        "            await unit.backfills.save(job)\n        course.job = job\n",
        f"            await unit.backfills.save(job)\n            {_DIE}\n        course.job = job\n",
    ),
    "dies with an answer committed": Mutant(
        _FILLING, "        course.job = job\n", f"        course.job = job\n        {_DIE}\n"
    ),
    "dies with its end written": Mutant(
        _FILLING,
        "            return await self._close(unit, symbol, job, failure, is_known=course.is_known, found=found)\n",
        "            end = await self._close(unit, symbol, job, failure, is_known=course.is_known, found=found)\n"
        f"            {_DIE}\n            return end\n",
    ),
    "dies with its end committed": Mutant(
        _FILLING,
        "        return await self._end(course, last, await self._shortfall(course))\n",
        f"        end = await self._end(course, last, await self._shortfall(course))\n        {_DIE}\n",
    ),
    "short job lease": Mutant(_JOBS, "LEASE_SECONDS = 15\n", "LEASE_SECONDS = 3\n"),
    "short session lease": Mutant(_SESSION_STORE, "LEASE_SECONDS = 8\n", "LEASE_SECONDS = 3\n"),
    "no heartbeat": Mutant(_WORKING, "HEARTBEAT_SECONDS = 5.0\n", "HEARTBEAT_SECONDS = 3600.0\n"),
    "quick heartbeat": Mutant(_WORKING, "HEARTBEAT_SECONDS = 5.0\n", "HEARTBEAT_SECONDS = 1.0\n"),
    "short waits": Mutant("domain.onboarding", "FIRST_WAIT_SECONDS = 2.0\n", "FIRST_WAIT_SECONDS = 0.2\n"),
    "slow to queue": Mutant(
        "domain.services.queueing",
        "        if len(wanted) > free:\n",
        "        await __import__('asyncio').sleep(0.2)\n        if len(wanted) > free:\n",
    ),
    "polls seldom": Mutant(_FEED, "POLL_SECONDS = 0.5\n", "POLL_SECONDS = 3600.0\n"),
    "short lease": Mutant(_LEASES, "LEASE_SECONDS = 20\n", "LEASE_SECONDS = 3\n"),
    "impatient with providers": Mutant("domain.services.asking", "PROVIDER_SECONDS = 8\n", "PROVIDER_SECONDS = 1\n"),
    "patient with providers": Mutant("domain.services.asking", "PROVIDER_SECONDS = 8\n", "PROVIDER_SECONDS = 60\n"),
    "patient gate": Mutant("providers.gate", "CALL_SECONDS = 7\n", "CALL_SECONDS = 60\n"),
    "short probe": Mutant(_GATES, "PROBE_SECONDS = 15\n", "PROBE_SECONDS = 3\n"),
    "short cool-down": Mutant(_GATES, "\nCOOL_DOWN_SECONDS = 60\n", "\nCOOL_DOWN_SECONDS = 1\n"),
    "slow at the gate": Mutant(
        "providers.gate",
        "            await unit.gates.save(changed)\n",
        "            await asyncio.sleep(0.3)\n            await unit.gates.save(changed)\n",
    ),
    "slow to settle": Mutant(
        "persistence.statistics_store",
        "        if counted:\n            key = ",
        "        if counted:\n            await __import__('asyncio').sleep(0.02)\n            key = ",
    ),
    "slow to join": Mutant(
        "persistence.market_clock",
        "        if given is not None and given != recorded:\n",
        "        await __import__('asyncio').sleep(0.2)\n        if given is not None and given != recorded:\n",
    ),
    "small chunks": Mutant(_ASKED_BACKFILLS, "CHUNK = 100\n", "CHUNK = 4\n"),
    "runs are told aloud": Mutant(_SCHEDULING, 'log.info("the backfills due', 'log.warning("the backfills due'),
    "slow to start a backfill": Mutant(
        _ASKED_BACKFILLS,
        "            if job.is_active:\n",
        "            await asyncio.sleep(0.3)\n            if job.is_active:\n",
    ),
    "runs when another has, and all are done": Mutant(
        _SCHEDULING,
        "        listed = await self._listed(now)\n",
        "        listed = await self._listed(now)\n"
        "        while await self._noted(now) < due or any(\n"
        "            job.is_active for job in (await self._backfills.of([one.ticker for one in listed])).values()\n"
        "        ):\n"
        "            await asyncio.sleep(0.05)\n",
    ),
    "catches up when the test lets it": Mutant(
        _LEADERSHIP,
        "            self._lanes.catch_up(CHUNK)\n",
        "            is_held = __import__('pathlib').Path('hold').exists()\n"
        "            if not (is_held and any(lane.is_behind for lane in self._lanes)):\n"
        "                self._lanes.catch_up(1 if is_held else CHUNK)\n"
        "            await asyncio.sleep(0.01)\n",
    ),
    "slow to remove": Mutant(
        "domain.services.symbols",
        "            retired = symbol.retired(version)\n",
        "            retired = symbol.retired(version)\n            await __import__('asyncio').sleep(0.3)\n",
    ),
    "dies with the bars written": Mutant(_REFRESHING, _BARS_WRITTEN, f"{_BARS_WRITTEN}; {_DIE}"),
    "dies with the bars committed": Mutant(
        _REFRESHING, _BARS_WRITTEN, f"{_BARS_WRITTEN}; await unit.bars._connection.commit(); {_DIE}"
    ),
    "dies with the levels deleted": Mutant(
        _SYMBOLS,
        "delete(price_levels).where(price_levels.c.ticker == ticker))\n",
        f"delete(price_levels).where(price_levels.c.ticker == ticker))\n        {_DIE}\n",
    ),
    "dies before the commit": Mutant(
        _REFRESHING,
        "await unit.events.append(self._event(SymbolChangeKind.REFRESHED, ticker))",
        f"await unit.events.append(self._event(SymbolChangeKind.REFRESHED, ticker)); {_DIE}",
    ),
}


def _dies(phase: OnboardingPhase) -> str:
    return f"job.phase.value == {phase.value!r} and {_DIE}"


for _phase in PHASES[1:-1]:
    MUTANTS |= {
        f"dies with {_phase.value} worked out": Mutant(
            _PIPELINE,
            "                write = await self._work[job.phase](job)\n",
            f"                write = await self._work[job.phase](job)\n                {_dies(_phase)}\n",
        ),
        f"dies with {_phase.value} written": Mutant(
            _PIPELINE,
            "            await unit.events.append(*effect.events, *self._queue.steps([told]))\n",
            f"            await unit.events.append(*effect.events, *self._queue.steps([told]))\n            {_dies(_phase)}\n",
        ),
        f"dies with {_phase.value} committed": Mutant(
            _PIPELINE, "        return done\n", f"        {_dies(_phase)}\n        return done\n"
        ),
        f"dies with the effect of {_phase.value} committed": Mutant(
            _PIPELINE,
            "            effect = await write(unit)\n",
            f"            effect = await write(unit)\n"
            f"            if job.phase.value == {_phase.value!r}: await unit.jobs._connection.commit(); {_DIE}\n",
        ),
    }


@contextmanager
def mutated(function: Any, *replacements: tuple[str, str]) -> Iterator[None]:
    """The function, whoever holds it, runs with each (old, new) replaced in its source until the block ends. Every `old`
    must stand there exactly once."""
    source, original = dedent(inspect.getsource(function)), function.__code__
    for old, new in replacements:
        assert source.count(old) == 1, f"{function.__qualname__} must have this once: {old}"
        source = source.replace(old, new)
    namespace = dict(function.__globals__)
    exec(compile(source, inspect.getfile(function), "exec"), namespace)
    function.__code__ = namespace[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = original


@contextmanager
def in_force(*names: str) -> Iterator[None]:
    """Until the block ends, functions run the mutated source, whoever holds them, and a module's constants have its values.

    What other modules have imported of the constants stays as it was."""
    by_module: defaultdict[str, list[Mutant]] = defaultdict(list)
    for name in names:
        by_module[MUTANTS[name].module].append(MUTANTS[name])
    with ExitStack() as undo:
        for module, mutants in by_module.items():
            for holder, attribute, value in _changes(importlib.import_module(module), mutants):
                undo.callback(setattr, holder, attribute, getattr(holder, attribute))
                setattr(holder, attribute, value)
        yield


Change = tuple[object, str, Any]


def _changes(module: ModuleType, mutants: Sequence[Mutant]) -> list[Change]:
    path = inspect.getfile(module)
    text = Path(path).read_text("utf-8")
    for mutant in mutants:
        text = mutant.applied_to(text)
    changes = [*_changed_functions(module, compile(text, path, "exec")), *_changed_constants(module, text)]
    assert changes, f"nothing in {module.__name__} is changed"
    return changes


def _changed_functions(module: ModuleType, mutated_code: CodeType) -> Iterator[Change]:
    codes = dict(_codes(mutated_code))
    for function in _functions(module):
        code = codes[function.__code__.co_qualname]
        if code != function.__code__:
            yield function, "__code__", code


def _changed_constants(module: ModuleType, text: str) -> Iterator[Change]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and getattr(module, target.id) != node.value.value:
                    yield module, target.id, node.value.value


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions that the module's own source defines, at its top or in a class."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    members = [member for value in own if isinstance(value, type) for member in vars(value).values()]
    for value in (*own, *members):
        function: Any = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
        if isinstance(function, FunctionType) and function.__code__.co_filename == inspect.getfile(module):
            yield function
