import { useState } from 'react'
import { useSearchParams } from 'wouter'
import { useRead } from '../api/read'
import { type Interval, SymbolLevelsDocument, SymbolStatisticsDocument } from '../gql'
import { price, words } from '../kit/figures'
import { Badge, Button, Choices, Notice } from '../kit/kit'
import { Ago } from '../kit/times'
import { add, remove } from '../symbols/actions'
import type { Card } from '../symbols/feed'
import { DirectionBadge, FreshnessWarning, RefreshButton, StatusBadge, TroubleNotice } from '../symbols/SymbolCard'
import { BackfillPanel } from './BackfillPanel'
import { BarsPanel } from './BarsPanel'
import { ExposuresPanel } from './ExposuresPanel'
import { INTERVALS, intervalOf, shortOf } from './intervals'
import { LevelsPanel } from './LevelsPanel'
import { RevisionsPanel } from './RevisionsPanel'
import { StatisticsPanel } from './StatisticsPanel'

/** All that is known of one symbol. Whenever it changes it is another `symbol`, and what hangs on it is read again. */
export function Details({ symbol }: { symbol: Card }) {
  const [search, setSearch] = useSearchParams()
  const interval = intervalOf(search.get('interval'))
  const { ticker } = symbol
  const levels = useRead(SymbolLevelsDocument, { ticker }, symbol)
  const statistics = useRead(SymbolStatisticsDocument, { ticker, interval }, symbol)
  const isTracked = symbol.status !== 'RETIRED'
  return (
    <>
      <Head symbol={symbol} />
      <div className="symbol-intervals">
        <Choices<Interval>
          label="Interval of the bars"
          name="interval"
          options={INTERVALS.map(([one, short]) => [one, short] as const)}
          value={interval}
          onChange={(chosen) => setSearch({ interval: shortOf(chosen) }, { replace: true })}
        />
      </div>
      <div className="symbol-top">
        <BarsPanel key={interval} symbol={symbol} interval={interval} levels={levels.data} statistics={statistics.data} />
        <LevelsPanel symbol={symbol} reading={levels} />
      </div>
      <div className="columns">
        <div className="stack">
          <StatisticsPanel symbol={symbol} interval={interval} reading={statistics} />
          {isTracked && <BackfillPanel symbol={symbol} />}
          <RevisionsPanel symbol={symbol} />
        </div>
        <ExposuresPanel symbol={symbol} />
      </div>
    </>
  )
}

function Head({ symbol }: { symbol: Card }) {
  const { ticker, name, assetClass, exchange, currency, lastPrice, lastUpdated, status } = symbol
  return (
    <div className={`symbol-head ${symbol.isStale ? 'stale' : ''}`}>
      <div className="page-head">
        <h1>{ticker}</h1>
        {name && <p className="soft">{name}</p>}
        <div className="badges">
          <DirectionBadge direction={symbol.direction} />
          <Badge>{words(assetClass)}</Badge>
          {exchange && <Badge title="Where it is listed">{exchange}</Badge>}
          <StatusBadge status={status} />
        </div>
      </div>
      <div className="symbol-state">
        <p className="last">{price(lastPrice, currency)}</p>
        <p className="soft small">
          {lastUpdated ? (
            <>
              Last updated: <Ago at={lastUpdated} exchange={exchange} />
            </>
          ) : (
            'Never updated'
          )}
        </p>
        {status !== 'RETIRED' && (
          <div className="actions">
            <RefreshButton symbol={symbol} />
            <Button kind="quiet" onClick={() => void remove(symbol)} aria-label={`Remove ${ticker}`}>
              Remove
            </Button>
          </div>
        )}
      </div>
      {status === 'RETIRED' ? <Retired symbol={symbol} /> : <FreshnessWarning symbol={symbol} />}
      <TroubleNotice ticker={ticker} />
    </div>
  )
}

function Retired({ symbol: { ticker, version } }: { symbol: Card }) {
  const [refusal, setRefusal] = useState<string>()
  const again = () => void add({ ticker, expectedVersion: version }).then((refused) => setRefusal(refused?.text))
  return (
    <Notice
      tone="info"
      title={`${ticker} is no longer tracked`}
      actions={
        <Button kind="primary" onClick={again}>
          Track it again
        </Button>
      }
    >
      What you see is its history, which is kept. Nothing of it is updated.
      {refusal && (
        <p className="refusal" role="alert">
          {refusal}
        </p>
      )}
    </Notice>
  )
}
