import type { Reading } from '../api/read'
import type { Interval, SymbolStatisticsQuery } from '../gql'
import { count, many, percent } from '../kit/figures'
import { Facts, Table } from '../kit/kit'
import type { Card } from '../symbols/feed'
import { Span } from './BarTime'
import { CAUSES } from './causes'
import { textOf } from './intervals'
import { ReadPanel } from './ReadPanel'

type StatisticsPanelProps = { symbol: Card; interval: Interval; reading: Reading<SymbolStatisticsQuery> }
type Stats = NonNullable<SymbolStatisticsQuery['symbol']>['stats']
type SpanOf = { interval: Interval; exchange: string | null }

export function StatisticsPanel({ symbol: { exchange }, interval, reading }: StatisticsPanelProps) {
  return (
    <ReadPanel title={`Statistics, ${textOf(interval)}`} what="The statistics" reading={reading}>
      {({ symbol }) =>
        symbol && (
          <>
            <Figures stats={symbol.stats} interval={interval} exchange={exchange} />
            <Missing stats={symbol.stats} interval={interval} exchange={exchange} />
          </>
        )
      }
    </ReadPanel>
  )
}

function Figures({ stats, interval, exchange }: { stats: Stats } & SpanOf) {
  const { dateRange } = stats
  return (
    <Facts
      facts={[
        ['Bars held', count(stats.recordCount)],
        ['From, to', dateRange ? <Span key="range" {...dateRange} interval={interval} exchange={exchange} /> : 'none'],
        ['Coverage', percent(stats.coverage)],
        ['Validated', percent(stats.validationRate)],
        ['Gaps', count(stats.gapsDetected)],
        ['Price gaps over 10 %', count(stats.priceGaps)],
      ]}
    />
  )
}

function Missing({ stats: { gapsDetected, missingIntervals }, interval, exchange }: { stats: Stats } & SpanOf) {
  if (!missingIntervals.length) return <p className="soft small below">No expected bar is missing.</p>
  return (
    <div className="below bounded">
      {gapsDetected > missingIntervals.length && (
        <p className="soft small">The oldest {many(missingIntervals.length, 'gap')} of them:</p>
      )}
      <Table label="Missing bars, oldest first">
        <thead>
          <tr>
            <th scope="col">Missing</th>
            <th scope="col" className="number">
              Trading days
            </th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {missingIntervals.map(({ start, end, tradingDays, cause }) => (
            <tr key={start}>
              <th scope="row">
                <Span start={start} end={end} interval={interval} exchange={exchange} />
              </th>
              <td className="number">{count(tradingDays)}</td>
              <td>{CAUSES[cause]}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  )
}
