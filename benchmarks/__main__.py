"""All benchmarks, one after the other: `make bench`."""

from benchmarks import (
    aggregation,
    catalogue,
    event_log,
    factors,
    freshness,
    graphql_requests,
    ingest,
    levels,
    onboarding,
    session,
    session_delays,
    statistics,
)
from benchmarks.report import print_machine

BENCHMARKS = (
    graphql_requests,
    catalogue,
    freshness,
    levels,
    factors,
    aggregation,
    event_log,
    ingest,
    onboarding,
    session,
    session_delays,
    statistics,
)

if __name__ == "__main__":
    print_machine()
    for benchmark in BENCHMARKS:
        benchmark.main()
